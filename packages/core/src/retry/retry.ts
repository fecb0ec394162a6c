/**
 * When a stored task (write-back, tag replication) is tried again. Source: spec origin-store-backends.md §6.4; differs from
 * Kraken, which retries every 30 s for ever: the wait grows, so a dead destination does not starve the others.
 *
 * Owns the rule only. The state is plain data that a store keeps beside the task; times are milliseconds of the wall
 * clock, because they outlive the process.
 */
import type { Random } from '../random/index.js';
import { backoffDelayMs, type BackoffConfig } from './backoff.js';

/** What is stored with a task. */
export interface RetryState {
  /** Failed attempts so far. */
  readonly attempts: number;
  /** Wall clock, ms since the epoch. */
  readonly nextAttemptAtMs: number;
}

/**
 * Stored tasks. First wait: Kraken's constant 30 s [retry_interval]. Factor, jitter and the cap of 10 min: ours (an outage
 * of hours costs a few attempts per task, its end is noticed within 10 min).
 */
export const TASK_RETRY_BACKOFF: BackoffConfig = { initialMs: 30_000, factor: 2, maxMs: 600_000, jitter: 0.1 };

/** What becomes of a task after a failure. */
export type RetryDecision =
  | { readonly type: 'retry'; readonly state: RetryState }
  /** `attemptsMax` is reached: keep the task for the operator, do not try again. */
  | { readonly type: 'give-up'; readonly state: RetryState };

/** When a task that failed is tried again. */
export class RetrySchedule {
  readonly #config: BackoffConfig;

  /** `elapsedMaxMs` of the config is not used: tasks do not remember when they began. */
  constructor(config: Partial<BackoffConfig> = {}) {
    this.#config = { ...TASK_RETRY_BACKOFF, ...config };
  }

  /** State of a new task that may run `delayMs` from now. */
  start(nowMs: number, delayMs = 0): RetryState {
    return { attempts: 0, nextAttemptAtMs: nowMs + delayMs };
  }

  /** Whether the task may be tried at `nowMs`. */
  isDue(state: RetryState, nowMs: number): boolean {
    return state.nextAttemptAtMs <= nowMs;
  }

  /** An attempt failed at `nowMs`. */
  failed(state: RetryState, nowMs: number, random: Random): RetryDecision {
    const attempts = state.attempts + 1;
    const { attemptsMax } = this.#config;
    if (attemptsMax !== undefined && attempts >= attemptsMax) {
      return { type: 'give-up', state: { attempts, nextAttemptAtMs: state.nextAttemptAtMs } };
    }
    const delayMs = backoffDelayMs(this.#config, attempts, random);
    return { type: 'retry', state: { attempts, nextAttemptAtMs: nowMs + Math.round(delayMs) } };
  }

  /**
   * State of a task that was read back after a restart. A wait that is longer than this schedule ever gives means that
   * the clock was set back (or the configuration shortened): it is cut, so that no task sleeps for years.
   */
  restored(state: RetryState, nowMs: number): RetryState {
    if (state.attempts === 0) return state;
    const longest = nowMs + Math.ceil(this.#config.maxMs * (1 + this.#config.jitter));
    return state.nextAttemptAtMs > longest ? { ...state, nextAttemptAtMs: longest } : state;
  }
}
