/**
 * The recording of a machine's life: one JSON line for how it was made, one per step, one for the end. Enough to run
 * it again (`replay.ts`): events whole, effects as their kinds and a fingerprint. Pure: lines go to a sink.
 *
 * An event is written down before the step, because a machine may own parts of it afterwards; and the step
 * that crashes must be in the recording.
 */
import type { Millis } from './machine.js';
import { fingerprint } from './fingerprint.js';
import { valueToJson } from './value-json.js';

/** Version of the lines; a replay refuses others. */
export const RECORDING_VERSION = 1;

/** How the machine was made. */
export interface RecordingHead {
  /** Kind of machine, e.g. `swarm`. */
  readonly machine: string;
  readonly config: unknown;
  /** Of its random generator. */
  readonly seed: number;
}

/** Why a recording ends. `crash`: the machine threw, its last step says what. `limit`: no more room. */
export type RecordingEnd = 'stopped' | 'crash' | 'limit';

/** The last line. */
export function recordingEnd(why: RecordingEnd): string {
  return JSON.stringify({ end: why });
}

/** Takes lines without line ends, in order. @returns false when the line did not fit: the sink writes the end, no more are offered */
export type RecordingSink = (line: string) => boolean;

/** Sees every step of a loop, before and after. Must not change anything. */
export interface StepRecorder<Event, Effect> {
  /** A step is about to begin. */
  stepping(now: Millis, event: Event): void;
  /** The step has ended. */
  stepped(effects: readonly Effect[]): void;
  /** The machine threw in the step that was announced last. */
  crashed(error: unknown): void;
}

/** What is told of effects: the kinds in order, and a fingerprint of everything. */
export interface EffectsSummary {
  readonly kinds: string;
  readonly hash: string;
}

export function summarise(effects: readonly { readonly type: string }[]): EffectsSummary {
  return { kinds: effects.map(({ type }) => type).join(' '), hash: fingerprint(valueToJson(effects)) };
}

export class Recorder<Event, Effect extends { readonly type: string }> implements StepRecorder<Event, Effect> {
  readonly #sink: RecordingSink;
  #steps = 0;
  #begun = '';
  #open: boolean;

  constructor(head: RecordingHead, sink: RecordingSink) {
    this.#sink = sink;
    this.#open = sink(valueToJson({ recording: RECORDING_VERSION, ...head }));
  }

  /** Writes the event, before a crash can lose it. */
  stepping(now: Millis, event: Event): void {
    if (this.#open) this.#begun = `{"step":${++this.#steps},"now":${now},"event":${valueToJson(event)}`;
  }

  /** Writes the summary of the effects. */
  stepped(effects: readonly Effect[]): void {
    if (!this.#open) return;
    const { kinds, hash } = summarise(effects);
    this.#write(`${this.#begun},"effects":"${kinds}","hash":"${hash}"}`);
  }

  crashed(error: unknown): void {
    if (!this.#open) return;
    this.#write(`${this.#begun},"crash":${JSON.stringify(String(error))}}`);
    this.end('crash');
  }

  /** No more steps. Safe to call twice. */
  end(why: RecordingEnd): void {
    if (!this.#open) return;
    this.#open = false;
    this.#sink(recordingEnd(why));
  }

  #write(line: string): void {
    if (this.#open) this.#open = this.#sink(line);
  }
}
