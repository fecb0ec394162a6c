/**
 * Monotonic time and timers as the host uses them, so that tests can hold time still. Owns nothing.
 */

export interface Clock {
  /** Milliseconds, monotonic, fractions allowed. */
  now(): number;
  /** Run once after `delayMs`. `background`: does not keep the process alive. @returns the cancellation, safe to call twice */
  after(delayMs: number, run: () => void, options?: { background?: boolean }): () => void;
}

/** Longest delay that a Node timer takes without wrapping. */
const DELAY_MAX_MS = 2 ** 31 - 1;

/** The process's clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delayMs, run, options) {
    const timer = setTimeout(run, Math.min(DELAY_MAX_MS, Math.max(0, delayMs)));
    if (options?.background === true) timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};
