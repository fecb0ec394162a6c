/**
 * Our side of a torrent's pieces: which are verified, which somebody wants, which nobody has been asked for. All
 * updates are O(1) per piece. Never knows peers.
 */
import { Bitfield } from '../content/index.js';

export class OwnPieces {
  /** Verified on disk. Read only for others. */
  readonly have: Bitfield;
  /** Wanted, missing and claimed by no request. Read only for others. */
  readonly open: Bitfield;
  /** Pieces that are asked for or being written. */
  readonly #claimed: Bitfield;
  /** How many range pulls want each piece; made when the first range comes. */
  #wants: Uint32Array | undefined;
  #wholes = 0;
  #wantedMissing = 0;

  /** @param have owned by this object from now on */
  constructor(have: Bitfield) {
    this.have = have;
    this.open = new Bitfield(have.length);
    this.#claimed = new Bitfield(have.length);
  }

  /** Number of pieces that are wanted and missing. */
  get wantedMissing(): number {
    return this.#wantedMissing;
  }

  isWanted(piece: number): boolean {
    return this.#wholes > 0 || (this.#wants?.[piece] ?? 0) > 0;
  }

  /** A whole-blob pull came. O(pieces) for the first. */
  wantAll(): void {
    if (this.#wholes++ === 0) this.#each(0, this.have.length, (piece) => (this.#wants?.[piece] ?? 0) === 0, true);
  }

  /** A whole-blob pull went. O(pieces) for the last. */
  unwantAll(): void {
    if (--this.#wholes === 0) this.#each(0, this.have.length, (piece) => (this.#wants?.[piece] ?? 0) === 0, false);
  }

  /** A range pull came: pieces `first` to `end` (exclusive). */
  want(first: number, end: number): void {
    const wants = (this.#wants ??= new Uint32Array(this.have.length));
    this.#each(first, end, (piece) => wants[piece] === 0 && this.#wholes === 0, true);
    for (let piece = first; piece < end; piece++) wants[piece] = (wants[piece] as number) + 1;
  }

  /** A range pull went. */
  unwant(first: number, end: number): void {
    const wants = (this.#wants ??= new Uint32Array(this.have.length));
    for (let piece = first; piece < end; piece++) wants[piece] = (wants[piece] as number) - 1;
    this.#each(first, end, (piece) => wants[piece] === 0 && this.#wholes === 0, false);
  }

  /** The piece is being asked for. */
  claim(piece: number): void {
    this.#claimed.set(piece);
    this.open.clear(piece);
  }

  /** Nobody is asked for the piece any more. @returns true when it is open again */
  release(piece: number): boolean {
    this.#claimed.clear(piece);
    if (this.have.has(piece) || !this.isWanted(piece)) return false;
    this.open.set(piece);
    return true;
  }

  /** The piece is verified. @returns true when it was missing before */
  store(piece: number): boolean {
    if (!this.have.set(piece)) return false;
    this.#claimed.clear(piece);
    this.open.clear(piece);
    if (this.isWanted(piece)) this.#wantedMissing--;
    return true;
  }

  /** Missing pieces of a stretch whose wanted state changes. */
  #each(first: number, end: number, changes: (piece: number) => boolean, wanted: boolean): void {
    for (let piece = this.have.firstClear(first); piece >= 0 && piece < end; piece = this.have.firstClear(piece + 1)) {
      if (!changes(piece)) continue;
      this.#wantedMissing += wanted ? 1 : -1;
      if (!wanted) this.open.clear(piece);
      else if (!this.#claimed.has(piece)) this.open.set(piece);
    }
  }
}
