/**
 * Rate limit of one direction, shared by all connections of a node. Source: spec p2p.md §7, with the
 * differences that make its weaknesses go away: cost is counted in bytes, payloads are paced chunk by
 * chunk instead of as a whole (a piece larger than the burst passes), waiting can be cancelled and the
 * rate changed at run time.
 *
 * Waiters are served in the order in which they came. A connection waits for one chunk at a time, so all
 * connections take turns. They are served from timers or microtasks, never from inside a call.
 */
import type { Waiting } from './buffer-pool.js';
import { systemClock, type Clock } from './clock.js';

interface Waiter {
  readonly bytes: number;
  readonly granted: () => void;
}

export class TokenBucket {
  readonly #clock: Clock;
  readonly #line = new Set<Waiter>();
  /** Bytes a second; infinite = no limit. */
  #rate: number;
  /** Bytes that may pass at once; negative is debt. */
  #tokens: number;
  #filledAt: number;
  #cancelTimer: (() => void) | undefined;
  /** How often somebody had to wait. */
  waits = 0;

  /** @param bytesPerSec rate and burst (a second's worth, as in Kraken); absent = no limit. The bucket starts full. */
  constructor(bytesPerSec?: number, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#rate = checkedRate(bytesPerSec);
    this.#tokens = this.#rate;
    this.#filledAt = clock.now();
  }

  /** Bytes a second; Infinity = no limit. */
  get bytesPerSec(): number {
    return this.#rate;
  }

  /** Those in line. */
  get waiting(): number {
    return this.#line.size;
  }

  /** Applies at once, also to those who wait. What was granted stays granted. */
  setRate(bytesPerSec: number | undefined): void {
    this.#fill();
    const unlimited = this.#rate === Infinity;
    this.#rate = checkedRate(bytesPerSec);
    this.#tokens = unlimited ? this.#rate : Math.min(this.#tokens, this.#rate);
    this.#schedule();
  }

  /** Take `bytes` now; false when one has to wait. More than a burst is granted once the bucket is full, as debt. */
  tryTake(bytes: number): boolean {
    if (this.#rate === Infinity) return true;
    if (this.#line.size > 0) return false;
    this.#fill();
    return this.#take(bytes);
  }

  /** Call `granted` once `bytes` have been taken. Leaving the line costs nothing. */
  wait(bytes: number, granted: () => void): Waiting {
    this.waits++;
    const waiter: Waiter = { bytes, granted };
    this.#line.add(waiter);
    this.#schedule();
    return {
      cancel: () => {
        if (this.#line.delete(waiter)) this.#schedule();
      },
    };
  }

  /** Taken, but not used after all. */
  giveBack(bytes: number): void {
    if (this.#rate === Infinity) return;
    this.#fill();
    this.#tokens = Math.min(this.#rate, this.#tokens + bytes);
    this.#schedule();
  }

  #take(bytes: number): boolean {
    if (this.#tokens < Math.min(bytes, this.#rate)) return false;
    this.#tokens -= bytes;
    return true;
  }

  #fill(): void {
    const now = this.#clock.now();
    if (this.#rate !== Infinity) {
      this.#tokens = Math.min(this.#rate, this.#tokens + (this.#rate * (now - this.#filledAt)) / 1000);
    }
    this.#filledAt = now;
  }

  /** One timer, for the head of the line. */
  #schedule(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const [head] = this.#line;
    if (head === undefined) return;
    this.#fill();
    const missing = this.#rate === Infinity ? 0 : Math.min(head.bytes, this.#rate) - this.#tokens;
    const delayMs = missing <= 0 ? 0 : Math.ceil((missing / this.#rate) * 1000);
    this.#cancelTimer = this.#clock.after(delayMs, () => this.#serve());
  }

  #serve(): void {
    this.#cancelTimer = undefined;
    this.#fill();
    for (const waiter of this.#line) {
      if (this.#rate !== Infinity && !this.#take(waiter.bytes)) break;
      this.#line.delete(waiter);
      waiter.granted();
    }
    this.#schedule();
  }
}

/** @throws RangeError unless positive */
function checkedRate(bytesPerSec: number | undefined): number {
  if (bytesPerSec === undefined) return Infinity;
  if (!(bytesPerSec > 0)) throw new RangeError(`bytes per second expected > 0, got ${bytesPerSec}`);
  return bytesPerSec;
}
