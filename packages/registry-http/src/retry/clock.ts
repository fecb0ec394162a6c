/**
 * Wall-clock time and timers as one injectable object, so that queues, caches and monitors can be driven by tests.
 * Timers never keep the process alive.
 */

/** Cancels a timer; safe to call twice. */
export type CancelTimer = () => void;

/** Time and timers, for those who must be testable. */
export interface Clock {
  /** Milliseconds since the Unix epoch: due times survive a restart. */
  nowMs(): number;
  /** Run `task` once after `delayMs`. */
  after(delayMs: number, task: () => void): CancelTimer;
}

/** Longest delay that a Node timer takes; a longer one would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** The machine's clock. A delay beyond 24 days fires early: callers look at the time again when woken. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, Math.min(Math.max(0, delayMs), TIMER_MAX_MS));
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Resolve after `delayMs`, or at once when `signal` aborts: the caller looks at the signal. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const onAbort = (): void => {
      cancel();
      resolve();
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
