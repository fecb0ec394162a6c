/**
 * Runs a machine again from its recording and finds the first step at which it does something else. Pure: whoever
 * reads the file passes its lines on. Never guesses: a line that cannot be read is an error.
 */
import { KrakenError } from '../errors/index.js';
import type { Machine, Millis } from './machine.js';
import { RECORDING_VERSION, summarise, type EffectsSummary, type RecordingHead } from './recording.js';
import { valueFromJson } from './value-json.js';

/** The first step that differs. */
export interface StepDifference<Event, Effect> {
  /** From 1. */
  readonly step: number;
  readonly now: Millis;
  readonly event: Event;
  /** What the recording says: effects, or how the machine crashed. */
  readonly expected: EffectsSummary | { readonly crash: string };
  readonly got: (EffectsSummary & { readonly effects: readonly Effect[] }) | { readonly crash: string };
}

interface StepLine {
  readonly step: number;
  readonly now: number;
  readonly event: unknown;
  readonly effects?: string;
  readonly hash?: string;
  readonly crash?: string;
}

/** The first line of a recording. @throws KrakenError `recording-invalid` */
export function parseRecordingHead(line: string): RecordingHead {
  const head: Partial<RecordingHead> & { recording?: unknown } = parseLine(line);
  if (head.recording !== RECORDING_VERSION) {
    throw new KrakenError('recording-invalid', `expected a recording of version ${RECORDING_VERSION}`);
  }
  const { machine, config, seed } = head;
  if (typeof machine !== 'string' || typeof seed !== 'number' || typeof config !== 'object' || config === null) {
    throw new KrakenError('recording-invalid', 'the first line expected machine, config and seed');
  }
  return { machine, config, seed };
}

function parseLine(line: string): object {
  const value = valueFromJson(line);
  if (typeof value === 'object' && value !== null) return value;
  throw new KrakenError('recording-invalid', `a line expected an object, got ${line.slice(0, 80)}`);
}

/** Runs recorded steps on a machine and compares effects. */
export class Replay<Event, Effect extends { readonly type: string }> {
  /** Steps so far. */
  steps = 0;
  /** What the last line says; `undefined` while there is none: the process may have been killed. */
  end: string | undefined;
  readonly #machine: Machine<Event, Effect>;

  constructor(machine: Machine<Event, Effect>) {
    this.#machine = machine;
  }

  /**
   * The next line after the first.
   * @returns the difference, after which no more lines make sense
   * @throws KrakenError `recording-invalid` for a line that is not the next step
   */
  take(line: string): StepDifference<Event, Effect> | undefined {
    const read: Partial<StepLine> & { readonly end?: string } = parseLine(line);
    if (typeof read.end === 'string') {
      this.end = read.end;
      return undefined;
    }
    if (read.step !== this.steps + 1 || typeof read.now !== 'number') {
      throw new KrakenError('recording-invalid', `expected step ${this.steps + 1}, got ${line.slice(0, 80)}`);
    }
    const { step, now } = read;
    this.steps++;
    const event = read.event as Event;
    const got = this.#step(now, event);
    if ('crash' in got) {
      if (got.crash === read.crash) return undefined;
    } else if (read.crash === undefined && got.hash === read.hash && got.kinds === read.effects) {
      return undefined;
    }
    const expected =
      read.crash === undefined ? { kinds: read.effects ?? '', hash: read.hash ?? '' } : { crash: read.crash };
    return { step, now, event, expected, got };
  }

  #step(now: Millis, event: Event): StepDifference<Event, Effect>['got'] {
    try {
      const effects = this.#machine.step(now, event);
      return { ...summarise(effects), effects };
    } catch (error) {
      return { crash: String(error) };
    }
  }
}
