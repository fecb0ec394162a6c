/**
 * The line of payloads that want bandwidth: classes share by weight (start-time fair queuing over classes), inside a
 * class payloads that have started come before those that have not, oldest first. Owns the order alone: never counts
 * tokens, never calls anybody.
 *
 * Why oldest first: a piece is of use only when it is whole. n payloads that take turns are all complete at the end; one
 * after the other, the first is complete, and can be passed on, n times sooner, and the last no later.
 */
import type { ShareClass } from './namespace-classes.js';

/** A payload as the line sees it. */
export interface Flow {
  /** In order of asking to be sent or announcing to come. */
  readonly number: number;
  readonly namespace: string;
  /** In order of start; Infinity before the first byte was granted. */
  started: number;
}

/** A place in the line. */
export interface Claim {
  readonly flow: Flow;
  readonly bytes: number;
  granted(): void;
}

/** A class with members in line, or one that was served before. */
interface Share {
  readonly weight: number;
  readonly claims: Claim[];
  /** Virtual time at which its next bytes begin: of all shares with claims, the least goes first. */
  start: number;
}

export class ShareLine {
  readonly #shares = new Map<ShareClass, Share>();
  /** Start of the bytes that were served last. A class that comes back begins here: idle time earns nothing. */
  #virtualTime = 0;
  #size = 0;

  /** Claims in line. */
  get size(): number {
    return this.#size;
  }

  *claims(): Iterable<Claim> {
    for (const { claims } of this.#shares.values()) yield* claims;
  }

  add(of: ShareClass, claim: Claim): void {
    const share = this.#share(of);
    if (share.claims.length === 0) share.start = Math.max(share.start, this.#virtualTime);
    share.claims.splice(placeOf(claim.flow, share.claims), 0, claim);
    this.#size++;
  }

  /** @returns false when it is not in line (any more) */
  remove(of: ShareClass, claim: Claim): boolean {
    const { claims } = this.#share(of);
    const at = claims.indexOf(claim);
    if (at === -1) return false;
    claims.splice(at, 1);
    this.#size--;
    return true;
  }

  /** Who is next. */
  head(): Claim | undefined {
    let next: Share | undefined;
    for (const share of this.#shares.values()) {
      if (share.claims.length > 0 && (next === undefined || share.start < next.start)) next = share;
    }
    return next?.claims[0];
  }

  /** Members of `of` were given `bytes`, in line or not. Negative: they gave them back. */
  charge(of: ShareClass, bytes: number): void {
    const share = this.#share(of);
    if (bytes > 0) {
      if (share.claims.length === 0) share.start = Math.max(share.start, this.#virtualTime);
      this.#virtualTime = share.start;
    }
    share.start += bytes / share.weight;
    // Nobody waits: there was enough for all, and what was taken is not held against anybody.
    if (this.#size === 0) this.#virtualTime = share.start;
  }

  #share(of: ShareClass): Share {
    let share = this.#shares.get(of);
    if (share === undefined) {
      share = { weight: of.weight, claims: [], start: this.#virtualTime };
      this.#shares.set(of, share);
    }
    return share;
  }
}

/** Index of the first claim that comes after `flow`. */
function placeOf(flow: Flow, claims: readonly Claim[]): number {
  let low = 0;
  let high = claims.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = claims[middle];
    if (other !== undefined && isBefore(flow, other.flow)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The order inside a class. */
function isBefore(a: Flow, b: Flow): boolean {
  return a.started === b.started ? a.number < b.number : a.started < b.started;
}
