/**
 * Missing pieces ordered by how many partial peers have them. All pieces lie in one order, in groups of equal count; a
 * piece whose count changes by one is swapped over the border of its group: O(1). Group 0 of the order is for pieces that we
 * have, group 1 + c for missing ones with count c. (The same structure as libtorrent's piece picker.)
 *
 * Everything is in one flat array of the smallest numbers that do, what belongs to one piece side by side: with thousands of
 * torrents in memory the cost of a change is the number of cache lines that it touches.
 */
import type { RarityGroups } from '../policy/piece-choice/index.js';

/** Cells of one piece: its count and its place in the order. */
const COUNT = 0;
const PLACE = 1;
const CELLS = 2;
/** Groups that there is room for at first; it doubles. */
const GROUPS_AT_FIRST = 14;

export class Rarity implements RarityGroups {
  readonly #pieces: number;
  /** First where each group starts, the last entry being the end; from `#base` on the pieces, from `#order` on their order. */
  #cells: Uint16Array | Uint32Array;
  #base: number;
  #order: number;
  /** Entries in use of the starts. */
  #starts = 3;

  constructor(pieces: number) {
    this.#pieces = pieces;
    this.#base = GROUPS_AT_FIRST + 2;
    this.#order = this.#base + pieces * CELLS;
    this.#cells = emptyCells(this.#order + pieces, pieces);
    this.#cells[2] = pieces;
    for (let piece = 0; piece < pieces; piece++) {
      this.#cells[this.#base + piece * CELLS + PLACE] = piece;
      this.#cells[this.#order + piece] = piece;
    }
  }

  get groups(): number {
    return this.#starts - 2;
  }

  groupSize(g: number): number {
    return g < this.groups ? (this.#cells[g + 2] as number) - (this.#cells[g + 1] as number) : 0;
  }

  pieceAt(g: number, i: number): number {
    return this.#cells[this.#order + (this.#cells[g + 1] as number) + i] as number;
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
    const cells = this.#cells;
    let hole = cells[this.#base + piece * CELLS + PLACE] as number;
    for (let key = this.groupOf(piece) + 1; key > 0; key--) {
      const border = cells[key] as number;
      // What lies at the hole itself is `piece`, or has just been moved from there.
      if (border !== hole) this.#put(cells[this.#order + border] as number, hole);
      hole = border;
      cells[key] = border + 1;
    }
    this.#put(piece, hole);
  }

  #lower(piece: number, key: number): void {
    const border = this.#cells[key] as number;
    this.#swap(piece, border);
    this.#cells[key] = border + 1;
  }

  #swap(piece: number, to: number): void {
    const from = this.#cells[this.#base + piece * CELLS + PLACE] as number;
    this.#put(this.#cells[this.#order + to] as number, from);
    this.#put(piece, to);
  }

  #put(piece: number, place: number): void {
    this.#cells[this.#order + place] = piece;
    this.#cells[this.#base + piece * CELLS + PLACE] = place;
  }

  /** One more group, empty, at the end. */
  #addGroup(): void {
    if (this.#starts === this.#base) {
      const base = this.#base;
      const grown = emptyCells(base + this.#cells.length, this.#pieces);
      grown.set(this.#cells.subarray(0, base));
      grown.set(this.#cells.subarray(base), base * 2);
      this.#cells = grown;
      this.#base += base;
      this.#order += base;
    }
    this.#cells[this.#starts++] = this.#pieces;
  }
}

/** Counts are numbers of connections, of which a torrent has far fewer than 2^16. */
function emptyCells(length: number, pieces: number): Uint16Array | Uint32Array {
  return pieces < 2 ** 16 ? new Uint16Array(length) : new Uint32Array(length);
}
