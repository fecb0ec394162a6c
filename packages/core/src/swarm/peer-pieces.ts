/**
 * Who has what: the only owner of the attached peers, their bits and the rarity counts, so that these cannot drift apart
 * (spec p2p.md §10.28). Complete peers are counted as a number, not piece by piece.
 * An announce of a piece that the peer already has changes nothing.
 *
 * The bits of all peers lie in one flat table, a row for each peer in the order of attaching: for each piece that is stored
 * all of them are looked at, and with thousands of torrents in memory each object more is a cache miss more.
 */
import { Bitfield } from '../content/index.js';
import type { Connection } from './connection.js';
import { Rarity } from './rarity.js';

/** Where the bits start in a row; before them is their number. */
const BITS = 1;
/** Rows that there is room for at first; it doubles. */
const ROWS_AT_FIRST = 4;

export class PeerPieces {
  readonly rarity: Rarity;
  #rows: Uint32Array;
  /** Words of a row. */
  readonly #stride: number;
  readonly #pieces: number;
  /** Pieces that some partial peer has. Read only for others. */
  readonly partialHeld: Bitfield;
  /** Words of 32 pieces. */
  readonly #words: number;
  readonly #peers: Connection[] = [];
  /** Their numbers, side by side. */
  readonly #conns: number[] = [];
  #completePeers = 0;
  #completeAgents = 0;

  constructor(have: Bitfield) {
    this.#pieces = have.length;
    this.#words = have.words.length;
    this.#stride = BITS + this.#words;
    this.#rows = new Uint32Array(ROWS_AT_FIRST * this.#stride);
    this.rarity = new Rarity(have.length);
    this.partialHeld = new Bitfield(have.length);
    for (const piece of have) this.rarity.done(piece);
  }

  /** Attached peers, by row. */
  get peers(): readonly Connection[] {
    return this.#peers;
  }

  /** True when an attached agent has everything. */
  get hasCompleteAgent(): boolean {
    return this.#completeAgents > 0;
  }

  /** True when all attached peers have everything. */
  get allComplete(): boolean {
    return this.#completePeers === this.#peers.length;
  }

  /** Attached peers that have `piece`. */
  count(piece: number): number {
    return this.#completePeers + this.rarity.count(piece);
  }

  /** True when the attached peer has `piece`, which is in range. */
  has(peer: Connection, piece: number): boolean {
    return this.#hasBit(peer.row * this.#stride, piece);
  }

  /** Number of pieces that the peer in a row has. */
  countAt(row: number): number {
    return this.#rows[row * this.#stride] as number;
  }

  /** True when the attached peer has everything. */
  isComplete(peer: Connection): boolean {
    return this.countAt(peer.row) === this.#pieces;
  }

  /** 32 pieces of the attached peer, as {@link Bitfield.words}. */
  word(peer: Connection, w: number): number {
    return this.#rows[peer.row * this.#stride + BITS + w] as number;
  }

  /** A copy of what the peer has; `undefined` unless it is attached. */
  bits(peer: Connection): Bitfield | undefined {
    if (peer.row < 0) return undefined;
    const first = peer.row * this.#stride + BITS;
    return Bitfield.fromWords(this.#pieces, this.#rows.subarray(first, first + this.#words));
  }

  /** Connection numbers of the attached peers that lack `piece`, but for one. */
  lacking(piece: number, except: Connection | undefined): number[] {
    const conns: number[] = [];
    for (let row = 0; row < this.#peers.length; row++) {
      if (row === except?.row || this.#hasBit(row * this.#stride, piece)) continue;
      conns.push(this.#conns[row] as number);
    }
    return conns;
  }

  /** Attach a peer with a copy of `bits`. */
  add(peer: Connection, bits: Bitfield): void {
    const at = this.#peers.length * this.#stride;
    if (at === this.#rows.length) this.#grow();
    peer.row = this.#peers.length;
    this.#peers.push(peer);
    this.#conns.push(peer.conn);
    this.#rows[at] = bits.count;
    this.#rows.set(bits.words, at + BITS);
    if (bits.isComplete) this.#countComplete(peer.origin, 1);
    else eachPiece(bits.words, (piece) => this.#gain(piece));
  }

  /** Detach a peer; the rows behind it move up. */
  remove(peer: Connection): void {
    const { row } = peer;
    if (row < 0) return;
    if (this.isComplete(peer)) this.#countComplete(peer.origin, -1);
    else this.#loseAll(peer);
    this.#rows.copyWithin(row * this.#stride, (row + 1) * this.#stride, this.#peers.length * this.#stride);
    this.#peers.splice(row, 1);
    this.#conns.splice(row, 1);
    for (let next = row; next < this.#peers.length; next++) (this.#peers[next] as Connection).row = next;
    peer.row = -1;
  }

  /** The attached peer says it has `piece` (in range). @returns true when that is news */
  announce(peer: Connection, piece: number): boolean {
    const at = peer.row * this.#stride;
    if (peer.row < 0 || this.#hasBit(at, piece)) return false;
    const count = (this.#rows[at] as number) + 1;
    if (count === this.#pieces) return this.complete(peer);
    this.#rows[at] = count;
    const word = at + BITS + (piece >>> 5);
    this.#rows[word] = (this.#rows[word] as number) | (1 << (piece & 31));
    this.#gain(piece);
    return true;
  }

  /** The attached peer says it has everything. @returns true when that is news */
  complete(peer: Connection): boolean {
    if (peer.row < 0 || this.isComplete(peer)) return false;
    this.#loseAll(peer);
    const at = peer.row * this.#stride;
    this.#rows[at] = this.#pieces;
    this.#rows.set(Bitfield.full(this.#pieces).words, at + BITS);
    this.#countComplete(peer.origin, 1);
    return true;
  }

  #hasBit(at: number, piece: number): boolean {
    return ((this.#rows[at + BITS + (piece >>> 5)] as number) & (1 << (piece & 31))) !== 0;
  }

  #countComplete(origin: boolean, by: number): void {
    this.#completePeers += by;
    if (!origin) this.#completeAgents += by;
  }

  #gain(piece: number): void {
    if (this.rarity.increment(piece) === 1) this.partialHeld.set(piece);
  }

  #loseAll(peer: Connection): void {
    const first = peer.row * this.#stride + BITS;
    eachPiece(this.#rows.subarray(first, first + this.#words), (piece) => {
      if (this.rarity.decrement(piece) === 0) this.partialHeld.clear(piece);
    });
  }

  #grow(): void {
    const grown = new Uint32Array(this.#rows.length * 2);
    grown.set(this.#rows);
    this.#rows = grown;
  }
}

/** Like iterating a {@link Bitfield} over these words, without a generator: some thousand times a second in a large swarm. */
function eachPiece(words: Uint32Array, visit: (piece: number) => void): void {
  for (let w = 0; w < words.length; w++)
    for (let rest = words[w] as number; rest !== 0; rest &= rest - 1) visit(w * 32 + (31 - Math.clz32(rest & -rest)));
}
