/**
 * What origins are not asked for, because agents can give it to each other. An origin that has requests in flight, or
 * had a moment ago, is asked only for pieces that no connected agent has *and* that are our share; after a short wait for
 * any piece that no agent has; after `originIdleMs` for anything.
 *
 * Shares: agents that are connected with each other divide the pieces by rendezvous hashing over their peer ids, without a
 * word. Nodes with different neighbours draw different borders, hence the waits. Source: ours; Go asks every origin for
 * anything (spec p2p.md §5.3), so agents that start together all fetch the same pieces.
 */
import type { PeerId } from '../content/index.js';
import type { Connection } from './connection.js';
import type { SwarmConfig } from './config.js';

/**
 * An origin is asked for other agents' shares after this part of `originIdleMs` without requests. Simulated, 3 agents and
 * 3 origins of 64 MiB/s, 24 pieces, at 1 s: 1.9 copies leave the origins without shares, 1.3 with them.
 */
const SHARE_WAIT = 0.1;

/** What a peer is spared: everything but our share of what no agent has, what agents have, or nothing. */
export type Sparing = 'all-but-share' | 'held' | 'nothing';

export class OriginSparing {
  readonly #self: number;
  readonly #agents = new Map<number, number>();
  /** Agents that did not answer their last request: what they say they have may never come. */
  readonly #silent = new Set<number>();

  constructor(self: PeerId) {
    this.#self = seedOf(self);
  }

  attach(connection: Connection): void {
    if (!connection.origin) this.#agents.set(connection.conn, seedOf(connection.peer));
  }

  detach(connection: Connection): void {
    this.#agents.delete(connection.conn);
    this.#silent.delete(connection.conn);
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
    if (!config.originSparing || !connection.origin || this.#silent.size > 0) return 'nothing';
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

  /** True when `piece` is our share. O(attached agents). */
  isMine(piece: number): boolean {
    const mine = weigh(this.#self, piece);
    for (const agent of this.#agents.values()) if (weigh(agent, piece) > mine) return false;
    return true;
  }
}

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
