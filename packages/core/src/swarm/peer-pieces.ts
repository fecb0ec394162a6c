/**
 * Who has what: the only owner of the attached peers' bitfields and of the rarity counts, so the two cannot drift apart
 * (spec p2p.md §10.28). Complete peers are counted as a number, not piece by piece: attaching an origin is O(1).
 * An announce of a piece that the peer already has changes nothing.
 */
import { Bitfield } from '../content/index.js';
import { Rarity } from './rarity.js';

interface Peer {
  bits: Bitfield;
  readonly origin: boolean;
}

export class PeerPieces {
  readonly rarity: Rarity;
  /** Pieces that some partial peer has. Read only for others. */
  readonly partialHeld: Bitfield;
  readonly #pieces: number;
  readonly #peers = new Map<number, Peer>();
  #completePeers = 0;
  #completeAgents = 0;

  constructor(have: Bitfield) {
    this.#pieces = have.length;
    this.rarity = new Rarity(have.length);
    this.partialHeld = new Bitfield(have.length);
    for (const piece of have) this.rarity.done(piece);
  }

  /** True when an attached agent has everything. */
  get hasCompleteAgent(): boolean {
    return this.#completeAgents > 0;
  }

  /** Attached peers that have `piece`. */
  count(piece: number): number {
    return this.#completePeers + this.rarity.count(piece);
  }

  /** Attach `conn` with a copy of `bits`. O(1) for a complete peer, O(its pieces) otherwise. */
  add(conn: number, bits: Bitfield, origin: boolean): void {
    if (bits.isComplete) {
      this.#peers.set(conn, { bits, origin });
      this.#countComplete(origin, 1);
      return;
    }
    const own = bits.clone();
    this.#peers.set(conn, { bits: own, origin });
    for (const piece of own) this.#gain(piece);
  }

  remove(conn: number): void {
    const peer = this.#peers.get(conn);
    if (peer === undefined) return;
    this.#peers.delete(conn);
    if (peer.bits.isComplete) this.#countComplete(peer.origin, -1);
    else for (const piece of peer.bits) this.#lose(piece);
  }

  /** The peer says it has `piece` (in range). @returns true when that is news */
  announce(conn: number, piece: number): boolean {
    const peer = this.#peers.get(conn);
    if (peer === undefined || peer.bits.has(piece)) return false;
    if (peer.bits.count + 1 === peer.bits.length) {
      this.complete(conn);
      return true;
    }
    peer.bits.set(piece);
    this.#gain(piece);
    return true;
  }

  /** The peer says it has everything. @returns true when that is news */
  complete(conn: number): boolean {
    const peer = this.#peers.get(conn);
    if (peer === undefined || peer.bits.isComplete) return false;
    for (const piece of peer.bits) this.#lose(piece);
    peer.bits = Bitfield.full(this.#pieces);
    this.#countComplete(peer.origin, 1);
    return true;
  }

  has(conn: number, piece: number): boolean {
    return this.#peers.get(conn)?.bits.has(piece) ?? false;
  }

  isComplete(conn: number): boolean {
    return this.#peers.get(conn)?.bits.isComplete ?? false;
  }

  /** The peer's pieces; read only. */
  bits(conn: number): Bitfield | undefined {
    return this.#peers.get(conn)?.bits;
  }

  #countComplete(origin: boolean, by: number): void {
    this.#completePeers += by;
    if (!origin) this.#completeAgents += by;
  }

  #gain(piece: number): void {
    if (this.rarity.increment(piece) === 1) this.partialHeld.set(piece);
  }

  #lose(piece: number): void {
    if (this.rarity.decrement(piece) === 0) this.partialHeld.clear(piece);
  }
}
