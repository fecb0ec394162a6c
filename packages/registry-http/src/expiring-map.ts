/**
 * Values that are good until a time. Bounded: what has expired goes as others come, oldest first, and the oldest when there is
 * no room. Made for lifetimes that are much alike: one that lasts keeps those after it waiting. Starts no timer and reads no
 * clock; takes no memory for what it could hold.
 */
interface Entry<V> {
  readonly value: V;
  readonly untilMs: number;
}

/** Expired entries that one new entry removes: one comes and two go. */
const EXPIRED_PER_SET = 2;

export class ExpiringMap<K, V> {
  readonly #max: number;
  /** Oldest first. */
  readonly #entries = new Map<K, Entry<V>>();

  /** @param max entries */
  constructor(max: number) {
    this.#max = max;
  }

  /** Entries now, expired ones included. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value of `key` if it is still good at `nowMs`. */
  get(key: K, nowMs: number): V | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && nowMs < entry.untilMs ? entry.value : undefined;
  }

  /** @param untilMs when `value` is no longer good; Infinity: never */
  set(key: K, value: V, nowMs: number, untilMs: number): void {
    this.#entries.delete(key);
    let dropped = 0;
    for (const [oldest, entry] of this.#entries) {
      const mustGo = this.#entries.size >= this.#max;
      if (!mustGo && (dropped >= EXPIRED_PER_SET || nowMs < entry.untilMs)) break;
      this.#entries.delete(oldest);
      dropped++;
    }
    this.#entries.set(key, { value, untilMs });
  }

  delete(key: K): void {
    this.#entries.delete(key);
  }
}
