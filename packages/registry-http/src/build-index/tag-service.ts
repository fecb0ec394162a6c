/**
 * What a build-index does, without HTTP: puts, lookups, listings, neighbours, replication. Source: spec
 * index-proxy-registry-config.md §1.2, §2.
 *
 * Owns the order of a put: check what the tag needs, decide by policy, store (durable, pinned), record the write-back, tell
 * the neighbours, record replication. Disk and storage are the store's and the backend's.
 */
import {
  decidePut,
  DEFAULT_NEIGHBOUR_STAGGER_MS,
  neighbourDelays,
  parseTagName,
  splitTagName,
  type Remotes,
  type TagName,
  type TagPolicy,
  type TagTypes,
} from '@kraken/core/build-index';
import type { Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  silentLogger,
  type BackendManager,
  type CancelSignal,
  type ListPage,
  type Logger,
  type Metrics,
  type OriginCluster,
} from '@kraken/core/ports';
import { Backoff, Random, SYNC_RETRY_BACKOFF, type BackoffConfig, type RetrySchedule } from '@kraken/core/retry';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import type { HostSource } from '../cluster/index.js';
import { KeyedLock } from '../retry/keyed-lock.js';
import { sleep, systemClock, type Clock } from '../retry/index.js';
import { DependencyResolver } from './dependency-resolver.js';
import { TagObjects } from './tag-objects.js';
import { TagReplication, type RemoteBuildIndex, type ReplicatingOrigins } from './tag-replication.js';
import type { TagStore } from './tag-store.js';
import { TagWriteBack, type Replaced } from './tag-write-back.js';

/** What one build-index asks of another in its cluster; the build-index client satisfies it. */
export interface BuildIndexNeighbour {
  /** Take note of a put elsewhere; write it back after `delayMs` unless that host has done so. */
  duplicatePut(
    tag: string,
    digest: Digest,
    options: { delayMs: number; replaces: Replaced; putAtMs: number },
    signal?: CancelSignal,
  ): Promise<void>;
  /** Take note of a replication elsewhere; do it after `delayMs` unless it is done. */
  duplicateReplicate(
    tag: string,
    digest: Digest,
    dependencies: readonly Digest[],
    delayMs: number,
    signal?: CancelSignal,
  ): Promise<void>;
}

/** What a build-index stands on. */
export interface TagServiceOptions {
  readonly store: TagStore;
  readonly backends: BackendManager;
  readonly origins: OriginCluster & ReplicatingOrigins;
  readonly tagTypes: TagTypes;
  readonly remotes: Remotes;
  /** A client of the build-index at `address`, of another cluster. */
  readonly remote: (address: string) => RemoteBuildIndex;
  /** The other hosts of this cluster, this one excluded. */
  readonly neighbours: HostSource;
  /** A client of the build-index at `address`, of this cluster. */
  readonly neighbour: (address: string) => BuildIndexNeighbour;
  /** Folder of the retry journals. */
  readonly stateDirectory: string;
  /** Default `mutable`. */
  readonly policy?: TagPolicy;
  /** Write to storage before a put is acknowledged (Kraken: `tag_store.write_through`). Default false. */
  readonly writeThrough?: boolean;
  readonly writeThroughBackoff?: BackoffConfig;
  readonly putStaggerMs?: number;
  readonly replicateStaggerMs?: number;
  /** How long an answer of storage is reused. Default 5 s. */
  readonly cacheTtlMs?: number;
  readonly schedule?: RetrySchedule;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** A neighbour that says nothing for this long is left to its own devices. Kraken: 10 s. */
const NEIGHBOUR_TIMEOUT_MS = 10_000;

/** One build-index: puts, lookups, listings, replication. */
export class TagService {
  readonly #options: TagServiceOptions;
  readonly #policy: TagPolicy;
  readonly #store: TagStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #objects: TagObjects;
  readonly #dependencies: DependencyResolver;
  readonly #writeBack: TagWriteBack;
  readonly #replication: TagReplication;
  readonly #lock: KeyedLock<TagName>;
  readonly #random = new Random(randomInt(2 ** 32));

