/**
 * The loop that feeds a machine: run to completion, first in first out. An event that is posted while
 * effects are being performed is queued, never nested. Production, simulator and replay use this one.
 */
import type { Machine, MachineHost, Millis } from './machine.js';
import type { StepRecorder } from './recording.js';

/** Sees every step, for traces and checkers. Must not change anything. */
export type StepObserver<Event, Effect> = (now: Millis, event: Event, effects: readonly Effect[]) => void;

/** Feeds one machine: events in the order they came, effects performed after each step, one wake-up pending. */
/** Feeds one machine: events in the order they came, effects performed after each step, one wake-up pending. */
export class MachineLoop<Event, Effect> {
  readonly #machine: Machine<Event, Effect>;
  readonly #host: MachineHost<Effect>;
  readonly #observe: StepObserver<Event, Effect> | undefined;
  readonly #recorder: StepRecorder<Event, Effect> | undefined;
  readonly #inbox: Event[] = [];
  #running = false;
  #wakeAt: Millis | undefined;
  /** Number of `step` calls so far. */
  steps = 0;

  constructor(
    machine: Machine<Event, Effect>,
    host: MachineHost<Effect>,
    observe?: StepObserver<Event, Effect>,
    recorder?: StepRecorder<Event, Effect>,
  ) {
    this.#machine = machine;
    this.#host = host;
    this.#observe = observe;
    this.#recorder = recorder;
  }

  /** Deliver one event. When no step is under way, its effects have been performed on return. */
  post(event: Event): void {
    this.#inbox.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let i = 0; i < this.#inbox.length; i++) {
        const next = this.#inbox[i] as Event;
        const now = this.#host.now();
        const effects =
          this.#recorder === undefined ? this.#machine.step(now, next) : this.#record(this.#recorder, now, next);
        this.steps++;
        this.#observe?.(now, next, effects);
        for (const effect of effects) this.#host.perform(effect);
      }
    } finally {
      this.#inbox.length = 0;
      this.#running = false;
    }
    const at = this.#machine.nextWakeup();
    if (at !== this.#wakeAt) {
      this.#wakeAt = at;
      this.#host.wakeAt(at);
    }
  }

  #record(recorder: StepRecorder<Event, Effect>, now: Millis, event: Event): Effect[] {
    recorder.stepping(now, event);
    let effects: Effect[];
    try {
      effects = this.#machine.step(now, event);
    } catch (error) {
      recorder.crashed(error);
      throw error;
    }
    recorder.stepped(effects);
    return effects;
  }

  /** The host calls this right before it posts the wake event, so that the next wish is passed on even if it is the same. */
  woke(): void {
    this.#wakeAt = undefined;
  }
}
