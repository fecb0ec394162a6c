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
  /** The sample has nobody twice and not the announcer, so that nobody has to look. */
  readonly isDistinct?: boolean;
  readonly origins: readonly PeerInfo[];
  readonly order: PeerOrder;
  readonly limit?: number;
  readonly random: Random;
}): PeerInfo[] {
  const { announcer, sample, order, random } = input;
  const limit = input.limit ?? DEFAULT_ANNOUNCE_LIMIT;
  const origins = random.shuffle(input.origins.filter((origin) => origin.peerId !== announcer.peerId));
  const isDistinct = input.isDistinct === true && origins.length === 0;
  const peers = isDistinct ? sample.slice(0, limit) : distinct(sample, limit, [announcer, ...origins]);
  peers.push(...origins);
  return inOrder(peers, order);
}

/** The first `limit` of `sample` that are not in `others`, nobody twice. */
function distinct(sample: readonly PeerInfo[], limit: number, others: readonly PeerInfo[]): PeerInfo[] {
  const seen = new Set(others.map((other) => other.peerId));
  const peers: PeerInfo[] = [];
  for (const peer of sample) {
    if (peers.length >= limit) break;
    if (seen.has(peer.peerId)) continue;
    seen.add(peer.peerId);
    peers.push(peer);
  }
  return peers;
}

/** Sorted by rank; equal ranks keep their random order. There are few ranks and many peers: one pass per rank. */
function inOrder(peers: readonly PeerInfo[], order: PeerOrder): PeerInfo[] {
  const ranks: number[] = [];
  const distinctRanks: number[] = [];
  for (const peer of peers) {
    const rank = order.rank(peer);
    ranks.push(rank);
    if (!distinctRanks.includes(rank)) distinctRanks.push(rank);
  }
  const sorted: PeerInfo[] = [];
  for (const rank of distinctRanks.sort((a, b) => a - b))
    for (let i = 0; i < ranks.length; i++) if (ranks[i] === rank) sorted.push(peers[i] as PeerInfo);
  return sorted;
}
