/**
 * Who is in which swarm: the tracker's memory. Source: spec tracker-agent-ring.md §3.3.
 *
 * Owns peers per info hash, bounded and expiring. An announce costs O(1), a sample O(sample). Never serves an expired
 * peer, never decides who is handed out: that is `handout.ts`. Differs from Kraken, whose store grows without bound
 * and serves expired peers until the next sweep.
 */
import type { InfoHash, PeerId, PeerInfo } from '../content/index.js';
import type { Random } from '../random/index.js';
import { detached } from '../content/detached.js';
import { RecencyList, type Links } from './recency-list.js';
import { RecordedPeer } from './recorded-peer.js';

/** What the store holds at most. */
export interface PeerStoreLimits {
  /** A peer that has not announced for so long, or a thousandth less, is forgotten [peerstore.local.ttl]. Kraken: 5 h. */
  readonly ttlMs: number;
  /** Swarms; beyond, the one with the oldest announce goes. Guess: 100,000. */
  readonly torrentsMax: number;
  /** Peers of one swarm; beyond, the one that announced longest ago goes. Guess: 20,000 (swarms of 15,000 hosts are in scope). */
  readonly peersPerTorrentMax: number;
  /** Peers of all swarms; beyond, the one that announced longest ago goes. Guess: 1,000,000, some 700 MB. */
  readonly peersMax: number;
}

/** See the fields for where each comes from. */
export const DEFAULT_PEER_STORE_LIMITS: PeerStoreLimits = {
  ttlMs: 5 * 3_600_000,
  torrentsMax: 100_000,
  peersPerTorrentMax: 20_000,
  peersMax: 1_000_000,
};

/** What a call may pay for cleaning up after others: expired peers that one announce removes. */
const EXPIRED_PER_ANNOUNCE = 8;
/**
 * A peer that announces again within this part of the TTL is not renewed, as that touches memory all over: it may be forgotten
 * a thousandth of the TTL early. Agents announce every few seconds, the TTL is hours.
 */
const RENEWALS_PER_TTL = 1000;
/** Expired peers that one sample steps over beyond its size before it returns what it has. */
const EXPIRED_PER_SAMPLE = 256;

interface Torrent {
  readonly infoHash: InfoHash;
  readonly byId: Map<PeerId, Entry>;
  /**
   * All entries in arbitrary order, and beside them their peers and ranks: a sample of many swarms should touch little
   * memory.
   */
  readonly entries: Entry[];
  readonly peers: RecordedPeer[];
  readonly ranks: number[];
  /** Indexes of `entries` in the order of the last sample, and where in it each of them is. */
  readonly order: number[];
  readonly position: number[];
  readonly recency: RecencyList<Entry>;
  readonly inStore: Links<Torrent>;
}

interface Entry {
  readonly peerId: PeerId;
  expiresAt: number;
  /** Where in `torrent.entries`, `peers` and `ranks`; -1 once it was taken out of them. */
  index: number;
  readonly torrent: Torrent;
  readonly inTorrent: Links<Entry>;
  readonly inStore: Links<Entry>;
}

const links = <T>(): Links<T> => ({ older: undefined, newer: undefined });

/** Some peers of a swarm, and the rank of each. */
export interface Sample {
  readonly peers: PeerInfo[];
  readonly ranks: number[];
}

/** Counts for metrics. `evicted`: removed because a limit was reached, since the start. */
export interface PeerStoreStats {
  readonly torrents: number;
  readonly peers: number;
  readonly evicted: number;
}

/** Who announced what, and when. */
export class PeerStore {
  readonly #limits: PeerStoreLimits;
  readonly #random: Random;
  readonly #rankOf: (peer: PeerInfo) => number;
  readonly #torrents = new Map<InfoHash, Torrent>();
  readonly #torrentRecency = new RecencyList<Torrent>((torrent) => torrent.inStore);
  readonly #recency = new RecencyList<Entry>((entry) => entry.inStore);
  #evicted = 0;

