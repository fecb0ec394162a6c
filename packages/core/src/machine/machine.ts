/**
 * The contract between pure machines and the hosts that run them. A machine is synchronous, owns its
 * state, never waits, reads no clock and no random source. Events are past tense, effects imperative;
 * each effect that can finish has exactly one completion event.
 */

/** Milliseconds on the host's monotonic clock. Fractions are allowed. */
export type Millis = number;

/** A pure state machine. */
export interface Machine<Event, Effect> {
  /**
   * Take one event and answer with effects, in the order in which they must be performed.
   * Never throws for anything that a peer can send.
   */
  step(now: Millis, event: Event): Effect[];
  /** When the machine wants its `woke` event; `undefined` when nothing is due. O(1) or O(log n). */
  nextWakeup(): Millis | undefined;
}

/** What runs a machine: the Node host, the simulator, a replay. */
export interface MachineHost<Effect> {
  /** Monotonic time. */
  now(): Millis;
  /** Replaces the previous wish. The host posts the machine's wake event at or soon after `at`. */
  wakeAt(at: Millis | undefined): void;
  /** Must return at once; results come back as events. */
  perform(effect: Effect): void;
}
