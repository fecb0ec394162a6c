/**
 * Open readers of one torrent and range pulls that wait for their last piece. A range pull is filed under the lowest
 * piece it still lacks, so a stored piece costs only what waits for exactly that piece.
 */
import type { Bitfield } from '../content/index.js';
import type { Random } from '../random/index.js';
import type { Candidates } from './candidates.js';
import type { OriginSparing } from './origin-sparing.js';
import type { Pull } from './pulls.js';

/** Candidates looked at for one of our share. Guess: more than the neighbours of a node. */
const SHARE_PROBES = 32;

/** Densities of holes between which the share of the readers rises. Simulated; see {@link Readers.share}. */
const RISES_AT = 0.6;
const RISEN_AT = 0.25;

export class Readers {
  readonly #readers: Pull[] = [];
  readonly #ranges = new Map<number, Set<Pull>>();
  readonly #filedUnder = new Map<Pull, number>();
  /** No lower piece was missing when it was last looked at. */
  #prefix = 0;

  /** Number of in-order readers. */
  get size(): number {
    return this.#readers.length;
  }

  addReader(pull: Pull): void {
    this.#readers.push(pull);
  }

  /** File a range pull. @returns true when it lacks nothing */
  addRange(pull: Pull, have: Bitfield): boolean {
    const lacks = have.firstClear(pull.first);
    if (lacks < 0 || lacks >= pull.end) return true;
    const filed = this.#ranges.get(lacks);
    if (filed === undefined) this.#ranges.set(lacks, new Set([pull]));
    else filed.add(pull);
    this.#filedUnder.set(pull, lacks);
    return false;
  }

  remove(pull: Pull): void {
    const at = this.#readers.indexOf(pull);
    if (at >= 0) this.#readers.splice(at, 1);
    const lacks = this.#filedUnder.get(pull);
    if (lacks === undefined) return;
    this.#filedUnder.delete(pull);
    const filed = this.#ranges.get(lacks);
    filed?.delete(pull);
    if (filed?.size === 0) this.#ranges.delete(lacks);
  }

  /** A piece is verified. @returns range pulls that now have everything; they are no longer filed */
  stored(piece: number, have: Bitfield): readonly Pull[] {
    const filed = this.#ranges.get(piece);
    if (filed === undefined) return [];
    this.#ranges.delete(piece);
    const done: Pull[] = [];
    for (const pull of filed) {
      this.#filedUnder.delete(pull);
      if (this.addRange(pull, have)) done.push(pull);
    }
    return done;
  }

  /**
   * Share of the requests that goes to readers: `first`, and more the fewer holes are left behind the prefix, in the end all of them;
   * none when `first` is 0. Readers and the whole-blob hash run through what lies between two holes at once: where holes are few, the prefix
   * grows faster than the hash can follow, and what it is behind by when the last piece comes is what everybody waits for.
   */
  share(have: Bitfield, first: number): number {
    if (first === 0) return 0;
    const prefix = have.firstClear(this.#prefix);
    if (prefix < 0) return 1;
    this.#prefix = prefix;
    const holes = (have.length - have.count) / (have.length - prefix);
    const risen = (RISES_AT - holes) / (RISES_AT - RISEN_AT);
    return first + (1 - first) * Math.min(1, Math.max(0, risen));
  }

  /**
   * The lowest candidate that a random reader needs, or -1.
   * @param share only the lowest of the next few candidates that belongs to it will do
   */
  choose(question: Candidates, have: Bitfield, random: Random, share: OriginSparing | undefined): number {
    const pull = this.#readers[random.below(this.#readers.length)];
    if (pull === undefined) return -1;
    const lacks = have.firstClear(pull.reader);
    if (lacks < 0 || lacks >= pull.end) return -1;
    pull.reader = lacks;
    let piece = question.firstFrom(lacks, pull.end);
    if (share === undefined) return piece;
    for (let probe = 0; piece >= 0 && probe < SHARE_PROBES; probe++) {
      if (share.isMine(piece)) return piece;
      piece = question.firstFrom(piece + 1, pull.end);
    }
    return -1;
  }
}
