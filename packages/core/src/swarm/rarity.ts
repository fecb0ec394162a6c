/**
 * Missing pieces ordered by how many partial peers have them. All pieces lie in one order, in groups of equal count; a
 * piece whose count changes by one is swapped over the border of its group: O(1). Group 0 of the order is for pieces that we
 * have, group 1 + c for missing ones with count c. (The same structure as libtorrent's piece picker.)
 *
 * Everything is in one flat array, what belongs to one piece side by side: with thousands of torrents in memory the cost of a
 * change is the number of cache lines that it touches.
 */
import type { RarityGroups } from '../policy/piece-choice/index.js';

/** Cells of one piece: its count, its place in the order, and which piece is at the place of its number. */
const COUNT = 0;
const PLACE = 1;
const ORDER = 2;
const CELLS = 3;
/** Groups that there is room for at first; it doubles. */
const GROUPS_AT_FIRST = 14;

export class Rarity implements RarityGroups {
  readonly #pieces: number;
  /** First where each group starts, the last entry being the end; then, from `#base` on, the pieces. */
  #cells: Int32Array;
  #base: number;
  /** Entries in use of the starts. */
  #starts = 3;

  constructor(pieces: number) {
    this.#pieces = pieces;
    this.#base = GROUPS_AT_FIRST + 2;
    this.#cells = new Int32Array(this.#base + pieces * CELLS);
    this.#cells[2] = pieces;
    for (let piece = 0; piece < pieces; piece++) {
      this.#cells[this.#base + piece * CELLS + PLACE] = piece;
      this.#cells[this.#base + piece * CELLS + ORDER] = piece;
    }
  }

  get groups(): number {
    return this.#starts - 2;
  }

  groupSize(g: number): number {
    return g < this.groups ? (this.#cells[g + 2] as number) - (this.#cells[g + 1] as number) : 0;
  }

  pieceAt(g: number, i: number): number {
    return this.#cells[this.#base + ((this.#cells[g + 1] as number) + i) * CELLS + ORDER] as number;
  }

  groupOf(piece: number): number {
    return this.#cells[this.#base + piece * CELLS + COUNT] as number;
  }

  /** How many partial peers have the piece; 0 for a piece out of range. */
  count(piece: number): number {
    return piece < this.#pieces ? this.groupOf(piece) : 0;
  }

  /** True when we have the piece. */
  isDone(piece: number): boolean {
    return (this.#cells[this.#base + piece * CELLS + PLACE] as number) < (this.#cells[1] as number);
  }

  /** One more partial peer has the piece. @returns how many have it now */
  increment(piece: number): number {
    const count = this.groupOf(piece) + 1;
    this.#cells[this.#base + piece * CELLS + COUNT] = count;
    if (this.isDone(piece)) return count;
    if (this.#starts === count + 2) this.#addGroup();
    const border = (this.#cells[count + 1] as number) - 1;
    this.#swap(piece, border);
    this.#cells[count + 1] = border;
    return count;
  }

  /** One partial peer less has the piece. @returns how many have it now */
  decrement(piece: number): number {
    const count = this.groupOf(piece) - 1;
    this.#cells[this.#base + piece * CELLS + COUNT] = count;
    if (!this.isDone(piece)) this.#lower(piece, count + 2);
    return count;
  }

  /** We have the piece now: out of the groups. O(count), once per piece. */
  done(piece: number): void {
    if (this.isDone(piece)) return;
    for (let key = this.groupOf(piece) + 1; key > 0; key--) this.#lower(piece, key);
  }

  #lower(piece: number, key: number): void {
    const border = this.#cells[key] as number;
    this.#swap(piece, border);
    this.#cells[key] = border + 1;
  }

  #swap(piece: number, to: number): void {
    const cells = this.#cells;
    const base = this.#base;
    const from = cells[base + piece * CELLS + PLACE] as number;
    const other = cells[base + to * CELLS + ORDER] as number;
    cells[base + to * CELLS + ORDER] = piece;
    cells[base + from * CELLS + ORDER] = other;
    cells[base + piece * CELLS + PLACE] = to;
    cells[base + other * CELLS + PLACE] = from;
  }

  /** One more group, empty, at the end. */
  #addGroup(): void {
    if (this.#starts === this.#base) {
      const grown = new Int32Array(this.#base + this.#cells.length);
      grown.set(this.#cells.subarray(0, this.#base));
      grown.set(this.#cells.subarray(this.#base), this.#base * 2);
      this.#cells = grown;
      this.#base *= 2;
    }
    this.#cells[this.#starts++] = this.#pieces;
  }
}
