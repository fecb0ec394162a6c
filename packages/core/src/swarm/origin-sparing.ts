/**
 * What origins are not asked for, because agents can give it to each other. An origin that has requests in flight, or
 * had a moment ago, is asked only for pieces that no connected agent has *and* that are our share; after a short wait for
 * any piece that no agent has; after `originIdleMs` for anything.
 *
 * Shares: agents that are connected with each other divide the pieces by rendezvous hashing over their peer ids, without a
 * word. Nodes with different neighbours draw different borders, hence the waits. Agents that get nothing have no share: one
 * that holds a range, or whose client went away, fetches nothing, and readers would wait for its share until the end.
 * Source: ours; Go asks every origin for anything (spec p2p.md §5.3), so agents that start together all fetch the same pieces.
 */
import type { PeerId } from '../content/index.js';
import type { Connection } from './connection.js';
import type { SwarmConfig } from './config.js';
import type { PeerPieces } from './peer-pieces.js';

/**
 * An origin is asked for other agents' shares after this part of `originIdleMs` without requests. Simulated, 3 agents and
 * 3 origins of 64 MiB/s, 24 pieces, at 1 s: 1.9 copies leave the origins without shares, 1.3 with them.
 */
const SHARE_WAIT = 0.1;
/**
 * An agent that got no piece while we got so many, and for `originIdleMs`, has no share until it gets one. Guess: agents of
 * one swarm get pieces at like rates, so that none falls so far behind by chance.
 */
const SHARE_PIECES = 8;

/** What a peer is spared: everything but our share of what no agent has, what agents have, or nothing. */
export type Sparing = 'all-but-share' | 'held' | 'nothing';

export class OriginSparing {
  readonly #self: number;
  // Of each attached peer, by the rows of `PeerPieces`. Flat, as all of them are looked at for each piece.
  /** What pieces are weighed with; {@link NO_AGENT} for origins. */
  readonly #seeds: number[] = [];
  /** Pieces that it has, as seen when we last got one. */
  readonly #has: number[] = [];
  /** Pieces that we got since it got one; beyond {@link SHARE_PIECES} it has no share. */
  readonly #behind: number[] = [];
  /** When it was attached or seen to have got a piece. */
  readonly #gainedAt: number[] = [];
  /** Agents that did not answer their last request: what they say they have may never come. */
  readonly #silent = new Set<number>();

  constructor(self: PeerId) {
    this.#self = seedOf(self);
  }

  /** A peer with `has` pieces got the next row. */
  attach({ peer, origin }: Connection, has: number, now: number): void {
    this.#seeds.push(origin ? NO_AGENT : seedOf(peer));
    this.#has.push(has);
    this.#behind.push(0);
    this.#gainedAt.push(now);
  }

  /** A peer is about to lose its row. */
  detach(connection: Connection): void {
    if (connection.row >= 0)
      for (const ofPeers of [this.#seeds, this.#has, this.#behind, this.#gainedAt]) ofPeers.splice(connection.row, 1);
    this.#silent.delete(connection.conn);
  }

  /** We got a piece. O(attached peers). */
  stored(now: number, config: SwarmConfig, peers: PeerPieces): void {
    for (let row = 0; row < this.#has.length; row++) {
      const has = peers.countAt(row);
      const behind = this.#behind[row] as number;
      if (has !== this.#has[row]) {
        this.#has[row] = has;
        this.#behind[row] = 0;
        this.#gainedAt[row] = now;
      } else if (behind < SHARE_PIECES || now >= (this.#gainedAt[row] as number) + config.originIdleMs)
        this.#behind[row] = behind + 1;
    }
  }

  /** A request to the peer has expired. */
  expired(connection: Connection): void {
    if (!connection.origin) this.#silent.add(connection.conn);
  }

  /** The peer has sent a piece. */
  answered(connection: Connection): void {
    if (this.#silent.size > 0) this.#silent.delete(connection.conn);
  }

  /** What the peer is spared now. */
  of(connection: Connection, inFlight: number, now: number, config: SwarmConfig): Sparing {
    if (!connection.origin || !config.originSparing || this.#silent.size > 0) return 'nothing';
    if (inFlight > 0) return 'all-but-share';
    if (now >= this.until(connection, 'held', config)) return 'nothing';
    return now >= this.until(connection, 'all-but-share', config) ? 'held' : 'all-but-share';
  }

  /**
   * When a peer without requests is spared less. Timers and checks must both take the time from here: sums that round
   * differently would let a timer fire for ever just before its check holds.
   */
  until(connection: Connection, sparing: 'all-but-share' | 'held', config: SwarmConfig): number {
    return connection.idleSince + (sparing === 'held' ? config.originIdleMs : config.originIdleMs * SHARE_WAIT);
  }

  /** True when `piece` is our share. O(attached peers). */
  isMine(piece: number): boolean {
    const mine = weigh(this.#self, piece);
    for (let row = 0; row < this.#seeds.length; row++) {
      const seed = this.#seeds[row] as number;
      if (seed !== NO_AGENT && (this.#behind[row] as number) <= SHARE_PIECES && weigh(seed, piece) > mine) return false;
    }
    return true;
  }
}

/** No seed of an agent: those have 32 bits with a sign. */
const NO_AGENT = 2 ** 32;

function seedOf(peer: PeerId): number {
  return Number.parseInt(peer.slice(0, 8), 16) ^ Number.parseInt(peer.slice(32, 40), 16);
}

/** A well-mixed 32-bit number (the finaliser of MurmurHash3). */
function weigh(seed: number, piece: number): number {
  let x = seed ^ Math.imul(piece + 1, 0x9e3779b1);
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