  /** @param rankOf kept with each peer: to look at fifty peers costs more than all the rest of a sample */
  constructor(random: Random, limits: Partial<PeerStoreLimits> = {}, rankOf: (peer: PeerInfo) => number = () => 0) {
    this.#limits = { ...DEFAULT_PEER_STORE_LIMITS, ...limits };
    this.#random = random;
    this.#rankOf = rankOf;
  }

  /** Totals, for metrics. */
  get stats(): PeerStoreStats {
    return { torrents: this.#torrents.size, peers: this.#recency.size, evicted: this.#evicted };
  }

  /**
   * Record a peer, or renew it unless that was done just now. The peer id is the identity: address and completeness are
   * replaced. The `origin` flag is not kept: origins are known from the origin cluster, not from what they say.
   */
  announce(infoHash: InfoHash, peer: PeerInfo, now: number): void {
    this.sweep(now, EXPIRED_PER_ANNOUNCE);
    const expiresAt = now + this.#limits.ttlMs;
    const known = this.#torrents.get(infoHash)?.byId.get(peer.peerId);
    if (known !== undefined) {
      const { torrent, index } = known;
      // Mostly nothing has changed, and what was derived from the known object stays good.
      if (torrent.peers[index]?.isStill(peer) !== true) {
        const recorded = new RecordedPeer(peer);
        torrent.ranks[index] = this.#rankOf(recorded);
        torrent.peers[index] = recorded;
      }
      if (expiresAt - known.expiresAt < this.#limits.ttlMs / RENEWALS_PER_TTL) return;
      known.expiresAt = expiresAt;
      torrent.recency.touch(known);
      this.#recency.touch(known);
      this.#torrentRecency.touch(torrent);
      return;
    }
    // First, as it may be somebody else's code and throw.
    const recorded = new RecordedPeer(peer);
    const rank = this.#rankOf(recorded);
    const torrent = this.#torrents.get(infoHash) ?? this.#addTorrent(detached(infoHash));
    this.#makeRoom(torrent);
    const entry: Entry = {
      peerId: peer.peerId,
      expiresAt,
      index: torrent.entries.length,
      torrent,
      inTorrent: links(),
      inStore: links(),
    };
    torrent.order.push(entry.index);
    torrent.position.push(entry.index);
    torrent.entries.push(entry);
    torrent.peers.push(recorded);
    torrent.ranks.push(rank);
    torrent.byId.set(peer.peerId, entry);
    torrent.recency.append(entry);
    this.#recency.append(entry);
    this.#torrentRecency.touch(torrent);
  }

  /** The peer left the swarm. @returns whether it was known */
  leave(infoHash: InfoHash, peerId: PeerId): boolean {
    const entry = this.#torrents.get(infoHash)?.byId.get(peerId);
    if (entry === undefined) return false;
    this.#remove(entry);
    return true;
  }

  /**
   * Up to `count` distinct peers of a swarm, uniformly at random and in random order, without `except`. Fewer when the swarm
   * is smaller; empty for an unknown one.
   */
  sample(infoHash: InfoHash, count: number, now: number, except: readonly PeerId[] = []): Sample {
    const torrent = this.#torrents.get(infoHash);
    const found: Sample = { peers: [], ranks: [] };
    if (torrent === undefined) return found;
    const { entries, peers, ranks, order } = torrent;
    const left: Entry[] = [];
    for (const peerId of except) {
      const entry = torrent.byId.get(peerId);
      if (entry !== undefined) left.push(entry);
    }
    // Who announced longest ago expires first.
    const mayExpire = (torrent.recency.oldest?.expiresAt ?? now) < now;
    let expired = 0;
    // Fisher–Yates from the front, stopped early; the order carries no meaning, so it may stay shuffled.
    for (let next = 0; next < order.length && found.peers.length < count && expired <= EXPIRED_PER_SAMPLE;) {
      const at = next + this.#random.below(order.length - next);
      const index = order[at] as number;
      const drawn = mayExpire ? (entries[index] as Entry) : undefined;
      if (drawn !== undefined && drawn.expiresAt < now) {
        this.#remove(drawn);
        expired++;
        continue;
      }
      swap(torrent, next, at);
      next++;
      if (left.length > 0 && isAmong(left, index)) continue;
      found.peers.push(peers[index] as RecordedPeer);
      found.ranks.push(ranks[index] as number);
    }
    return found;
  }

  /** Number of peers recorded for a swarm, expired ones that were not yet swept included. */
  size(infoHash: InfoHash): number {
    return this.#torrents.get(infoHash)?.entries.length ?? 0;
  }

  /**
   * Forget expired peers, at most `limit` of them, oldest first.
   * @returns how many were removed; less than `limit` means that none is left
   */
  sweep(now: number, limit: number): number {
    let removed = 0;
    for (; removed < limit; removed++) {
      const entry = this.#recency.oldest;
      if (entry === undefined || entry.expiresAt >= now) break;
      this.#remove(entry);
    }
    return removed;
  }

  #addTorrent(infoHash: InfoHash): Torrent {
    if (this.#torrents.size >= this.#limits.torrentsMax) {
      const oldest = this.#torrentRecency.oldest;
      if (oldest !== undefined) this.#dropTorrent(oldest);
    }
    const torrent: Torrent = {
      infoHash,
      byId: new Map(),
      entries: [],
      peers: [],
      ranks: [],
      order: [],
      position: [],
      recency: new RecencyList((entry) => entry.inTorrent),
      inStore: links(),
    };
    this.#torrents.set(infoHash, torrent);
    this.#torrentRecency.append(torrent);
    return torrent;
  }

  /** Make room for one more peer of `torrent`, which stays even when it becomes empty. */
  #makeRoom(torrent: Torrent): void {
    if (torrent.entries.length >= this.#limits.peersPerTorrentMax) this.#evict(torrent.recency.oldest, torrent);
    if (this.#recency.size >= this.#limits.peersMax) this.#evict(this.#recency.oldest, torrent);
  }

  #evict(entry: Entry | undefined, keep: Torrent): void {
    if (entry === undefined) return;
    this.#remove(entry, keep);
    this.#evicted++;
  }

  #dropTorrent(torrent: Torrent): void {
    this.#evicted += torrent.entries.length;
    for (const entry of torrent.entries) this.#recency.remove(entry);
    this.#torrentRecency.remove(torrent);
    this.#torrents.delete(torrent.infoHash);
  }

