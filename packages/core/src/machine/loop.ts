/**
 * The loop that feeds a machine: run to completion, first in first out. An event that is posted while
 * effects are being performed is queued, never nested. Production, simulator and replay use this one.
 */
import type { Machine, MachineHost, Millis } from './machine.js';
import type { StepRecorder } from './recording.js';

/** Sees every step, for traces and checkers, with the host whose machine made it. Must not change anything. */
export type StepObserver<Event, Effect, Host = MachineHost<Effect>> = (
  now: Millis,
  event: Event,
  effects: readonly Effect[],
  host: Host,
) => void;

/** Feeds one machine: events in the order they came, effects performed after each step, one wake-up pending. */
export class MachineLoop<Event, Effect, Host extends MachineHost<Effect> = MachineHost<Effect>> {
  readonly #machine: Machine<Event, Effect>;
  readonly #host: Host;
  readonly #observe: StepObserver<Event, Effect, Host> | undefined;
  readonly #recorder: StepRecorder<Event, Effect> | undefined;
  /** Events that came while a step was under way; absent when there are none, as nearly always. */
  #inbox: Event[] | undefined;
  #running = false;
  /** What the host was told last; Infinity: nothing, or it has woken us. Always a number, so that the look after each event is cheap. */
  #wakeAt: Millis = Infinity;
  /** Number of `step` calls so far. */
  steps = 0;

  constructor(
    machine: Machine<Event, Effect>,
    host: Host,
    observe?: StepObserver<Event, Effect, Host>,
    recorder?: StepRecorder<Event, Effect>,
  ) {
    this.#machine = machine;
    this.#host = host;
    this.#observe = observe;
    this.#recorder = recorder;
  }

  /** Deliver one event. When no step is under way, its effects have been performed on return. */
  post(event: Event): void {
    if (this.#running) {
      if (this.#inbox === undefined) this.#inbox = [event];
      else this.#inbox.push(event);
      return;
    }
    this.#running = true;
    try {
      this.#step(event);
      if (this.#inbox !== undefined) this.#drain(this.#inbox);
    } finally {
      this.#inbox = undefined;
      this.#running = false;
    }
    const at = this.#machine.nextWakeup() ?? Infinity;
    if (at !== this.#wakeAt) {
      this.#wakeAt = at;
      this.#host.wakeAt(at === Infinity ? undefined : at);
    }
  }

  #step(event: Event): void {
    const now = this.#host.now();
    const effects =
      this.#recorder === undefined ? this.#machine.step(now, event) : this.#record(this.#recorder, now, event);
    this.steps++;
    this.#observe?.(now, event, effects, this.#host);
    for (const effect of effects) this.#host.perform(effect);
  }

  /** Events that these steps cause are appended meanwhile. */
  #drain(inbox: readonly Event[]): void {
    for (let i = 0; i < inbox.length; i++) this.#step(inbox[i] as Event);
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
    this.#wakeAt = Infinity;
  }
}
