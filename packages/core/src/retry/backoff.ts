/**
 * How long to wait before the next attempt: exponential with a cap and jitter. Source: spec tracker-agent-ring.md §4.5,
 * §9.1, origin-store-backends.md §6.5.
 *
 * Pure: knows no clock and no timer. Randomness is passed in.
 */
import type { Random } from '../random/index.js';

/** How waits between attempts grow, and when they end. */
export interface BackoffConfig {
  /** Wait before the first repetition. */
  readonly initialMs: number;
  /** Each wait is so many times the one before; ≥ 1. */
  readonly factor: number;
  /** Longest wait before jitter. */
  readonly maxMs: number;
  /** Waits are uniform within ± this share, 0..1. */
  readonly jitter: number;
  /** Give up after so many attempts, the first included. Absent: never. */
  readonly attemptsMax?: number;
  /** Give up when more than this has passed since the start. Absent: never. */
  readonly elapsedMaxMs?: number;
}

/** Polling of a blob that an origin is still fetching (answers 202). Kraken: 1 s × 1.3, cap 5 s, ± 5 %, 15 min. */
export const PENDING_POLL_BACKOFF: BackoffConfig = {
  initialMs: 1000,
  factor: 1.3,
  maxMs: 5000,
  jitter: 0.05,
  elapsedMaxMs: 15 * 60_000,
};

/** Retries while a caller waits [sync_retry_backoff]. Kraken: 500 ms × 2, cap 30 s, ± 5 %, 3 attempts. */
export const SYNC_RETRY_BACKOFF: BackoffConfig = {
  initialMs: 500,
  factor: 2,
  maxMs: 30_000,
  jitter: 0.05,
  attemptsMax: 3,
};

/** `base` to a non-negative integer, by squaring: multiplications alone give the same bits on every engine. */
function power(base: number, exponent: number): number {
  let result = 1;
  for (let factor = base, left = exponent; left > 0; left = Math.floor(left / 2), factor *= factor) {
    if (left % 2 === 1) result *= factor;
  }
  return result;
}

/**
 * The wait after `attempts` failed attempts (≥ 1), with jitter. The cap applies before the jitter, as in Kraken.
 */
export function backoffDelayMs(config: BackoffConfig, attempts: number, random: Random): number {
  const delay =
    config.initialMs === 0 ? 0 : Math.min(config.initialMs * power(config.factor, attempts - 1), config.maxMs);
  return delay * (1 - config.jitter + 2 * config.jitter * random.unit());
}

/** One sequence of attempts. */
export class Backoff {
  readonly #config: BackoffConfig;
  readonly #random: Random;
  #attempts = 0;

  constructor(config: BackoffConfig, random: Random) {
    this.#config = config;
    this.#random = random;
  }

  /** Failed attempts so far. */
  get attempts(): number {
    return this.#attempts;
  }

  /**
   * Another attempt failed.
   * @param elapsedMs since the first attempt began
   * @returns the wait before the next one; `undefined` to give up
   */
  next(elapsedMs = 0): number | undefined {
    this.#attempts++;
    const { attemptsMax, elapsedMaxMs } = this.#config;
    if (attemptsMax !== undefined && this.#attempts >= attemptsMax) return undefined;
    if (elapsedMaxMs !== undefined && elapsedMs > elapsedMaxMs) return undefined;
    return backoffDelayMs(this.#config, this.#attempts, this.#random);
  }

  /** Start over, after a success. */
  reset(): void {
    this.#attempts = 0;
  }
}
