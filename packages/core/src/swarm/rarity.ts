/**
 * Missing pieces ordered by how many partial peers have them. One array holds all pieces in groups of equal
 * count; a piece whose count changes by one is swapped over the border of its group: O(1). Group 0 of the array is for
 * pieces that we have, group 1 + c for missing ones with count c. (The same structure as libtorrent's piece picker.)
 */
import type { RarityGroups } from '../policy/piece-choice/index.js';

export class Rarity implements RarityGroups {
  /** How many partial peers have each piece. Read only for others. */
  readonly counts: Uint32Array;
  readonly #order: Uint32Array;
  readonly #place: Uint32Array;
  /** Where each group starts in `#order`; the last entry is the end. */
  readonly #starts: number[];

  constructor(pieces: number) {
    this.counts = new Uint32Array(pieces);
    this.#order = new Uint32Array(pieces);
    this.#place = new Uint32Array(pieces);
    for (let i = 0; i < pieces; i++) {
      this.#order[i] = i;
      this.#place[i] = i;
    }
    this.#starts = [0, 0, pieces];
  }

  get groups(): number {
    return this.#starts.length - 2;
  }

  groupSize(g: number): number {
    return (this.#starts[g + 2] ?? 0) - (this.#starts[g + 1] ?? 0);
  }

  pieceAt(g: number, i: number): number {
    return this.#order[(this.#starts[g + 1] as number) + i] as number;
  }

  groupOf(piece: number): number {
    return this.counts[piece] as number;
  }

  /** One more partial peer has the piece. */
  increment(piece: number): void {
    const count = this.counts[piece] as number;
    this.counts[piece] = count + 1;
    if (this.#isDone(piece)) return;
    const key = count + 1;
    if (this.#starts.length === key + 2) this.#starts.push(this.#order.length);
    const border = (this.#starts[key + 1] as number) - 1;
    this.#swap(piece, border);
    this.#starts[key + 1] = border;
  }

  /** One partial peer less has the piece. */
  decrement(piece: number): void {
    const count = this.counts[piece] as number;
    this.counts[piece] = count - 1;
    if (!this.#isDone(piece)) this.#lower(piece, count + 1);
  }

  /** We have the piece now: out of the groups. O(count), once per piece. */
  done(piece: number): void {
    if (this.#isDone(piece)) return;
    for (let key = (this.counts[piece] as number) + 1; key > 0; key--) this.#lower(piece, key);
  }

  #isDone(piece: number): boolean {
    return (this.#place[piece] as number) < (this.#starts[1] as number);
  }

  #lower(piece: number, key: number): void {
    const border = this.#starts[key] as number;
    this.#swap(piece, border);
    this.#starts[key] = border + 1;
  }

  #swap(piece: number, to: number): void {
    const from = this.#place[piece] as number;
    const other = this.#order[to] as number;
    this.#order[to] = piece;
    this.#order[from] = other;
    this.#place[piece] = to;
    this.#place[other] = from;
  }
}
