/**
 * Writes tags to storage after they were put. Source: spec index-proxy-registry-config.md §2.1; README (mutable tags).
 *
 * Owns the persisted queue. A task says which value it writes: one that the disk no longer holds is superseded and dropped.
 * The host that took the put overwrites; a neighbour's backup writes only when storage still holds what the put replaced,
 * so that a late backup never undoes a newer put.
 */
import { parseTagName, type TagName, type TagPolicy } from '@kraken/core/build-index';
import { tryParseDigest, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { silentLogger, type Logger, type Metrics } from '@kraken/core/ports';
import type { RetrySchedule } from '@kraken/core/retry';
import { KeyedLock } from '../retry/keyed-lock.js';
import { TaskQueue, type Clock, type TaskPayload, type TaskView } from '../retry/index.js';
import type { TagObjects } from './tag-objects.js';
import type { TagStore } from './tag-store.js';

/** What storage held before a put: a digest, nothing, or it could not be asked. */
export type Replaced = Digest | 'nothing' | 'unknown';

interface TagTask extends TaskPayload {
  readonly tag: TagName;
  readonly digest: Digest;
  /** For a neighbour's put. */
  readonly backup: boolean;
  readonly replaces: Replaced;
}

export interface TagWriteBackOptions {
  readonly store: TagStore;
  readonly objects: TagObjects;
  readonly policy: TagPolicy;
  /** Shared with whoever puts: value and pin of a tag change together. */
  readonly lock: KeyedLock<TagName>;
  readonly path: string;
  readonly schedule?: RetrySchedule;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export class TagWriteBack {
  readonly #store: TagStore;
  readonly #objects: TagObjects;
  readonly #policy: TagPolicy;
  readonly #logger: Logger;
  readonly #queue: TaskQueue<TagTask>;
  readonly #lock: KeyedLock<TagName>;
  readonly #writing = new KeyedLock<TagName>();

  private constructor(options: TagWriteBackOptions, queue: TaskQueue<TagTask>) {
    this.#store = options.store;
    this.#objects = options.objects;
    this.#policy = options.policy;
    this.#lock = options.lock;
    this.#logger = options.logger ?? silentLogger;
    this.#queue = queue;
  }

  /** Read the tasks that are left; a pinned tag without one (a crash in the middle of a put) gets one. */
  static async open(options: TagWriteBackOptions): Promise<TagWriteBack> {
    const self: { writeBack?: TagWriteBack } = {};
    const queue = await TaskQueue.open<TagTask>({
      ...options,
      name: 'tag-writeback',
      decode: decodeTask,
      execute: async (task, signal) => {
        if (self.writeBack === undefined) throw new KrakenError('internal', 'write-back runs before it is open');
        await self.writeBack.#execute(task, signal);
      },
    });
    const writeBack = new TagWriteBack(options, queue);
    self.writeBack = writeBack;
    const recorded = new Set(Array.from(queue.tasks(), ({ payload }) => payload.tag));
    for await (const tag of options.store.list()) {
      const stored = await options.store.read(tag);
      if (stored?.pinned === true && !recorded.has(tag))
        await writeBack.add(tag, stored.digest, { backup: true, replaces: 'nothing', delayMs: 0 });
    }
    return writeBack;
  }

  start(): void {
    this.#queue.start();
  }

  get size(): number {
    return this.#queue.size;
  }

  /** Tags that storage may not have yet. */
  *pending(): Generator<TagName, void> {
    for (const { payload } of this.#queue.tasks()) yield payload.tag;
  }

  /** Durable when it resolves. @throws KrakenError `queue-full`, `disk-full` */
  async add(
    tag: TagName,
    digest: Digest,
    options: { backup: boolean; replaces: Replaced; delayMs: number },
  ): Promise<void> {
    const { backup, replaces, delayMs } = options;
    await this.#queue.add(
      `${backup ? 'backup' : 'put'} ${digest} ${tag}`,
      { tag, digest, backup, replaces },
      { delayMs },
    );
  }

  close(): Promise<void> {
    return this.#queue.close();
  }

  async #execute(task: TaskView<TagTask>, signal: AbortSignal): Promise<void> {
    const { tag, digest, backup, replaces } = task.payload;
    await this.#writing.run(tag, async () => {
      const stored = await this.#store.read(tag);
      if (stored?.digest !== digest) {
        this.#logger.debug({ tag, digest }, 'tag write-back dropped: the tag names something else now');
        return;
      }
      const written = await this.#objects.read(tag, signal);
      const overwrite = this.#policy === 'mutable' && (!backup || written === replaces);
      const lost = written !== undefined && written !== digest && !overwrite;
      if (lost) this.#logger.warn({ tag, digest, written }, 'storage holds another digest of this tag, it stays');
      else if (written !== digest) await this.#objects.write(tag, digest, signal);
      await this.#lock.run(tag, async () => {
        // A put meanwhile has its own task and needs its pin.
        if ((await this.#store.read(tag))?.digest !== digest) return;
        await this.#store.unpin(tag);
        if (lost) await this.#store.evict(tag);
      });
      this.#objects.forget(tag);
    });
  }
}

function decodeTask(payload: TaskPayload): TagTask | undefined {
  const { tag, digest, backup, replaces } = payload;
  const parsed = typeof digest === 'string' ? tryParseDigest(digest) : undefined;
  if (typeof tag !== 'string' || parsed === undefined || typeof backup !== 'boolean') return undefined;
  return { tag: parseTagName(tag), digest: parsed, backup, replaces: parseReplaced(replaces) };
}

/** What another host says a put replaced. */
export function parseReplaced(value: unknown): Replaced {
  if (value === 'nothing') return 'nothing';
  return (typeof value === 'string' ? tryParseDigest(value) : undefined) ?? 'unknown';
}