  private constructor(
    options: TagServiceOptions,
    parts: { objects: TagObjects; lock: KeyedLock<TagName>; writeBack: TagWriteBack; replication: TagReplication },
  ) {
    this.#options = options;
    this.#policy = options.policy ?? 'mutable';
    this.#store = options.store;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#objects = parts.objects;
    this.#lock = parts.lock;
    this.#writeBack = parts.writeBack;
    this.#replication = parts.replication;
    this.#dependencies = new DependencyResolver(options);
  }

  /** Read what is left to do. Nothing runs before `start`. @throws KrakenError `io-error` */
  static async open(options: TagServiceOptions): Promise<TagService> {
    const policy = options.policy ?? 'mutable';
    const objects = new TagObjects({
      backends: options.backends,
      clock: options.clock ?? systemClock,
      ttlMs: options.cacheTtlMs ?? 5000,
    });
    const lock = new KeyedLock<TagName>();
    const writeBack = await TagWriteBack.open({
      ...options,
      objects,
      policy,
      lock,
      path: join(options.stateDirectory, 'writeback.journal'),
    });
    try {
      const replication = await TagReplication.open({
        ...options,
        policy,
        path: join(options.stateDirectory, 'replication.journal'),
      });
      return new TagService(options, { objects, lock, writeBack, replication });
    } catch (error) {
      await writeBack.close();
      throw error;
    }
  }

  /** Begin with what the queues hold. */
  start(): void {
    this.#writeBack.start();
    this.#replication.start();
  }

  /** Work that is left. */
  get backlog(): { readonly writeBack: number; readonly replication: number } {
    return { writeBack: this.#writeBack.size, replication: this.#replication.size };
  }

  /** Stop; what is queued is done after the next start. */
  async close(): Promise<void> {
    await this.#replication.close();
    await this.#writeBack.close();
  }

  /** @throws KrakenError `not-ready` */
  async checkReady(signal?: CancelSignal): Promise<void> {
    await this.#options.backends.checkReady(signal);
    await this.#options.origins.checkReady(signal);
  }

  /**
   * Store a tag; durable when it resolves.
   * @throws KrakenError `manifest-blob-unknown`, `manifest-invalid`, `tag-conflict`, `backend-no-match`,
   *   `storage-unavailable` (write-through), `origin-unavailable`, `queue-full`, `tag-invalid`
   */
  async put(name: string, digest: Digest, options: { replicate?: boolean; signal?: CancelSignal } = {}): Promise<void> {
    const tag = parseTagName(name);
    this.#options.backends.forNamespace(tag);
    const dependencies = await this.#dependencies.resolve(tag, digest, options.signal);
    await this.#dependencies.check(tag, dependencies, options.signal);
    const putAtMs = this.#clock.nowMs();
    const { replaces, stored } = await this.#lock.run(tag, () => this.#decideAndStore(tag, digest, putAtMs));
    const staggerMs = this.#options.putStaggerMs ?? DEFAULT_NEIGHBOUR_STAGGER_MS;
    if (stored) {
      await this.#tellNeighbours('put', staggerMs, (neighbour, delayMs, signal) =>
        neighbour.duplicatePut(tag, digest, { delayMs, replaces, putAtMs }, signal),
      );
    }
    if (options.replicate === true) await this.#replicate(tag, digest, dependencies);
  }

  /** A neighbour's put: stored here too, written back later if the neighbour does not. An older put than the one here is ignored. */
  async duplicatePut(
    name: string,
    digest: Digest,
    options: { delayMs: number; replaces: Replaced; putAtMs?: number },
  ): Promise<void> {
    const tag = parseTagName(name);
    const putAtMs = options.putAtMs ?? this.#clock.nowMs();
    await this.#lock.run(tag, async () => {
      const current = await this.#store.read(tag);
      if (current?.pinned === true && current.putAtMs > putAtMs) return;
      if (decidePut(this.#policy, current?.digest, digest) === 'store')
        await this.#store.write(tag, digest, { pinned: true, putAtMs });
      else if (current?.digest !== digest || !current.pinned) return;
      await this.#writeBack.add(tag, digest, { backup: true, replaces: options.replaces, delayMs: options.delayMs });
      this.#objects.forget(tag);
    });
  }

