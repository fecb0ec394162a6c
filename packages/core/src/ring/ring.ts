/**
 * The hash ring of a cluster: which hosts hold a digest. Source: spec tracker-agent-ring.md §5.4.
 *
 * Owns the membership and a cache of orders. Health is the caller's: it is asked at each lookup, so a change takes
 * effect at once and never invalidates the cache.
 */
import { shardId, type Digest } from '../content/index.js';
import { RendezvousRing } from './rendezvous.js';

/** Replicas of a digest [hashring.max_replica]. Kraken: 3. */
export const DEFAULT_MAX_REPLICA = 3;

/** Shards whose order is kept, of 65,536. Bounds the cache at some 8,192 × members references. */
const CACHED_SHARDS_MAX = 8192;

/** Answers whether a member may be used now. */
export type HealthCheck = (host: string) => boolean;

/** A rendezvous ring over hosts that come and go, with the owners of each digest remembered. */
export class Ring {
  readonly maxReplica: number;
  #ring: RendezvousRing;
  #members: ReadonlySet<string>;
  readonly #orders = new Map<string, readonly string[]>();

  /**
   * @param members `host:port` of all hosts, healthy or not; the exact text matters, every component must use the same
   * @param maxReplica 0 or absent: 3. A negative number gives one location, as in Kraken
   */
  constructor(members: readonly string[], maxReplica = DEFAULT_MAX_REPLICA) {
    this.maxReplica = maxReplica === 0 ? DEFAULT_MAX_REPLICA : maxReplica;
    this.#ring = new RendezvousRing(members);
    this.#members = new Set(members);
  }

  /** All hosts, healthy or not, in the order given. */
  get members(): readonly string[] {
    return this.#ring.labels;
  }

  /** Whether `host` is a member, healthy or not. */
  contains(host: string): boolean {
    return this.#members.has(host);
  }

  /**
   * Replace the membership; nothing happens when it is the same set.
   * @returns whether it changed
   */
  setMembers(members: readonly string[]): boolean {
    const next = new Set(members);
    if (next.size === this.#members.size && members.every((host) => this.#members.has(host))) return false;
    this.#ring = new RendezvousRing(members);
    this.#members = next;
    this.#orders.clear();
    return true;
  }

  /** All members for `digest`, best first, healthy or not. Shared and cached: do not change it. */
  order(digest: Digest): readonly string[] {
    const shard = shardId(digest);
    const cached = this.#orders.get(shard);
    if (cached !== undefined) return cached;
    const order = this.#ring.order(shard);
    if (this.#orders.size >= CACHED_SHARDS_MAX) this.#orders.clear();
    this.#orders.set(shard, order);
    return order;
  }

  /**
   * The hosts to ask for `digest`, best first: the healthy ones of its replicas. An unhealthy replica is dropped, not
   * replaced; when all replicas are unhealthy the next healthy host stands in, and when nobody is healthy the best one.
   * Empty only when there are no members.
   */
  locations(digest: Digest, healthy: HealthCheck): string[] {
    const order = this.order(digest);
    const found: string[] = [];
    for (let i = 0; i < order.length && (i < this.maxReplica || found.length === 0); i++) {
      const host = order[i] as string;
      if (healthy(host)) found.push(host);
    }
    const best = order[0];
    return found.length === 0 && best !== undefined ? [best] : found;
  }
}
