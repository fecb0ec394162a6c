/**
 * Rate limit of one direction, shared by all connections of a node. Source: spec p2p.md §7, with the
 * differences that make its weaknesses go away: cost is counted in bytes, payloads are paced chunk by
 * chunk instead of as a whole (a piece larger than the burst passes), waiting can be cancelled, the
 * rate and the weights of namespaces can be changed at run time.
 *
 * Who goes first is `share-line.ts`'s to say. Whoever cannot use bandwidth now must not ask for it: then nobody
 * waits behind a full socket or a slow disk. Waiters are served from timers, never from inside a call.
 */
import type { Waiting } from './buffer-pool.js';
import { systemClock, type Clock } from './clock.js';
import { NamespaceClasses, type NamespaceWeight, type ShareClass } from './namespace-classes.js';
import { ShareLine, type Claim, type Flow } from './share-line.js';

/** What is granted at a time is worth so much time at most… Guess: 50 ms, so that a slow rate flows instead of ticking. */
const GRAIN_MS = 50;
/** …but never less than this. Guess: 16 KiB, where the cost of a write and a wait begins to show. */
const GRAIN_MIN_BYTES = 16 * 1024;

export class TokenBucket {
  readonly #clock: Clock;
  #classes: NamespaceClasses;
  #line = new ShareLine();
  /** Bytes a second; infinite = no limit. */
  #rate: number;
  /** Bytes that may pass at once; negative is debt. */
  #tokens: number;
  #filledAt: number;
  #cancelTimer: (() => void) | undefined;
  #flows = 0;
  #starts = 0;
  /** How often somebody had to wait. */
  waits = 0;

  /** @param bytesPerSec rate and burst (a second's worth, as in Kraken); absent = no limit. The bucket starts full. */
  constructor(bytesPerSec?: number, clock: Clock = systemClock, weights?: readonly NamespaceWeight[]) {
    this.#clock = clock;
    this.#classes = new NamespaceClasses(weights);
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

  /** Most bytes to ask for at a time. */
  get grainBytes(): number {
    return Math.max(GRAIN_MIN_BYTES, Math.floor((this.#rate * GRAIN_MS) / 1000));
  }

  /** A payload joins, behind all that joined before. It owes nothing when it ends. */
  flow(namespace: string): Flow {
    return { number: ++this.#flows, namespace, started: Infinity };
  }

  /**
   * Applies at once, also to those who wait. What was granted stays granted. A first limit starts without savings:
   * what passed before it used them up.
   */
  setRate(bytesPerSec: number | undefined): void {
    const rate = checkedRate(bytesPerSec);
    this.#fill();
    this.#tokens = this.#rate === Infinity ? 0 : Math.min(this.#tokens, rate);
    this.#rate = rate;
    this.#schedule();
  }

  /** Applies at once, also to those who wait. @throws RangeError, SyntaxError, changing nothing */
  setWeights(weights: readonly NamespaceWeight[]): void {
    const classes = new NamespaceClasses(weights);
    const waiting = [...this.#line.claims()];
    this.#classes = classes;
    this.#line = new ShareLine();
    for (const claim of waiting) this.#line.add(this.#classOf(claim.flow), claim);
    this.#schedule();
  }

  /** Take `bytes` now; false when one has to wait. More than a burst is granted once the bucket is full, as debt. */
  tryTake(flow: Flow, bytes: number): boolean {
    if (this.#line.size > 0) return false;
    if (this.#rate !== Infinity) this.#fill();
    return this.#take(flow, bytes);
  }

  /** Call `granted` once `bytes` have been taken. Leaving the line costs nothing. */
  wait(flow: Flow, bytes: number, granted: () => void): Waiting {
    this.waits++;
    const claim: Claim = { flow, bytes, granted };
    this.#line.add(this.#classOf(flow), claim);
    this.#schedule();
    return {
      cancel: () => {
        if (this.#line.remove(this.#classOf(flow), claim)) this.#schedule();
      },
    };
  }

  /** Taken, but not used after all. */
  giveBack(flow: Flow, bytes: number): void {
    if (this.#rate === Infinity || bytes === 0) return;
    this.#fill();
    this.#tokens = Math.min(this.#rate, this.#tokens + bytes);
    this.#line.charge(this.#classOf(flow), -bytes);
    this.#schedule();
  }

  #classOf(flow: Flow): ShareClass {
    return this.#classes.of(flow.namespace);
  }

  #take(flow: Flow, bytes: number): boolean {
    if (this.#rate !== Infinity) {
      if (this.#tokens < Math.min(bytes, this.#rate)) return false;
      this.#tokens -= bytes;
      this.#line.charge(this.#classOf(flow), bytes);
    }
    if (flow.started === Infinity) flow.started = ++this.#starts;
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
    const head = this.#line.head();
    if (head === undefined) return;
    this.#fill();
    const missing = this.#rate === Infinity ? 0 : Math.min(head.bytes, this.#rate) - this.#tokens;
    const delayMs = missing <= 0 ? 0 : Math.ceil((missing / this.#rate) * 1000);
    this.#cancelTimer = this.#clock.after(delayMs, () => this.#serve());
  }

  #serve(): void {
    this.#cancelTimer = undefined;
    this.#fill();
    for (let head = this.#line.head(); head !== undefined; head = this.#line.head()) {
      if (!this.#take(head.flow, head.bytes)) break;
      this.#line.remove(this.#classOf(head.flow), head);
      head.granted();
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
