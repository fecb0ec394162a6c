/**
 * Who has what: the only owner of the attached peers' bitfields and of the rarity counts, so the two cannot drift apart
 * (spec p2p.md §10.28). Complete peers are counted as a number, not piece by piece: attaching an origin is O(1).
 * What a peer has lies on its connection; only this file changes it. An announce of a piece that the peer already has changes nothing.
 */
import { Bitfield } from '../content/index.js';
import type { Connection } from './connection.js';
import { Rarity } from './rarity.js';

export class PeerPieces {
  readonly rarity: Rarity;
  /** Pieces that some partial peer has. Read only for others. */
  readonly partialHeld: Bitfield;
  readonly #pieces: number;
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

  /** Attach a peer with a copy of `bits`. O(1) for a complete peer, O(its pieces) otherwise. */
  add(connection: Connection, bits: Bitfield): void {
    if (bits.isComplete) {
      connection.bits = bits;
      this.#countComplete(connection.origin, 1);
      return;
    }
    const own = bits.clone();
    connection.bits = own;
    for (const piece of own) this.#gain(piece);
  }

  remove(connection: Connection): void {
    const { bits } = connection;
    if (bits === undefined) return;
    connection.bits = undefined;
    if (bits.isComplete) this.#countComplete(connection.origin, -1);
    else for (const piece of bits) this.#lose(piece);
  }

  /** The peer says it has `piece` (in range). @returns true when that is news */
  announce(connection: Connection, piece: number): boolean {
    const { bits } = connection;
    if (bits === undefined || bits.has(piece)) return false;
    if (bits.count + 1 === bits.length) {
      this.complete(connection);
      return true;
    }
    bits.set(piece);
    this.#gain(piece);
    return true;
  }

  /** The peer says it has everything. @returns true when that is news */
  complete(connection: Connection): boolean {
    const { bits } = connection;
    if (bits === undefined || bits.isComplete) return false;
    for (const piece of bits) this.#lose(piece);
    connection.bits = Bitfield.full(this.#pieces);
    this.#countComplete(connection.origin, 1);
    return true;
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
