/**
 * Which origins own a digest, as the origins say. Source: spec origin-store-backends.md §4.2, §10 (16, 21).
 * Owns a short-lived cache by shard (owners depend on the first four hex digits alone) and asks at most three hosts.
 */
import { shardId, type Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { CancelSignal } from '@kraken/core/ports';
import type { Random } from '@kraken/core/retry';
import type { HostSource } from '../cluster/index.js';
import { ExpiringMap } from '../expiring-map.js';
import type { Clock } from '../retry/index.js';
import type { OriginClient } from './origin-client.js';

const HOSTS_ASKED_MAX = 3;
const TTL_MS = 10_000;

export class LocationCache {
  readonly #source: HostSource;
  readonly #client: (address: string) => OriginClient;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #cached = new ExpiringMap<string, readonly string[]>(16_384);
  readonly #asking = new Map<string, Promise<readonly string[]>>();

  constructor(options: {
    source: HostSource;
    client: (address: string) => OriginClient;
    clock: Clock;
    random: Random;
  }) {
    this.#source = options.source;
    this.#client = options.client;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /** `host:port` of the owners, best first. @throws KrakenError `origin-unavailable` */
  async owners(digest: Digest, signal?: CancelSignal): Promise<readonly string[]> {
    const shard = shardId(digest);
    const cached = this.#cached.get(shard, this.#clock.nowMs());
    if (cached !== undefined) return cached;
    let asking = this.#asking.get(shard);
    if (asking === undefined) {
      // Shared by all callers, so no single caller's signal may end it; each request is short.
      asking = this.#ask(digest).finally(() => this.#asking.delete(shard));
      this.#asking.set(shard, asking);
    }
    const hosts = await asking;
    if (signal?.aborted === true) throw new KrakenError('cancelled', 'given up by the caller');
    return hosts;
  }

  /** An owner gave no answer: ask again who owns the digest. */
  forget(digest: Digest): void {
    this.#cached.delete(shardId(digest));
  }

  async #ask(digest: Digest): Promise<readonly string[]> {
    const hosts = this.#random.shuffle([...this.#source.hosts()]).slice(0, HOSTS_ASKED_MAX);
    if (hosts.length === 0) throw new KrakenError('origin-unavailable', 'cluster is empty');
    let last: unknown;
    for (const host of hosts) {
      try {
        const owners = await this.#client(host).locations(digest);
        const nowMs = this.#clock.nowMs();
        this.#cached.set(shardId(digest), owners, nowMs, nowMs + TTL_MS);
        return owners;
      } catch (error) {
        last = error;
        if (isKrakenError(error, 'network-error')) this.#source.failed?.(host);
      }
    }
    throw new KrakenError(
      'origin-unavailable',
      `no origin says who owns ${digest}: ${last instanceof Error ? last.message : String(last)}`,
      { cause: last },
    );
  }
}
