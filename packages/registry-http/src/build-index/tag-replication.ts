/**
 * Copies tags, with everything they need, to other clusters. Source: spec index-proxy-registry-config.md §2.4.
 *
 * Owns the persisted queue and the order of one replication: is it there, where are the remote origins, the blobs in order
 * with manifests after their contents, then the tag. Blobs go from origin to origin and never pass through here.
 */
import { parseTagName, type Remotes, type TagName, type TagPolicy } from '@kraken/core/build-index';
import { tryParseDigest, type Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { silentLogger, type CancelSignal, type Logger, type Metrics } from '@kraken/core/ports';
import type { RetrySchedule } from '@kraken/core/retry';
import { TaskQueue, type Clock, type TaskPayload } from '../retry/index.js';

/** What is asked of a build-index elsewhere; the build-index client satisfies it. */
export interface RemoteBuildIndex {
  /** Whether the tag exists there. */
  has(tag: string, signal?: CancelSignal): Promise<boolean>;
  /** What it names there. @throws KrakenError `tag-unknown` */
  get(tag: string, signal?: CancelSignal): Promise<Digest>;
  /** `host:port` of its origins. */
  origin(signal?: CancelSignal): Promise<string>;
  /** Let the tag name `digest` there. */
  put(tag: string, digest: Digest, signal?: CancelSignal): Promise<void>;
}

/** The origins of this cluster. */
export interface ReplicatingOrigins {
  /** Copy a blob to the origins at `remote`; resolves when they have it. */
  replicateToRemote(namespace: string, digest: Digest, remote: string, signal?: CancelSignal): Promise<void>;
}

export interface ReplicationTask extends TaskPayload {
  readonly tag: TagName;
  readonly digest: Digest;
  readonly dependencies: readonly Digest[];
  /** Build-index address of the other cluster. */
  readonly destination: string;
}

/** What replication stands on. `path`: file of the queue. */
export interface TagReplicationOptions {
  readonly remotes: Remotes;
  /** A client of the build-index at `address`. */
  readonly remote: (address: string) => RemoteBuildIndex;
  readonly origins: ReplicatingOrigins;
  /** With mutable tags an existing tag is compared, not taken for done. */
  readonly policy: TagPolicy;
  readonly path: string;
  readonly schedule?: RetrySchedule;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export class TagReplication {
  readonly #remotes: Remotes;
  readonly #queue: TaskQueue<ReplicationTask>;

  private constructor(remotes: Remotes, queue: TaskQueue<ReplicationTask>) {
    this.#remotes = remotes;
    this.#queue = queue;
  }

  /** Tasks to clusters that the configuration no longer names are dropped. */
  static async open(options: TagReplicationOptions): Promise<TagReplication> {
    const queue = await TaskQueue.open<ReplicationTask>({
      ...options,
      name: 'tag-replication',
      decode: decodeTask,
      execute: (task, signal) => replicateTag(task.payload, options, signal),
    });
    for (const { key, payload } of [...queue.tasks()]) {
      if (!options.remotes.wants(payload.tag, payload.destination)) await queue.remove(key);
    }
    return new TagReplication(options.remotes, queue);
  }

  start(): void {
    this.#queue.start();
  }

  get size(): number {
    return this.#queue.size;
  }

  /** One durable task per matching cluster. @returns the clusters @throws KrakenError `queue-full` */
  async add(
    tag: TagName,
    digest: Digest,
    dependencies: readonly Digest[],
    delayMs: number,
  ): Promise<readonly string[]> {
    const destinations = this.#remotes.matching(tag);
    await Promise.all(
      destinations.map((destination) =>
        this.#queue.add(`${destination} ${digest} ${tag}`, { tag, digest, dependencies, destination }, { delayMs }),
      ),
    );
    return destinations;
  }

  close(): Promise<void> {
    return this.#queue.close();
  }
}

/** One replication. @throws what the other cluster or the origins said */
export async function replicateTag(
  task: ReplicationTask,
  options: Pick<TagReplicationOptions, 'remote' | 'origins' | 'policy'> & { readonly logger?: Logger },
  signal?: CancelSignal,
): Promise<void> {
  const { tag, digest, dependencies, destination } = task;
  const remote = options.remote(destination);
  if (await isThere(remote, tag, digest, options, signal)) return;
  const origins = await remote.origin(signal);
  for (const dependency of dependencies) await options.origins.replicateToRemote(tag, dependency, origins, signal);
  await remote.put(tag, digest, signal);
}

/** A failure to ask is not an answer: the copy goes on. */
async function isThere(
  remote: RemoteBuildIndex,
  tag: TagName,
  digest: Digest,
  { policy, logger = silentLogger }: { readonly policy: TagPolicy; readonly logger?: Logger },
  signal: CancelSignal | undefined,
): Promise<boolean> {
  try {
    if (!(await remote.has(tag, signal))) return false;
    return policy !== 'mutable' || (await remote.get(tag, signal)) === digest;
  } catch (error) {
    if (isKrakenError(error, 'cancelled')) throw error;
    logger.debug({ tag, err: error }, 'remote tag cannot be looked up');
    return false;
  }
}

function decodeTask(payload: TaskPayload): ReplicationTask | undefined {
  const { tag, digest, dependencies, destination } = payload;
  const parsed = typeof digest === 'string' ? tryParseDigest(digest) : undefined;
  if (
    typeof tag !== 'string' ||
    typeof destination !== 'string' ||
    parsed === undefined ||
    !Array.isArray(dependencies)
  )
    return undefined;
  return { tag: parseTagName(tag), digest: parsed, destination, dependencies: dependencies.map(digestOfDependency) };
}

function digestOfDependency(value: unknown): Digest {
  const digest = typeof value === 'string' ? tryParseDigest(value) : undefined;
  if (digest === undefined) throw new KrakenError('digest-invalid', 'a stored dependency is no digest');
  return digest;
}
