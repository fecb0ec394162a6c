/**
 * Which pieces one has. A fixed-length set of bits over 32-bit words with an exact count: `set`, `clear`,
 * `has` and `count` are O(1). The wire form (64-bit big-endian words behind a length) is in `bitset.ts`.
 */

export class Bitfield {
  /** Number of pieces. */
  readonly length: number;
  /** Bit i is word i >>> 5, weight 1 << (i & 31). Bits at or beyond `length` are 0. Read only for others. */
  readonly words: Uint32Array;
  #count = 0;

  /** @throws RangeError unless `length` is an integer ≥ 0 */
  constructor(length: number) {
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new RangeError(`bitfield length expected integer ≥ 0, got ${length}`);
    }
    this.length = length;
    this.words = new Uint32Array((length + 31) >>> 5);
  }

  /** All of `length` pieces. */
  static full(length: number): Bitfield {
    const field = new Bitfield(length);
    field.words.fill(0xffffffff);
    const tail = length & 31;
    if (tail !== 0) field.words[field.words.length - 1] = 2 ** tail - 1;
    field.#count = length;
    return field;
  }

  /** A bitfield with some pieces set. @param indexes which; out of range throws RangeError */
  static of(length: number, indexes: Iterable<number>): Bitfield {
    const field = new Bitfield(length);
    for (const index of indexes) field.set(index);
    return field;
  }

  /**
   * Copies `words` in the layout of {@link Bitfield.words}. Bits at or beyond `length` are cleared.
   * @throws RangeError unless there are exactly as many words as `length` needs
   */
  static fromWords(length: number, words: Uint32Array): Bitfield {
    const field = new Bitfield(length);
    if (words.length !== field.words.length) {
      throw new RangeError(`bitfield of ${length} expected ${field.words.length} words, got ${words.length}`);
    }
    field.words.set(words);
    const tail = length & 31;
    if (tail !== 0) field.words[words.length - 1] = ((words[words.length - 1] as number) & (2 ** tail - 1)) >>> 0;
    for (const word of field.words) field.#count += popcount(word);
    return field;
  }

  /** Number of pieces set. */
  get count(): number {
    return this.#count;
  }

  /** True when every piece is set; also for length 0. */
  get isComplete(): boolean {
    return this.#count === this.length;
  }

  /** False for an index out of range. */
  has(index: number): boolean {
    if (index < 0 || index >= this.length) return false;
    return ((this.words[index >>> 5] as number) & (1 << (index & 31))) !== 0;
  }

  /**
   * @returns true when the bit was clear before
   * @throws RangeError for an index out of range
   */
  set(index: number): boolean {
    this.#check(index);
    const word = this.words[index >>> 5] as number;
    const bit = 1 << (index & 31);
    if ((word & bit) !== 0) return false;
    this.words[index >>> 5] = word | bit;
    this.#count++;
    return true;
  }

  /**
   * @returns true when the bit was set before
   * @throws RangeError for an index out of range
   */
  clear(index: number): boolean {
    this.#check(index);
    const word = this.words[index >>> 5] as number;
    const bit = 1 << (index & 31);
    if ((word & bit) === 0) return false;
    this.words[index >>> 5] = word & ~bit;
    this.#count--;
    return true;
  }

  /** An independent copy. O(length / 32). */
  clone(): Bitfield {
    const copy = new Bitfield(this.length);
    copy.words.set(this.words);
    copy.#count = this.#count;
    return copy;
  }

  /** Lowest clear index at or after `from`, or -1. Skips full words. */
  firstClear(from = 0): number {
    for (let index = from; index < this.length;) {
      const word = this.words[index >>> 5] as number;
      if (word === 0xffffffff) {
        index = (index | 31) + 1;
        continue;
      }
      if ((word & (1 << (index & 31))) === 0) return index;
      index++;
    }
    return -1;
  }

  /** Set indexes, ascending. */
  *[Symbol.iterator](): Generator<number, void> {
    for (let w = 0; w < this.words.length; w++) {
      let word = this.words[w] as number;
      while (word !== 0) {
        const low = 31 - Math.clz32(word & -word);
        yield w * 32 + low;
        word &= word - 1;
      }
    }
  }

  #check(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new RangeError(`piece index expected 0..${this.length - 1}, got ${index}`);
    }
  }
}

/** Number of set bits of a 32-bit word. */
function popcount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
