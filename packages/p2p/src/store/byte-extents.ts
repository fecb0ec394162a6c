/** Which bytes of a file have been written: a sorted list of disjoint ranges. Owns the list; ends are exclusive. */
export class ByteExtents {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** Number of separate ranges. */
  get count(): number {
    return this.#starts.length;
  }

  /** Bytes written from 0 without a gap. */
  get contiguous(): number {
    return this.#starts[0] === 0 ? (this.#ends[0] ?? 0) : 0;
  }

  /** End of the last byte written. */
  get end(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /** Add `start` to `end`. */
  add(start: number, end: number): void {
    if (end <= start) return;
    // The ranges that touch the new one: from `first` up to, not including, `last`.
    let first = this.#starts.length;
    while (first > 0 && (this.#ends[first - 1] ?? 0) >= start) first--;
    let last = first;
    while (last < this.#starts.length && (this.#starts[last] ?? 0) <= end) last++;
    const from = first < last ? Math.min(start, this.#starts[first] ?? start) : start;
    const to = first < last ? Math.max(end, this.#ends[last - 1] ?? end) : end;
    this.#starts.splice(first, last - first, from);
    this.#ends.splice(first, last - first, to);
  }
}
