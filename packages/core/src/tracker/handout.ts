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
  /** Of the sample, if they are known: then it is short enough, and has neither the announcer nor an origin nor anybody twice. */
  readonly ranks?: readonly number[] | undefined;
  readonly origins: readonly PeerInfo[];
  readonly order: PeerOrder;
  readonly limit?: number;
  readonly random: Random;
}): PeerInfo[] {
  const { announcer, order } = input;
  const origins =
    input.origins.length === 0
      ? input.origins
      : input.random.shuffle(input.origins.filter((origin) => origin.peerId !== announcer.peerId));
  const peers = input.ranks === undefined ? distinct(input.sample, [announcer, ...origins], input.limit) : input.sample;
  const ranks = input.ranks ?? peers.map((peer) => order.rank(peer));
  if (origins.length === 0) return inOrder(peers, ranks);
  return inOrder([...peers, ...origins], [...ranks, ...origins.map((origin) => order.rank(origin))]);
}

/** The first `limit` of `sample` that are not in `others`, nobody twice. */
function distinct(
  sample: readonly PeerInfo[],
  others: readonly PeerInfo[],
  limit = DEFAULT_ANNOUNCE_LIMIT,
): PeerInfo[] {
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

/** Sorted by rank; equal ranks keep their order. There are few ranks and many peers: one pass per rank. */
function inOrder(peers: readonly PeerInfo[], ranks: readonly number[]): PeerInfo[] {
  const distinctRanks: number[] = [];
  let last: number | undefined;
  for (const rank of ranks) {
    if (rank !== last && !distinctRanks.includes(rank)) distinctRanks.push(rank);
    last = rank;
  }
  const sorted: PeerInfo[] = [];
  for (const rank of distinctRanks.sort((a, b) => a - b))
    for (let i = 0; i < ranks.length; i++) if (ranks[i] === rank) sorted.push(peers[i] as PeerInfo);
  return sorted;
}
