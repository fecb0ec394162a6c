/**
 * Brings copies of blobs to the other owners. Source: spec origin-store-backends.md §2.2, §3.2, §10 (13).
 *
 * Owns the persisted replication queue: a copy that fails, or that is under way when the process dies, is made later. A
 * copy is dropped when the blob is gone here or the host no longer owns it.
 */
import type { RetrySchedule } from '@kraken/core/retry';
import { tryParseDigest, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { copiesNeeded, replicaPlan } from '@kraken/core/origin';
import {
  silentLogger,
  silentMetrics,
  type BlobStore,
  type Logger,
  type Metrics,
  type UploadSource,
} from '@kraken/core/ports';
import { TaskQueue, type Clock, type TaskPayload, type TaskView } from '../retry/index.js';
import { uploadSourceOf } from './blob-source.js';

/** The ring as an origin sees it. */
export interface OriginRing {
  /** This origin's `host:port`, as the ring names it. */
  readonly self: string;
  /** Healthy owners, best first; may or may not contain `self`. */
  locations(digest: Digest): readonly string[];
  /** Owners whether healthy or not. */
  owners(digest: Digest): readonly string[];
}

/** What an origin asks of another one; the origin client satisfies it. */
export interface OriginPeer {
  /** Length when the peer itself has it. */
  statLocal(namespace: string, digest: Digest, signal?: AbortSignal): Promise<{ length: number } | undefined>;
  /** Fetch a blob from storage and copy it to the other owners, in the background. @throws when it cannot start to */
  prefetch(namespace: string, digest: Digest, signal?: AbortSignal): Promise<'ready' | 'pending'>;
  /** Copy without write-back. */
  transfer(digest: Digest, source: UploadSource, signal?: AbortSignal): Promise<void>;
  /** Copy with a write-back task that waits `delayMs`. */
  duplicateUpload(
    namespace: string,
    digest: Digest,
    source: UploadSource,
    delayMs: number,
    signal?: AbortSignal,
  ): Promise<void>;
}

interface ReplicatePayload extends TaskPayload {
  readonly host: string;
  readonly namespace: string;
  readonly digest: Digest;
  /** Delay of the copy's write-back; `null` for a copy of something that storage has. */
  readonly writeBackDelayMs: number | null;
}

export interface ReplicatorOptions {
  readonly store: BlobStore;
  readonly ring: OriginRing;
  readonly peer: (host: string) => OriginPeer;
  /** Journal file. */
  readonly path: string;
  readonly staggerMs: number;
  readonly schedule?: RetrySchedule;
  /** Copies made at once by retries. Default 4. */
  readonly workers?: number;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #queue: TaskQueue<ReplicatePayload>;
  readonly #background = new Set<Promise<unknown>>();

  private constructor(options: ReplicatorOptions, queue: TaskQueue<ReplicatePayload>) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
    this.#queue = queue;
  }

  static async open(options: ReplicatorOptions): Promise<Replicator> {
    const self: { replicator?: Replicator } = {};
    const queue = await TaskQueue.open<ReplicatePayload>({
      ...options,
      workers: options.workers ?? 4,
      name: 'replication',
      decode: decodePayload,
      execute: async (task, signal) => {
        if (self.replicator === undefined) throw new KrakenError('internal', 'replication runs before it is open');
        await self.replicator.#execute(task, signal);
      },
    });
    const replicator = new Replicator(options, queue);
    self.replicator = replicator;
    return replicator;
  }

  start(): void {
    this.#queue.start();
  }

  /** Copies that are still to be made. */
  get size(): number {
    return this.#queue.size;
  }

  /**
   * Copy a new blob to its other owners. Resolves when enough copies exist or all attempts have ended; those that are not
   * finished then go on, and are recorded so that they survive this process.
   * @returns copies that exist, this origin's included, and how many are needed for an acknowledgement
   */
  async spread(namespace: string, digest: Digest): Promise<{ copies: number; needed: number }> {
    const { ring } = this.#options;
    const owners = ring.locations(digest);
    const needed = copiesNeeded(owners, ring.self);
    const plan = replicaPlan(owners, ring.self, this.#options.staggerMs);
    let copies = 1;
    if (plan.length === 0) return { copies, needed };

    const open = new Map<string, ReplicatePayload>();
    const attempts = plan.map(async ({ host, writeBackDelayMs }) => {
      const payload: ReplicatePayload = { host, namespace, digest, writeBackDelayMs };
      const key = taskKey(host, digest);
      open.set(key, payload);
      try {
        await this.#copy(payload);
        copies++;
        await this.#queue.remove(key);
      } catch (error) {
        this.#failed(payload, error);
        await this.#queue.add(key, payload);
        this.#queue.release(key);
      }
      open.delete(key);
    });
    await new Promise<void>((resolve, reject) => {
      for (const attempt of attempts) {
        attempt.then(() => {
          if (copies >= needed) resolve();
        }, reject);
      }
      Promise.allSettled(attempts).then(() => resolve(), reject);
    });
    await Promise.all(Array.from(open, ([key, payload]) => this.#queue.add(key, payload, { held: true })));
    for (const [key] of open) this.#finishLater(key, attempts);
    return { copies, needed };
  }

  /** Copy something that storage has to its other owners, in the background of the caller's own work. Failures are recorded. */
  async share(namespace: string, digest: Digest): Promise<void> {
    const { ring } = this.#options;
    await Promise.all(
      replicaPlan(ring.locations(digest), ring.self, 0).map(async ({ host }) => {
        const payload: ReplicatePayload = { host, namespace, digest, writeBackDelayMs: null };
        try {
          await this.#copy(payload);
        } catch (error) {
          this.#failed(payload, error);
          await this.#queue.add(taskKey(host, digest), payload);
        }
      }),
    );
  }

  /**
   * How many origins hold a blob that is here, asking those that were not reached before.
   * @throws never: an unreachable owner does not count
   */
  async confirm(namespace: string, digest: Digest): Promise<{ copies: number; needed: number }> {
    const { ring } = this.#options;
    const owners = ring.locations(digest);
    const needed = copiesNeeded(owners, ring.self);
    if (needed === 1) return { copies: 1, needed };
    const others = replicaPlan(owners, ring.self, this.#options.staggerMs);
    const held = await Promise.all(others.map(({ host }) => this.#isHeld(host, namespace, digest)));
    const copies = 1 + held.filter(Boolean).length;
    return copies >= needed ? { copies, needed } : this.spread(namespace, digest);
  }

  async close(): Promise<void> {
    await this.#queue.close();
    await Promise.allSettled(this.#background);
  }

  /** A copy that outlives the request: its record goes, or becomes runnable, when it ends. */
  #finishLater(key: string, attempts: readonly Promise<void>[]): void {
    const done = Promise.allSettled(attempts).then(() => {
      this.#background.delete(done);
      // Still there only when the copy failed after it was recorded.
      this.#queue.release(key);
    });
    this.#background.add(done);
  }

  async #isHeld(host: string, namespace: string, digest: Digest): Promise<boolean> {
    try {
      return (await this.#options.peer(host).statLocal(namespace, digest)) !== undefined;
    } catch (error) {
      this.#logger.debug({ host, digest, err: error }, 'owner cannot be asked for a copy');
      return false;
    }
  }

  async #execute(task: TaskView<ReplicatePayload>, signal: AbortSignal): Promise<void> {
    const { host, namespace, digest } = task.payload;
    if (!this.#options.ring.owners(digest).includes(host)) {
      this.#logger.info({ host, digest }, 'replication dropped: the host is not an owner now');
      return;
    }
    if ((await this.#options.peer(host).statLocal(namespace, digest, signal)) !== undefined) return;
    await this.#copy(task.payload, signal);
  }

  async #copy(payload: ReplicatePayload, signal?: AbortSignal): Promise<void> {
    const { host, namespace, digest, writeBackDelayMs } = payload;
    const source = await uploadSourceOf(this.#options.store, digest);
    if (source === undefined) return;
    const peer = this.#options.peer(host);
    if (writeBackDelayMs === null) await peer.transfer(digest, source, signal);
    else await peer.duplicateUpload(namespace, digest, source, writeBackDelayMs, signal);
    this.#metrics.count('kraken_origin_replicated_bytes_total', source.length);
  }

  #failed({ host, digest }: ReplicatePayload, error: unknown): void {
    this.#metrics.count('kraken_origin_replicate_errors_total');
    this.#logger.warn({ host, digest, err: error }, 'replication failed, it will be tried again');
  }
}

function taskKey(host: string, digest: Digest): string {
  return `${digest} ${host}`;
}

function decodePayload(payload: TaskPayload): ReplicatePayload | undefined {
  const { host, namespace, digest, writeBackDelayMs } = payload;
  const parsed = typeof digest === 'string' ? tryParseDigest(digest) : undefined;
  if (typeof host !== 'string' || typeof namespace !== 'string' || parsed === undefined) return undefined;
  if (writeBackDelayMs !== null && typeof writeBackDelayMs !== 'number') return undefined;
  return { host, namespace, digest: parsed, writeBackDelayMs };
}
