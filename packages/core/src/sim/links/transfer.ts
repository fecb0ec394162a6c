/**
 * Payloads on their way, and those that wait to leave. Queues are threaded through the payloads: with thousands of hosts each
 * array would be two more places in memory to fetch for each payload.
 */
import type { Flow } from './link-model.js';

/** A payload, from the moment at which it is queued. */
export class Transfer {
  /** In bytes. */
  readonly length: number;
  /** Mark of the model: the connection ended before the last byte left, the rest never comes. */
  cut = false;
  /** Scratch of the model: the first bytes have reached the receiver. */
  headed = false;
  /** Scratch: when the last byte reaches the receiver; Infinity before it has left. */
  arrivesAt = Infinity;
  /** Scratch: until when its bytes are being read. */
  readUntil = -Infinity;
  /** Scratch: whose it is. */
  flow: Flow | undefined;
  /** Scratch: what leaves the same card after it. */
  nextOnCard: Transfer | undefined;
  /** What leaves over the same connection after it. Kept by {@link TransferQueue}, which it can be in once. */
  next: Transfer | undefined;

  /** @param length in bytes */
  constructor(length: number) {
    this.length = length;
  }
}

/** Payloads of one connection that have not been sent, first in, first out. */
export class TransferQueue<T extends Transfer = Transfer> {
  /** Scratch of the model: the first that it has not taken note of. */
  unnoted: T | undefined;
  #first: T | undefined;
  #last: T | undefined;
  #length = 0;

  /** What leaves next, or is leaving. */
  get first(): T | undefined {
    return this.#first;
  }

  /** Payloads in it. */
  get length(): number {
    return this.#length;
  }

  /** Put a payload at the end. */
  push(transfer: T): void {
    if (this.#last === undefined) this.#first = transfer;
    else this.#last.next = transfer;
    this.#last = transfer;
    this.unnoted ??= transfer;
    this.#length++;
  }

  /** Take the first off. */
  shift(): void {
    const first = this.#first;
    if (first === undefined) return;
    const next = first.next as T | undefined;
    if (this.unnoted === first) this.unnoted = next;
    this.#first = next;
    if (next === undefined) this.#last = undefined;
    first.next = undefined;
    this.#length--;
  }

  /** Take all off. @returns them, in order */
  clear(): T[] {
    const all: T[] = [];
    for (let { first } = this; first !== undefined; { first } = this) {
      all.push(first);
      this.shift();
    }
    return all;
  }
}