  /**
   * The digest that a tag names: what was put here and is not in storage yet, else what storage says. While storage cannot
   * be reached the last value on disk is better than none.
   * @throws KrakenError `backend-no-match`, `storage-unavailable`, `io-error`
   */
  async get(name: string): Promise<Digest | undefined> {
    const tag = parseTagName(name);
    const stored = await this.#store.read(tag);
    if (stored !== undefined && (stored.pinned || this.#policy !== 'mutable')) return stored.digest;
    try {
      return await this.#objects.get(tag);
    } catch (error) {
      if (stored === undefined || !isKrakenError(error)) throw error;
      this.#logger.warn({ tag, err: error }, 'storage cannot be asked for a tag, the value on disk is served');
      return stored.digest;
    }
  }

  /** @throws KrakenError `backend-no-match`, `storage-unavailable` */
  async has(name: string): Promise<boolean> {
    const tag = parseTagName(name);
    if ((await this.#store.read(tag))?.pinned === true) return true;
    return this.#objects.has(tag);
  }

  /** Names under a prefix, as the backend that the prefix selects lists them. @throws KrakenError `backend-no-match`, `storage-unavailable` */
  async list(prefix: string, page?: { limit?: number; continuation?: string }): Promise<ListPage> {
    const backend = this.#options.backends.forNamespace(prefix);
    try {
      if (page === undefined) return await backend.list(prefix);
      const limit = page.limit === undefined || page.limit < 0 ? DEFAULT_PAGE : page.limit;
      if (backend.can.paginate)
        return await backend.list(prefix, {
          limit,
          ...(page.continuation === undefined ? {} : { continuation: page.continuation }),
        });
      // A backend without pages: the names are cut here, the last name of a page is its token.
      const names = [...(await backend.list(prefix)).names]
        .sort()
        .filter((name) => page.continuation === undefined || name > page.continuation);
      const cut = names.slice(0, limit);
      const last = cut.at(-1);
      return names.length > cut.length && last !== undefined ? { names: cut, continuation: last } : { names: cut };
    } catch (error) {
      if (isKrakenError(error, 'blob-unknown')) return { names: [] };
      throw error;
    }
  }

  /** Tags of a repository, without it. Those that storage does not have yet are included in a whole listing. */
  async listRepository(repository: string, page?: { limit?: number; continuation?: string }): Promise<ListPage> {
    const { names, continuation } = await this.list(`${repository}/_manifests/tags`, page);
    const tags: string[] = [];
    for (const name of names) {
      const split = splitTagName(name);
      if (split === undefined) this.#logger.warn({ repository, name }, 'listed name is not repo:tag');
      else tags.push(split.tag);
    }
    if (page !== undefined) return continuation === undefined ? { names: tags } : { names: tags, continuation };
    const known = new Set(tags);
    for (const name of this.#writeBack.pending()) {
      const split = splitTagName(name);
      if (split?.repository === repository) known.add(split.tag);
    }
    return { names: known.size === tags.length ? tags : [...known].sort() };
  }

  /** Drop tags from the disk that storage has and that were put longer ago than `ageMs`. @returns how many */
  async cleanup(ageMs: number): Promise<number> {
    let dropped = 0;
    for await (const tag of this.#store.list()) {
      const gone = await this.#lock.run(tag, async () => {
        const stored = await this.#store.read(tag);
        return stored !== undefined && this.#clock.nowMs() - stored.putAtMs > ageMs && this.#store.evict(tag);
      });
      if (gone) dropped++;
    }
    return dropped;
  }

  /** Copy an existing tag to the clusters it matches. @returns false when there is no such tag */
  async replicate(name: string, signal?: CancelSignal): Promise<boolean> {
    const tag = parseTagName(name);
    const digest = await this.get(tag);
    if (digest === undefined) return false;
    await this.#replicate(tag, digest, await this.#dependencies.resolve(tag, digest, signal));
    return true;
  }

  /** A neighbour's replication: repeated here later in case the neighbour does not finish it. */
  async duplicateReplicate(
    name: string,
    digest: Digest,
    dependencies: readonly Digest[],
    delayMs: number,
  ): Promise<void> {
    await this.#replication.add(parseTagName(name), digest, dependencies, delayMs);
  }

  async #replicate(tag: TagName, digest: Digest, dependencies: readonly Digest[]): Promise<void> {
    const destinations = await this.#replication.add(tag, digest, dependencies, 0);
    if (destinations.length === 0) return;
    const staggerMs = this.#options.replicateStaggerMs ?? DEFAULT_NEIGHBOUR_STAGGER_MS;
    await this.#tellNeighbours('replicate', staggerMs, (neighbour, delayMs, signal) =>
      neighbour.duplicateReplicate(tag, digest, dependencies, delayMs, signal),
    );
  }