  #remove(entry: Entry, keep?: Torrent): void {
    const { torrent } = entry;
    dropEntry(torrent, entry.index);
    entry.index = -1;
    torrent.byId.delete(entry.peerId);
    torrent.recency.remove(entry);
    this.#recency.remove(entry);
    if (torrent.entries.length === 0 && torrent !== keep) {
      this.#torrentRecency.remove(torrent);
      this.#torrents.delete(torrent.infoHash);
    }
  }
}

function isAmong(entries: readonly Entry[], index: number): boolean {
  for (const entry of entries) if (entry.index === index) return true;
  return false;
}

/** Exchange two places of the order. */
function swap({ order, position }: Torrent, i: number, j: number): void {
  const a = order[i] as number;
  const b = order[j] as number;
  order[i] = b;
  order[j] = a;
  position[b] = i;
  position[a] = j;
}

/** Take an entry out of the arrays: the last one of the order takes its place there, the last entry its index. */
function dropEntry(torrent: Torrent, index: number): void {
  const { entries, peers, ranks, order, position } = torrent;
  swap(torrent, position[index] as number, order.length - 1);
  order.pop();
  const moved = entries.pop() as Entry;
  const peer = peers.pop() as RecordedPeer;
  const rank = ranks.pop() as number;
  const place = position.pop() as number;
  if (moved.index === index) return;
  entries[index] = moved;
  peers[index] = peer;
  ranks[index] = rank;
  order[place] = index;
  position[index] = place;
  moved.index = index;
}
