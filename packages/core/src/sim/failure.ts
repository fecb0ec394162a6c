/** One run and what was wrong with it, as data: an objection of a checker, an exception, or pulls that never finished. */
import type { Millis } from '../machine/index.js';
import { CheckFailed } from './checkers/index.js';
import type { SimOptions } from './options.js';
import { Simulation, type MachineFactory, type RunWatch } from './simulation.js';

/** A run that broke a rule. */
export interface SimFailure {
  /** Name of the checker that objected, `exception`, or `unfinished`. */
  readonly checker: string;
  /** For people. */
  readonly says: string;
  /** Machine steps until the failure was seen; of unfinished pulls until the last piece or answer that an agent got. */
  readonly step: number;
  /** Virtual time of that step. */
  readonly atMs: Millis;
  /** Where, when it is one node's fault. */
  readonly node?: number;
  /** Steps at the last periodic look that saw nothing. */
  readonly lookedAtStep: number;
  /** Steps of the whole run. */
  readonly steps: number;
}

/** Runs options and says what was wrong; `undefined` when nothing was, or when it was stopped before. */
export type RunOnce = (options: Partial<SimOptions>, watch?: RunWatch) => SimFailure | undefined;

/**
 * Run once.
 * @param createMachine what runs on the nodes; default: the shipping machine
 * @throws RangeError for options that make no sense
 */
export function failureOf(
  options: Partial<SimOptions>,
  watch: RunWatch = {},
  createMachine?: MachineFactory,
): SimFailure | undefined {
  const simulation = new Simulation(options, createMachine);
  try {
    const { unfinished } = simulation.run(watch);
    const { steps, lookedAtStep, lastStep, lastAtMs } = simulation.progress;
    if (unfinished === 0 || steps >= (watch.stepsMax ?? Infinity)) return undefined;
    const says = `${unfinished} pulls did not finish in ${simulation.options.horizonMs} ms; the last piece or answer came at ${lastAtMs} ms`;
    return { checker: 'unfinished', says, step: lastStep, atMs: lastAtMs, lookedAtStep, steps };
  } catch (error) {
    const { steps, lookedAtStep } = simulation.progress;
    const where = { step: steps, atMs: simulation.now, lookedAtStep, steps };
    if (error instanceof CheckFailed) {
      const { checker, message, node } = error;
      return { checker, says: message, ...where, ...(node === undefined ? {} : { node }) };
    }
    return {
      checker: 'exception',
      says: error instanceof Error ? (error.stack ?? error.message) : String(error),
      ...where,
    };
  }
}
