/**
 * One tracker: the peer store and the handout together. Source: spec tracker-agent-ring.md §1.3–§1.5. Synchronous, time
 * passed in; the origins of a blob are the caller's to find, because that takes a request.
 *
 * `record` first; when it says that the announcer wants peers, find the origins and ask for the `answer`.
 */
import type { InfoHash, PeerInfo } from '../content/index.js';
import { KrakenError } from '../errors/index.js';
import { PEER_ORDERS, type PeerOrder, type PeerOrders } from '../policy/peer-order/index.js';
import type { Random } from '../random/index.js';
import { DEFAULT_ANNOUNCE_LIMIT, handOut, wantsPeers, type Announcer } from './handout.js';
import { PeerStore, type PeerStoreLimits } from './peer-store.js';

/** What a tracker is made of. */
export interface TrackerOptions {
  readonly random: Random;
  /** Name of a peer order: one that ships or one of `peerOrders`. Kraken's shipped tracker and ours: `completeness`. */
  readonly peerOrder?: string;
  /** Peer orders of the embedding program, beside those that ship. */
  readonly peerOrders?: PeerOrders;
  /** Peers of one answer, origins not counted. */
  readonly announceLimit?: number;
  readonly limits?: Partial<PeerStoreLimits>;
}

/** An announce, whatever its encoding was. */
export interface Announce extends Announcer {
  readonly infoHash: InfoHash;
}

/** Records announces and answers them. */
export class Tracker {
  readonly peers: PeerStore;
  readonly #random: Random;
  readonly #order: PeerOrder;
  readonly #announceLimit: number;

  /** @throws KrakenError `config-invalid` for an unknown peer order */
  constructor(options: TrackerOptions) {
    this.#random = options.random;
    this.#order = orderNamed(options.peerOrder ?? 'completeness', { ...PEER_ORDERS, ...options.peerOrders });
    this.#announceLimit = options.announceLimit ?? DEFAULT_ANNOUNCE_LIMIT;
    this.peers = new PeerStore(options.random, options.limits, (peer) => this.#order.rank(peer));
  }

  /** Take note of the announcer. @returns whether it wants peers */
  record(announce: Announce, now: number): boolean {
    if (announce.event === 'stopped') this.peers.leave(announce.infoHash, announce.peer.peerId);
    else this.peers.announce(announce.infoHash, announce.peer, now);
    return wantsPeers(announce);
  }

  /**
   * The peers for an announcer that wants some, best first.
   * @param sample random peers of the swarm from another store than this tracker's own
   */
  answer(announce: Announce, origins: readonly PeerInfo[], now: number, sample?: readonly PeerInfo[]): PeerInfo[] {
    const announcer = announce.peer;
    const except = [announcer.peerId];
    for (const { peerId } of origins) except.push(peerId);
    const own =
      sample === undefined ? this.peers.sample(announce.infoHash, this.#announceLimit, now, except) : undefined;
    return handOut({
      announcer,
      sample: sample ?? own?.peers ?? [],
      ranks: own?.ranks,
      origins,
      order: this.#order,
      limit: this.#announceLimit,
      random: this.#random,
    });
  }
}

function orderNamed(name: string, known: PeerOrders): PeerOrder {
  const order = Object.hasOwn(known, name) ? known[name] : undefined;
  if (order !== undefined) return order;
  throw new KrakenError(
    'config-invalid',
    `unknown peer order: expected ${Object.keys(known).join(' or ')}, got ${JSON.stringify(name)}`,
  );
}
