/** Addresses that answered TLS by closing: plain peers, for a while. Owns a bounded table. Source: decision 0015. */
import type { Clock } from './clock.js';

/** The peer may have been upgraded since. Guess. */
const REMEMBERED_MS = 10 * 60_000;
/** The oldest is forgotten first. Guess: some clusters have 15,000 agents; a forgotten one costs a round trip. */
const ADDRESSES_MAX = 16_384;

export class PlainAddresses {
  readonly #clock: Clock;
  /** Address → when it is forgotten. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(address: string): void {
    this.#until.delete(address);
    this.#until.set(address, this.#clock.now() + REMEMBERED_MS);
    if (this.#until.size <= ADDRESSES_MAX) return;
    const [oldest] = this.#until.keys();
    if (oldest !== undefined) this.#until.delete(oldest);
  }

  has(address: string): boolean {
    const until = this.#until.get(address);
    if (until === undefined) return false;
    if (until > this.#clock.now()) return true;
    this.#until.delete(address);
    return false;
  }
}
