/**
 * Writes committed blobs to the storage behind the namespace, some time after the commit. Source: spec
 * origin-store-backends.md §2.3, §2.4, §10 (6, 7, 8).
 *
 * Owns the persisted write-back queue and the pin of a blob: a blob is pinned from its commit until no task names it.
 * The task is on disk before the blob is published, so that no crash leaves a blob that nobody writes back; a task whose
 * blob never appeared is dropped. A backend that cannot store gets no task.
 */
import type { Digest } from '@kraken/core/content';
import { digestHex, tryParseDigest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  silentLogger,
  silentMetrics,
  type BackendManager,
  type BlobStore,
  type Logger,
  type Metrics,
  type StorageBackend,
} from '@kraken/core/ports';
import type { RetrySchedule } from '@kraken/core/retry';
import type { Clock } from '../retry/index.js';
import { TaskQueue, type TaskPayload, type TaskView } from '../retry/index.js';
import { uploadSourceOf } from './blob-source.js';
import { KeyedLock } from '../retry/keyed-lock.js';

interface WriteBackPayload extends TaskPayload {
  readonly namespace: string;
  readonly digest: Digest;
}

export interface WriteBackOptions {
  readonly store: BlobStore;
  /** Absent: no storage is configured; blobs then live here alone and stay pinned. */
  readonly backends: BackendManager | undefined;
  /** Journal file. */
  readonly path: string;
  /** Shared with whoever commits: pin and task of one digest change together. */
  readonly lock: KeyedLock<Digest>;
  readonly schedule?: RetrySchedule;
  readonly workers?: number;
  readonly maxTasks?: number;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export class WriteBack {
  readonly #store: BlobStore;
  readonly #backends: BackendManager | undefined;
  readonly #lock: KeyedLock<Digest>;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #queue: TaskQueue<WriteBackPayload>;
  readonly #writing = new KeyedLock<Digest>();
  /** Tasks per digest: the pin goes with the last one. */
  readonly #tasksOf = new Map<Digest, Set<string>>();

  private constructor(options: WriteBackOptions, queue: TaskQueue<WriteBackPayload>) {
    this.#store = options.store;
    this.#backends = options.backends;
    this.#lock = options.lock;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
    this.#queue = queue;
  }

  /** Read the tasks that are left and pin their blobs, so that nothing evicts them before `start`. */
  static async open(options: WriteBackOptions): Promise<WriteBack> {
    const self: { writeBack?: WriteBack } = {};
    const queue = await TaskQueue.open<WriteBackPayload>({
      ...options,
      name: 'writeback',
      decode: decodePayload,
      execute: (task, signal) => {
        if (self.writeBack === undefined) throw new KrakenError('internal', 'write-back runs before it is open');
        return self.writeBack.#execute(task, signal);
      },
    });
    const writeBack = new WriteBack(options, queue);
    self.writeBack = writeBack;
    for (const task of queue.tasks()) writeBack.#track(task.payload.digest, task.key);
    for (const digest of writeBack.#tasksOf.keys()) {
      if ((await options.store.stat(digest)) !== undefined) await options.store.setPinned(digest, true);
    }
    return writeBack;
  }

  start(): void {
    this.#queue.start();
  }

  /** Tasks that are left. */
  get size(): number {
    return this.#queue.size;
  }

  /** Whether anything of `digest` is still to be written. */
  isPending(digest: Digest): boolean {
    return this.#tasksOf.has(digest);
  }

  /**
   * Can blobs of this namespace be uploaded?
   * @throws KrakenError `backend-no-match`
   */
  checkNamespace(namespace: string): void {
    this.#backends?.forNamespace(namespace);
  }

  /**
   * Record that a blob must be written back; call it before the blob is published and under the lock of its digest. The
   * task does not run before `published`.
   * @returns a handle to end the preparation, whichever way the commit went
   */
  async prepare(namespace: string, digest: Digest, delayMs: number): Promise<PreparedWriteBack> {
    const backend = this.#backends?.forNamespace(namespace);
    if (backend?.can.upload === false)
      return { pin: false, recorded: false, published: () => undefined, withdraw: () => Promise.resolve() };
    if (backend === undefined)
      return { pin: true, recorded: false, published: () => undefined, withdraw: () => Promise.resolve() };
    const key = taskKey(namespace, digest);
    const added = await this.#queue.add(key, { namespace, digest }, { delayMs, held: true });
    this.#track(digest, key);
    return {
      pin: true,
      recorded: true,
      published: () => {
        this.#queue.release(key);
      },
      withdraw: async () => {
        if (added && (await this.#queue.remove(key))) this.#untrack(digest, key);
      },
    };
  }

  /** Write every namespace of a digest back now. @throws what the backend said; the tasks stay */
  async runNow(digest: Digest): Promise<void> {
    for (const key of [...(this.#tasksOf.get(digest) ?? [])]) await this.#queue.runNow(key);
  }

  close(): Promise<void> {
    return this.#queue.close();
  }

  async #execute(task: TaskView<WriteBackPayload>, signal: AbortSignal): Promise<void> {
    const { namespace, digest } = task.payload;
    const stat = await this.#store.stat(digest);
    if (stat === undefined) {
      // Never published, or deleted by an operator: nothing is left to write.
      this.#metrics.count('kraken_writeback_missing_total');
      this.#logger.warn({ namespace, digest }, 'write-back dropped: the blob is not here');
    } else {
      // One at a time: where two namespaces share storage the second then finds the blob there.
      await this.#writing.run(digest, () => this.#write(namespace, digest, stat.length, signal));
    }
    await this.#lock.run(digest, async () => {
      const keys = this.#tasksOf.get(digest);
      const last = keys === undefined || (keys.size === 1 && keys.has(task.key));
      if (last && stat !== undefined) await this.#store.setPinned(digest, false);
      this.#untrack(digest, task.key);
    });
  }

  async #write(namespace: string, digest: Digest, length: number, signal: AbortSignal): Promise<void> {
    const backend = this.#backendOf(namespace);
    if (await isStored(backend, namespace, digest, length, signal)) {
      this.#metrics.count('kraken_writeback_present_total');
      return;
    }
    const source = await uploadSourceOf(this.#store, digest);
    if (source === undefined) return;
    await backend.upload(namespace, digestHex(digest), source, signal);
    this.#metrics.count('kraken_writeback_bytes_total', length);
  }

  /** @throws KrakenError `storage-unavailable` when the namespace lost its backend, or it became read-only, since the task was recorded */
  #backendOf(namespace: string): StorageBackend {
    try {
      const backend = this.#backends?.forNamespace(namespace);
      if (backend?.can.upload === true) return backend;
    } catch (error) {
      if (!isKrakenError(error, 'backend-no-match')) throw error;
    }
    // The blob stays pinned: it may be the only copy. An operator who gives the namespace a backend retries by uploading.
    this.#logger.error({ namespace }, 'no storage takes the blobs of this namespace any more; they stay pinned');
    throw new KrakenError(
      'storage-unavailable',
      `no storage backend takes uploads of namespace ${JSON.stringify(namespace)}`,
    );
  }

  #track(digest: Digest, key: string): void {
    const keys = this.#tasksOf.get(digest);
    if (keys === undefined) this.#tasksOf.set(digest, new Set([key]));
    else keys.add(key);
  }

  #untrack(digest: Digest, key: string): void {
    const keys = this.#tasksOf.get(digest);
    keys?.delete(key);
    if (keys?.size === 0) this.#tasksOf.delete(digest);
  }
}

/** A recorded write-back whose blob is not published yet. */
export interface PreparedWriteBack {
  /** The blob must be pinned once it is there. */
  readonly pin: boolean;
  /** A task will write it: once none is pending, storage has it. */
  readonly recorded: boolean;
  /** The blob is there and pinned: the task may run. */
  published(): void;
  /** The commit failed. */
  withdraw(): Promise<void>;
}

function taskKey(namespace: string, digest: Digest): string {
  return `${digest} ${namespace}`;
}

function decodePayload(payload: TaskPayload): WriteBackPayload | undefined {
  const { namespace, digest } = payload;
  const parsed = typeof digest === 'string' ? tryParseDigest(digest) : undefined;
  return typeof namespace === 'string' && parsed !== undefined ? { namespace, digest: parsed } : undefined;
}

/** There, and as long as it should be: a truncated object of an earlier attempt is written again. Any failure means: upload. */
async function isStored(
  backend: StorageBackend,
  namespace: string,
  digest: Digest,
  length: number,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const stat = await backend.stat(namespace, digestHex(digest), signal);
    return stat.length === length;
  } catch (error) {
    if (signal.aborted) throw error;
    return false;
  }
}
