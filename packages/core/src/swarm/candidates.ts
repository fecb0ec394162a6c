/**
 * The question that a piece-choice policy answers, over live bitfields: which open pieces may be asked of one peer. One
 * object per torrent, filled anew for each question, so that asking allocates nothing.
 */
import type { Bitfield } from '../content/index.js';
import type { PieceQuestion } from '../policy/piece-choice/index.js';
import type { Random } from '../random/index.js';
import type { Connection } from './connection.js';
import type { PeerPieces } from './peer-pieces.js';
import type { Rarity } from './rarity.js';

/** How far ahead of a reader the first candidate is looked for, in words of 32 pieces. Guess: 2048 pieces. */
const READ_AHEAD_WORDS = 64;

export class Candidates implements PieceQuestion {
  readonly words: number;
  readonly rarity: Rarity;
  readonly random: Random;
  lowestGroup = 0;
  readonly #open: Bitfield;
  readonly #peers: PeerPieces;
  #peer: Connection | undefined;
  #without: Bitfield | undefined;
  #avoid: ReadonlyMap<number, number> = new Map();
  #now = 0;

  constructor(open: Bitfield, peers: PeerPieces, random: Random) {
    this.words = open.words.length;
    this.rarity = peers.rarity;
    this.random = random;
    this.#open = open;
    this.#peers = peers;
  }

  /**
   * @param peer attached
   * @param without pieces that are left out (an origin is spared what agents have)
   * @param avoid pieces not to be asked of this peer until a time
   */
  ask(peer: Connection, without: Bitfield | undefined, avoid: ReadonlyMap<number, number>, now: number): this {
    this.#peer = peer;
    this.#without = without;
    this.#avoid = avoid;
    this.#now = now;
    this.lowestGroup = this.#peers.isComplete(peer) ? 0 : 1;
    return this;
  }

  candidates(w: number): number {
    let mask = this.#peer === undefined ? 0 : (this.#open.words[w] as number) & this.#peers.word(this.#peer, w);
    if (mask === 0) return 0;
    if (this.#without !== undefined) mask &= ~(this.#without.words[w] as number);
    if (this.#avoid.size > 0) {
      for (const [piece, until] of this.#avoid)
        if (piece >>> 5 === w && until > this.#now) mask &= ~(1 << (piece & 31));
    }
    return mask >>> 0;
  }

  isCandidate(piece: number): boolean {
    return piece >= 0 && piece >>> 5 < this.words && (this.candidates(piece >>> 5) & (1 << (piece & 31))) !== 0;
  }

  /** The lowest candidate in [from, end) near `from`, or -1. */
  firstFrom(from: number, end: number): number {
    const lastWord = Math.min(this.words, (from >>> 5) + READ_AHEAD_WORDS);
    for (let w = from >>> 5; w < lastWord; w++) {
      let mask = this.candidates(w);
      if (w === from >>> 5) mask &= ~0 << (from & 31);
      if (mask === 0) continue;
      const piece = w * 32 + (31 - Math.clz32(mask & -mask));
      return piece < end ? piece : -1;
    }
    return -1;
  }
}
