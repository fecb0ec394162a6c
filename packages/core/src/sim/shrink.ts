/**
 * Makes a failing run small: fewer faults, agents, blobs and pieces, plainer settings, as long as the same checker objects;
 * and says after how many machine steps, and at what virtual time, the failure can first be seen. Work is bounded: so
 * many runs, and so many machine steps for each one of the failing run.
 *
 * A run depends on its options alone, so fewer steps are a prefix of the same run, found by one replay in which
 * checkers look after every task. Other options are another run: each is tried, none is assumed to fail.
 */
import type { Millis } from '../machine/index.js';
import { failureOf, type RunOnce, type SimFailure } from './failure.js';
import { DEFAULT_SIM_OPTIONS, simOptions, type SimOptions } from './options.js';

/** Runs of one shrinking. */
const RUNS_MAX = 100;
/** Steps of all its runs, for each step of the failing run. */
const STEPS_FACTOR = 40;
/** Times that all reductions are tried in turn; one may make room for another. */
const ROUNDS_MAX = 3;

/** Settings that are set back to their defaults, one by one, when that keeps the failure. */
const PLAINER = [
  'streaming',
  'agentSwarm',
  'originSwarm',
  'link',
  'peerOrder',
  'popularity',
  'blobsIn',
  'pullsApart',
  'prefetchMs',
  'lateShare',
  'latencyMs',
  'startWithinMs',
] as const satisfies readonly (keyof SimOptions)[];

/** A failure made small. */
export interface ShrunkFailure {
  /** What still fails. */
  readonly options: SimOptions;
  readonly checker: string;
  /** For people. */
  readonly says: string;
  /** The smallest number of machine steps of these options after which the failure is seen. */
  readonly step: number;
  /** Virtual time of that step. */
  readonly atMs: Millis;
  /** Runs that it took. */
  readonly runs: number;
}

/**
 * Make a failing run smaller.
 * @param run what runs options; replaced in tests of broken machines
 * @throws RangeError when the run does not fail
 */
export function shrinkFailure(given: Partial<SimOptions>, run: RunOnce = failureOf): ShrunkFailure {
  const options = simOptions(given);
  const first = run(options);
  if (first === undefined) throw new RangeError('shrinkFailure expected options that fail, got a run that holds');
  const shrinking = new Shrinking(options, first, run);
  for (let round = 0; round < ROUNDS_MAX && shrinking.round(); round++);
  return shrinking.result();
}

/** The smallest prefix of a failing run: replayed from the last look that saw nothing, looked at after every task. */
export function firstVisible(options: SimOptions, failure: SimFailure, run: RunOnce = failureOf): SimFailure {
  if (failure.checker === 'unfinished') return failure;
  const seen = run(options, { lookFromStep: failure.lookedAtStep, stepsMax: failure.steps + 1 });
  return seen?.checker === failure.checker ? seen : failure;
}

class Shrinking {
  #options: SimOptions;
  #failure: SimFailure;
  readonly #run: RunOnce;
  readonly #stepsMax: number;
  #stepsLeft: number;
  #runs = 1;

  constructor(options: SimOptions, failure: SimFailure, run: RunOnce) {
    this.#options = options;
    this.#failure = failure;
    this.#run = run;
    // A smaller run that takes longer to fail is no gain.
    this.#stepsMax = 2 * failure.steps;
    this.#stepsLeft = STEPS_FACTOR * failure.steps;
  }

  /** Try everything once. @returns true when something became smaller */
  round(): boolean {
    const before = this.#options;
    this.#lessFaults();
    this.#smaller(this.#options.agents, (agents) => ({ agents }));
    this.#smaller(this.#options.blobs, (blobs) => ({ blobs }));
    const { pieceBytes } = this.#options;
    const pieces = Math.ceil(this.#options.blobBytesMax / pieceBytes);
    this.#smaller(pieces, (count) => ({ blobBytes: count * pieceBytes, blobBytesMax: 0 }));
    this.#smaller(this.#options.origins, (origins) => ({ origins }));
    this.#smaller(this.#options.trackers, (trackers) => ({ trackers }));
    for (const key of PLAINER) {
      if (JSON.stringify(this.#options[key]) !== JSON.stringify(DEFAULT_SIM_OPTIONS[key]))
        this.#try({ [key]: DEFAULT_SIM_OPTIONS[key] });
    }
    return this.#options !== before;
  }

  result(): ShrunkFailure {
    const { checker, says, step, atMs } = firstVisible(this.#options, this.#failure, this.#run);
    return { options: this.#options, checker, says, step, atMs, runs: this.#runs + 1 };
  }

  /** @returns true when the change keeps the failure; it is adopted then */
  #try(change: Partial<SimOptions>): boolean {
    if (this.#runs >= RUNS_MAX || this.#stepsLeft <= 0) return false;
    this.#runs++;
    const options = simOptions({ ...this.#options, ...change });
    const failure = this.#run(options, { stepsMax: Math.min(this.#stepsMax, this.#stepsLeft) });
    this.#stepsLeft -= failure?.steps ?? this.#stepsMax;
    if (failure?.checker !== this.#failure.checker) return false;
    this.#options = options;
    this.#failure = failure;
    return true;
  }

  /** The smallest of 1, 2, 4 … below `count` that will do, else one less. */
  #smaller(count: number, change: (count: number) => Partial<SimOptions>): void {
    for (let target = 1; target < count; target *= 2) if (this.#try(change(target))) return;
    if (count > 1) this.#try(change(count - 1));
  }

  /** Leave faults out: all, halves, quarters … single ones. */
  #lessFaults(): void {
    let kept = keptFaults(this.#options);
    for (let share = kept.length; share >= 1; share = Math.floor(share / 2)) {
      for (let from = 0; from < kept.length;) {
        const left = [...kept.slice(0, from), ...kept.slice(from + share)];
        if (this.#try(onlyFaults(left))) kept = left;
        else from += share;
      }
    }
  }
}

/** Numbers of the drawn faults that happen. */
function keptFaults({ faults, faultsLeftOut }: SimOptions): number[] {
  return Array.from({ length: faults }, (_, number) => number).filter((number) => !faultsLeftOut.includes(number));
}

function onlyFaults(kept: readonly number[]): Partial<SimOptions> {
  const faults = (kept[kept.length - 1] ?? -1) + 1;
  const faultsLeftOut = Array.from({ length: faults }, (_, number) => number).filter(
    (number) => !kept.includes(number),
  );
  return { faults, faultsLeftOut };
}
