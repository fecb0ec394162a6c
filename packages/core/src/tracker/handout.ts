/**
 * What a tracker answers to an announce: which peers, in which order. Source: spec tracker-agent-ring.md §1.4, §1.5, §2.
 *
 * Pure: gets the sample and the origins, gives the list. Differs from Kraken: the announcer is left out by peer id
 * (Kraken compares object identity and hands everybody themselves), and nobody is listed twice.
 */
import type { PeerInfo } from '../content/index.js';
import type { PeerOrder } from '../policy/peer-order/peer-order.js';
import type { Random } from '../random/index.js';

/** Peers of one answer, origins not counted [trackerserver.announce_limit]. Kraken: 50. */
export const DEFAULT_ANNOUNCE_LIMIT = 50;
/** How often agents come back [trackerserver.announce_interval]. Kraken: 3 s. */
export const DEFAULT_ANNOUNCE_INTERVAL_MS = 3000;

/** What an announcer tells about itself. */
export interface Announcer {
  readonly peer: PeerInfo;
  readonly event?: 'stopped' | undefined;
}

/** Whether the announcer looks for peers; a complete one and one that leaves get none, and no lookup is made for them. */
export function wantsPeers(announcer: Announcer): boolean {
  return !announcer.peer.complete && announcer.event !== 'stopped';
}

/**
 * The peers for one announcer: the sample cut to `limit`, then all origins, sorted by the policy. Origins are shuffled, so
 * that agents which dial few peers do not all dial the same origin.
 */
export function handOut(input: {
  readonly announcer: PeerInfo;
  /** Random peers of the swarm in random order. */
  readonly sample: readonly PeerInfo[];
  readonly origins: readonly PeerInfo[];
  readonly order: PeerOrder;
  readonly limit?: number;
  readonly random: Random;
}): PeerInfo[] {
  const { announcer, sample, order, random } = input;
  const limit = input.limit ?? DEFAULT_ANNOUNCE_LIMIT;
  const origins = random.shuffle(input.origins.filter((origin) => origin.peerId !== announcer.peerId));
  const seen = new Set(origins.map((origin) => origin.peerId));
  seen.add(announcer.peerId);
  const peers: PeerInfo[] = [];
  for (const peer of sample) {
    if (peers.length >= limit) break;
    if (seen.has(peer.peerId)) continue;
    seen.add(peer.peerId);
    peers.push(peer);
  }
  peers.push(...origins);
  // Array.prototype.sort is stable: equal ranks keep their random order.
  return peers
    .map((peer) => ({ peer, rank: order.rank(peer) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ peer }) => peer);
}