  async #decideAndStore(
    tag: TagName,
    digest: Digest,
    putAtMs: number,
  ): Promise<{ replaces: Replaced; stored: boolean }> {
    const local = await this.#store.read(tag);
    const remote = await this.#known(tag);
    const current = local?.pinned === true || this.#policy !== 'mutable' ? (local?.digest ?? remote) : remote;
    const digestNow = current === 'nothing' || current === 'unknown' ? undefined : current;
    const decision = decidePut(this.#policy, digestNow, digest);
    if (decision === 'conflict')
      throw new KrakenError('tag-conflict', `tag ${tag} names ${digestNow} already and tags are immutable here`);
    // The same value is stored again: the host that has it may be one that died before it wrote it back.
    const keeps = decision === 'keep' && digestNow !== digest;
    if (keeps) return { replaces: remote, stored: false };
    if (this.#options.writeThrough === true) {
      await this.#writeThrough(tag, digest);
      await this.#store.write(tag, digest, { pinned: false, putAtMs });
    } else if (remote !== digest || local?.pinned === true) {
      await this.#store.write(tag, digest, { pinned: true, putAtMs });
      await this.#writeBack.add(tag, digest, { backup: false, replaces: remote, delayMs: 0 });
    }
    this.#objects.forget(tag);
    return { replaces: remote, stored: true };
  }

  /** What storage holds, past the cache: a put must not be decided on an old answer. */
  async #known(tag: TagName): Promise<Replaced> {
    try {
      return (await this.#objects.read(tag)) ?? 'nothing';
    } catch (error) {
      if (isKrakenError(error, 'backend-no-match')) throw error;
      this.#logger.warn({ tag, err: error }, 'storage cannot be asked what a tag names');
      return 'unknown';
    }
  }

  async #writeThrough(tag: TagName, digest: Digest): Promise<void> {
    const backoff = new Backoff(this.#options.writeThroughBackoff ?? SYNC_RETRY_BACKOFF, this.#random);
    for (;;) {
      try {
        await this.#objects.write(tag, digest);
        return;
      } catch (error) {
        const waitMs = backoff.next();
        if (waitMs === undefined) throw error;
        await sleep(this.#clock, waitMs);
      }
    }
  }

  /** In parallel; failures never fail the request: the tag is safe here. */
  async #tellNeighbours(
    what: 'put' | 'replicate',
    staggerMs: number,
    tell: (neighbour: BuildIndexNeighbour, delayMs: number, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const hosts = this.#random.shuffle([...this.#options.neighbours.hosts()]);
    const told = await Promise.all(
      neighbourDelays(hosts, staggerMs).map(async ({ host, delayMs }) => {
        const abort = new AbortController();
        const cancel = this.#clock.after(NEIGHBOUR_TIMEOUT_MS, () => abort.abort());
        try {
          await tell(this.#options.neighbour(host), delayMs, abort.signal);
          return true;
        } catch (error) {
          this.#options.neighbours.failed?.(host);
          this.#logger.warn({ host, err: error }, `neighbour was not told of a ${what}`);
          return false;
        } finally {
          cancel();
        }
      }),
    );
    if (hosts.length > 0 && !told.includes(true))
      this.#options.metrics?.count(`kraken_build_index_duplicate_${what}_failures_total`);
  }
}

/** Kraken's page when none is asked for. */
const DEFAULT_PAGE = 250;
