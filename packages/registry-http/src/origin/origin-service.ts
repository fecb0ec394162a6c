/**
 * What an origin does, without HTTP: uploads, commits that are durable before they are acknowledged, fetches from storage,
 * replication, cleanup. Source: spec origin-store-backends.md §1–§3.
 *
 * Owns the order of a commit: record the write-back task, publish the blob, pin it, make its metainfo, copy it to the other
 * owners, acknowledge. Whatever dies between two steps, nothing acknowledged is lost: a task without a blob is dropped, a
 * blob whose task is recorded is pinned again at the next start. Bytes are the store's, requests the handler's.
 */
import { canHaveRoot, digestHex, type Digest, type MetaInfo, type PiecesRoot } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { mayAcknowledge, DEFAULT_WRITE_BACK_STAGGER_MS, type RefreshOutcome } from '@kraken/core/origin';
import {
  silentLogger,
  type BackendManager,
  type BlobStore,
  type Logger,
  type Metrics,
  type OpenedBlob,
  type OriginCluster,
} from '@kraken/core/ports';
import type { RetrySchedule } from '@kraken/core/retry';
import { join } from 'node:path';
import { ExpiringMap } from '../expiring-map.js';
import { systemClock, type Clock } from '../retry/index.js';
import { uploadSourceOf } from './blob-source.js';
import { KeyedLock } from '../retry/keyed-lock.js';
import { Refresher, type RefreshLimits } from './refresher.js';
import { Replicator, type OriginPeer, type OriginRing } from './replicator.js';
import { UploadSessions } from './upload-sessions.js';
import { WriteBack } from './write-back.js';

/** What an origin stands on. */
export interface OriginServiceOptions {
  readonly store: BlobStore;
  /** Absent: no storage behind; blobs live on the origins alone and are never evicted. */
  readonly backends?: BackendManager;
  readonly ring: OriginRing;
  /** A client of another origin. */
  readonly peer: (host: string) => OriginPeer;
  /** Folder of the retry journals. */
  readonly stateDirectory: string;
  /** Give metainfo a root and serve piece layers. Default true; a store that makes none says so by itself. */
  readonly pieceLayer?: boolean;
  /** Piece length for a blob of so many bytes (Kraken: `metainfogen.piece_lengths`). */
  readonly pieceLengthFor: (lengthBytes: number) => number;
  /** A cluster elsewhere, for `remote` replication. Absent: refused. */
  readonly remoteCluster?: (hostPort: string) => OriginCluster;
  /** Delay between the write-backs of two replicas. Kraken: 30 min. */
  readonly writeBackStaggerMs?: number;
  readonly refresh?: Partial<RefreshLimits>;
  readonly schedule?: RetrySchedule;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** The value, or what came of trying to fetch it. */
export type Found<T> = { readonly kind: 'found'; readonly value: T } | Exclude<RefreshOutcome, { kind: 'ready' }>;

/** What a forced cleanup did. */
export interface CleanupReport {
  /** Hex names. */
  readonly deleted: readonly string[];
  /** `<hex>: <why>`. */
  readonly errors: readonly string[];
}

/** An owner fetches a blob itself when the first owner's copy has not come after so long. Guess: 10 GB at 1 Gbit/s. */
const COPY_WAIT_MS = 80_000;

/** What an origin does, without HTTP. */
export class OriginService {
  readonly #options: OriginServiceOptions;
  readonly #store: BlobStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #lock: KeyedLock<Digest>;
  readonly #writeBack: WriteBack;
  readonly #replicator: Replicator;
  readonly #refresher: Refresher;
  readonly #sessions: UploadSessions;
  /** Blobs that the first owner was asked to fetch, and since when. */
  readonly #askedFirst = new ExpiringMap<Digest, number>(10_000);
  readonly #making = new Map<Digest, Promise<MetaInfo>>();
  /** Metainfo of an earlier origin gets its root; one at a time. */
  #addingRoot: Promise<void> | undefined;
  #scan: Promise<void> | undefined;
  #closed = false;

  private constructor(
    options: OriginServiceOptions,
    lock: KeyedLock<Digest>,
    writeBack: WriteBack,
    replicator: Replicator,
  ) {
    this.#options = options;
    this.#store = options.store;
    this.#clock = options.clock ?? systemClock;
    this.#sessions = new UploadSessions(this.#clock);
    this.#logger = options.logger ?? silentLogger;
    this.#lock = lock;
    this.#writeBack = writeBack;
    this.#replicator = replicator;
    this.#refresher = new Refresher({
      ...options,
      backends: options.backends,
      limits: options.refresh ?? {},
      finish: async (digest, length) => {
        await this.#makeMetaInfo(digest, length);
      },
    });
  }

  /** Read the journals. Nothing runs before `start`. @throws KrakenError `io-error` */
  static async open(options: OriginServiceOptions): Promise<OriginService> {
    const lock = new KeyedLock<Digest>();
    const { stateDirectory } = options;
    const writeBack = await WriteBack.open({
      ...options,
      backends: options.backends,
      lock,
      path: join(stateDirectory, 'writeback.journal'),
    });
    try {
      const replicator = await Replicator.open({
        ...options,
        path: join(stateDirectory, 'replication.journal'),
        staggerMs: options.writeBackStaggerMs ?? DEFAULT_WRITE_BACK_STAGGER_MS,
      });
      return new OriginService(options, lock, writeBack, replicator);
    } catch (error) {
      await writeBack.close();
      throw error;
    }
  }

  /** Let write-back and replication run. */
  start(): void {
    this.#writeBack.start();
    this.#replicator.start();
    if (this.#options.backends !== undefined) this.#scan = this.#reportOrphans();
  }

  /** Work that is left, for metrics and shutdown decisions. */
  get backlog(): { readonly writeBack: number; readonly replication: number; readonly refresh: number } {
    return { writeBack: this.#writeBack.size, replication: this.#replicator.size, refresh: this.#refresher.pending };
  }

  /** Finish what runs; the rest waits on disk. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#refresher.close();
    await this.#replicator.close();
    await this.#writeBack.close();
    await this.#scan;
    await this.#addingRoot;
  }

  /** Owners of a digest, best first. */
  locations(digest: Digest): readonly string[] {
    return this.#options.ring.locations(digest);
  }

  /** @throws KrakenError `not-ready` */
  async checkReady(signal?: AbortSignal): Promise<void> {
    await this.#options.backends?.checkReady(signal);
  }

  /**
   * Begin a public upload. A blob that is here already is made durable first, then refused.
   * @returns the session id
   * @throws KrakenError `blob-exists`, `backend-no-match`, `too-many-uploads`, `disk-full`, `origin-unavailable`
   */
  async startUpload(
    namespace: string,
    digest: Digest,
    options: { sizeBytes?: number; isCopy?: boolean } = {},
  ): Promise<string> {
    this.#writeBack.checkNamespace(namespace);
    await this.#refuseExisting(namespace, digest, options.isCopy ?? false);
    return this.#createSession(digest, options.sizeBytes);
  }

  /** Begin a transfer between origins: no write-back. @throws KrakenError `blob-exists`, `too-many-uploads`, `disk-full` */
  async startTransfer(digest: Digest, options: { sizeBytes?: number } = {}): Promise<string> {
    await this.#refuseExisting(undefined, digest, true);
    return this.#createSession(digest, options.sizeBytes);
  }

  /**
   * Store bytes `start` to `end` (exclusive) of a session.
   * @param namespace `undefined` for a transfer
   * @throws KrakenError `blob-exists`, `upload-unknown`, `size-invalid`, `range-invalid`, `disk-full`
   */
  async writeChunk(
    namespace: string | undefined,
    digest: Digest,
    id: string,
    range: { start: number; end: number },
    body: AsyncIterable<Uint8Array>,
    options: { isCopy?: boolean } = {},
  ): Promise<void> {
    try {
      await this.#refuseExisting(namespace, digest, options.isCopy ?? namespace === undefined);
    } catch (error) {
      // The client stops here and takes it for success: nobody will end the session.
      if (isKrakenError(error, 'blob-exists')) await this.#abandon(id, digest);
      throw error;
    }
    const expected = range.end - range.start;
    if (expected < 0) throw new KrakenError('size-invalid', `range ${range.start}-${range.end} ends before it starts`);
    this.#sessions.check(id, digest, range.end);
    const written = await this.#store.uploads.write(id, range.start, body, expected);
    if (written !== expected) throw new KrakenError('size-invalid', `expected ${expected} bytes, got ${written}`);
  }

  /**
   * Publish an upload; it is durable on two origins or in storage when this resolves (on one, when there is only one).
   * @throws KrakenError `upload-unknown`, `blob-exists`, `digest-mismatch`, `origin-unavailable` (kept here, but not durable
   *   enough to promise: the copies are made later), `queue-full`, `disk-full`
   */
  async commitUpload(namespace: string, digest: Digest, id: string): Promise<void> {
    await this.#store.uploads.size(id);
    const recorded = await this.#publish(namespace, digest, id, 0);
    await this.#promise(digest, await this.#replicator.spread(namespace, digest), recorded);
  }

  /** Publish a copy from another origin, whose own write-back comes first. @throws as {@link commitUpload} */
  async commitDuplicate(namespace: string, digest: Digest, id: string, writeBackDelayMs: number): Promise<void> {
    await this.#store.uploads.size(id);
    await this.#publish(namespace, digest, id, Math.max(0, writeBackDelayMs), true);
  }

  /** Publish a transfer. @throws KrakenError `upload-unknown`, `blob-exists`, `digest-mismatch` */
  async commitTransfer(digest: Digest, id: string): Promise<void> {
    this.#sessions.check(id, digest);
    const { length, existed } = await this.#store.uploads.commit(id, digest);
    this.#sessions.ended(id);
    if (existed) throw new KrakenError('blob-exists');
    await this.#makeMetaInfo(digest, length);
  }

  /** A blob that is here, or the outcome of starting to fetch it. @throws KrakenError `backend-no-match`, `body-too-large` */
  async open(namespace: string, digest: Digest): Promise<Found<OpenedBlob>> {
    const blob = await this.#store.open(digest);
    if (blob !== undefined) return { kind: 'found', value: blob };
    return this.#fetch(namespace, digest, () => this.open(namespace, digest));
  }

  /** Start to fetch a blob that is not here, and copy it to its other owners. `ready`: it is here. */
  async prefetch(namespace: string, digest: Digest): Promise<RefreshOutcome> {
    if ((await this.#store.stat(digest)) !== undefined) return { kind: 'ready' };
    return this.refresh(namespace, digest);
  }

  /** Fetch from storage. @throws KrakenError `backend-no-match`, `body-too-large` */
  refresh(namespace: string, digest: Digest, options: { share?: boolean } = {}): Promise<RefreshOutcome> {
    const share = options.share ?? true;
    return this.#refresher.refresh(
      namespace,
      digest,
      share ? { afterwards: () => this.#replicator.share(namespace, digest) } : {},
    );
  }

  /**
   * A peer wants a blob that is not here. Storage is read once for all owners: by the first of them, which copies the blob
   * to the others; by this one when the first cannot be asked, or when its copy does not come.
   * @throws KrakenError `backend-no-match`, `body-too-large`
   */
  async fetchForPeer(namespace: string, digest: Digest): Promise<void> {
    const { ring, peer } = this.#options;
    const [first] = ring.locations(digest);
    const now = this.#clock.nowMs();
    const askedAt = this.#askedFirst.get(digest, now) ?? now;
    this.#askedFirst.set(digest, askedAt, now, now + 2 * COPY_WAIT_MS);
    const waits = now - askedAt < COPY_WAIT_MS;
    if (waits && first !== undefined && first !== ring.self && ring.owners(digest).includes(ring.self)) {
      try {
        await peer(first).prefetch(namespace, digest);
        return;
      } catch (error) {
        this.#logger.info(
          { err: error, digest, owner: first },
          'the first owner cannot fetch a blob; fetching it here',
        );
      }
    }
    await this.refresh(namespace, digest);
  }

  /** Metainfo of a blob; of one that is here without it, it is made. @throws KrakenError `backend-no-match`, `body-too-large` */
  async metaInfo(namespace: string, digest: Digest): Promise<Found<MetaInfo>> {
    const known = await this.#store.metaInfo(digest);
    if (known !== undefined) {
      this.#addRootLater(known);
      return { kind: 'found', value: known };
    }
    const stat = await this.#store.stat(digest);
    if (stat !== undefined) return { kind: 'found', value: await this.#makeMetaInfo(digest, stat.length) };
    return this.#fetch(namespace, digest, () => this.metaInfo(namespace, digest));
  }

  /**
   * The piece layer under `root` of a blob that is here; made anew when it was lost. `undefined` when the blob is not here or
   * has another root.
   */
  async pieceLayer(digest: Digest, root: PiecesRoot): Promise<Uint8Array | undefined> {
    const metainfo = await this.#store.metaInfo(digest);
    if (metainfo?.piecesRoot !== root) return undefined;
    const layer = await this.#store.pieceLayer?.(digest);
    if (layer !== undefined) return layer;
    const again = await this.#store.generateMetaInfo(digest, metainfo.pieceLength);
    return again.piecesRoot === root ? this.#store.pieceLayer?.(digest) : undefined;
  }

  /**
   * Length of a blob here, or in storage unless `local`. `undefined`: neither has it.
   * @throws KrakenError `backend-no-match`, `storage-unavailable`
   */
  async stat(namespace: string, digest: Digest, local: boolean): Promise<{ length: number } | undefined> {
    const here = await this.#store.stat(digest);
    if (here !== undefined) return { length: here.length };
    const { backends } = this.#options;
    if (local || backends === undefined) return undefined;
    try {
      return await backends.forNamespace(namespace).stat(namespace, digestHex(digest));
    } catch (error) {
      if (isKrakenError(error, 'blob-unknown')) return undefined;
      throw error;
    }
  }

  /** @throws KrakenError `blob-pinned`; false when it was not here */
  delete(digest: Digest): Promise<boolean> {
    return this.#lock.run(digest, async () => {
      // Without storage every blob is pinned against eviction; an operator's delete is meant.
      if (this.#options.backends === undefined && (await this.#store.stat(digest)) !== undefined)
        await this.#store.setPinned(digest, false);
      return this.#store.delete(digest);
    });
  }

  /** Replace the metainfo of a blob that is here. @throws KrakenError `blob-unknown`, `metainfo-invalid` */
  async overwriteMetaInfo(digest: Digest, pieceLength: number): Promise<void> {
    if ((await this.#store.stat(digest)) === undefined)
      throw new KrakenError('blob-unknown', `${digest} is not on this origin`);
    await this.#store.generateMetaInfo(digest, pieceLength);
  }

  /** Copy a blob to the origins of another cluster. `ready`: done. @throws what the remote cluster said; `unsupported` */
  async replicateToRemote(
    namespace: string,
    digest: Digest,
    remote: string,
    signal?: AbortSignal,
  ): Promise<RefreshOutcome> {
    const { remoteCluster } = this.#options;
    if (remoteCluster === undefined) throw new KrakenError('unsupported', 'this origin knows no remote clusters');
    const source = await uploadSourceOf(this.#store, digest);
    if (source === undefined) return this.refresh(namespace, digest, { share: false });
    await remoteCluster(remote).upload(namespace, digest, source, signal);
    return { kind: 'ready' };
  }

  /** Delete blobs older than `ttlMs` or not owned; what is not written back yet is written back first. Source: spec §3.5. */
  async forceCleanup(ttlMs: number): Promise<CleanupReport> {
    const { ring } = this.#options;
    const deleted: string[] = [];
    const errors: string[] = [];
    for await (const digest of this.#store.list()) {
      const stat = await this.#store.stat(digest);
      if (stat === undefined) continue;
      const expired = this.#clock.nowMs() - stat.committedAtMs > ttlMs;
      if (!expired && ring.owners(digest).includes(ring.self)) continue;
      try {
        await this.#writeBack.runNow(digest);
        if (await this.#lock.run(digest, () => this.#store.delete(digest))) deleted.push(digestHex(digest));
      } catch (error) {
        errors.push(`${digestHex(digest)}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return { deleted, errors };
  }

  async #abandon(id: string, digest: Digest): Promise<void> {
    this.#sessions.check(id, digest);
    this.#sessions.ended(id);
    await this.#store.uploads.abort(id);
  }

  async #createSession(digest: Digest, sizeBytes: number | undefined): Promise<string> {
    const id = await this.#store.uploads.create();
    this.#sessions.started(id, digest, sizeBytes);
    return id;
  }

  async #refuseExisting(namespace: string | undefined, digest: Digest, isCopy: boolean): Promise<void> {
    const stat = await this.#store.stat(digest);
    if (stat === undefined) return;
    // A client takes the refusal for success, so everything that success promises must hold. A copy promises nothing.
    if (namespace !== undefined && !isCopy) {
      const recorded = await this.#lock.run(digest, () => this.#recordWriteBack(namespace, digest));
      await this.#makeMetaInfo(digest, stat.length);
      await this.#promise(digest, await this.#replicator.confirm(namespace, digest), recorded);
    }
    throw new KrakenError('blob-exists');
  }

  /** Task first, then the blob, then its pin, all before anybody else may touch the digest. */
  async #publish(namespace: string, digest: Digest, id: string, delayMs: number, isCopy = false): Promise<boolean> {
    this.#sessions.check(id, digest);
    const { length, existed, recorded } = await this.#lock.run(digest, async () => {
      const prepared = await this.#writeBack.prepare(namespace, digest, delayMs);
      let committed: { length: number; existed: boolean };
      try {
        committed = await this.#store.uploads.commit(id, digest);
      } catch (error) {
        await prepared.withdraw();
        throw error;
      }
      try {
        if (prepared.pin) await this.#store.setPinned(digest, true);
      } finally {
        prepared.published();
      }
      return { ...committed, recorded: prepared.recorded };
    });
    this.#sessions.ended(id);
    this.#refresher.forget(namespace, digest);
    await this.#makeMetaInfo(digest, length);
    if (existed) {
      if (!isCopy) await this.#refuseExisting(namespace, digest, false);
      throw new KrakenError('blob-exists');
    }
    return recorded;
  }

  async #recordWriteBack(namespace: string, digest: Digest): Promise<boolean> {
    const prepared = await this.#writeBack.prepare(namespace, digest, 0);
    try {
      if (prepared.pin && (await this.#store.stat(digest)) !== undefined) await this.#store.setPinned(digest, true);
    } finally {
      prepared.published();
    }
    return prepared.recorded;
  }

  /** Once for all who ask at the same time: it reads the whole blob. */
  #makeMetaInfo(digest: Digest, length: number): Promise<MetaInfo> {
    let making = this.#making.get(digest);
    if (making === undefined) {
      making = this.#readOrMakeMetaInfo(digest, length).finally(() => this.#making.delete(digest));
      this.#making.set(digest, making);
    }
    return making;
  }

  /**
   * Metainfo that a Go origin left, or that was made without roots, gets one when it is first asked for; whoever asks later
   * sees it. Sums and info hash stay the same.
   */
  #addRootLater({ digest, length, pieceLength, piecesRoot }: MetaInfo): void {
    const wanted = this.#options.pieceLayer !== false && this.#store.pieceLayer !== undefined;
    if (!wanted || this.#closed || piecesRoot !== undefined || !canHaveRoot(length, pieceLength)) return;
    this.#addingRoot ??= this.#store
      .generateMetaInfo(digest, pieceLength)
      .then(
        () => this.#logger.info({ digest }, 'metainfo has got its root'),
        (error: unknown) => this.#logger.warn({ err: error, digest }, 'metainfo stays without a root'),
      )
      .finally(() => {
        this.#addingRoot = undefined;
      });
  }

  async #readOrMakeMetaInfo(digest: Digest, length: number): Promise<MetaInfo> {
    return (
      (await this.#store.metaInfo(digest)) ?? this.#store.generateMetaInfo(digest, this.#options.pieceLengthFor(length))
    );
  }

  /** @throws KrakenError `origin-unavailable` when the loss of this machine would lose the blob */
  async #promise(
    digest: Digest,
    { copies, needed }: { copies: number; needed: number },
    recorded: boolean,
  ): Promise<void> {
    if (mayAcknowledge({ copies, needed, writtenBack: false })) return;
    let cause: unknown;
    try {
      await this.#writeBack.runNow(digest);
    } catch (error) {
      cause = error;
    }
    const writtenBack = recorded && cause === undefined && !this.#writeBack.isPending(digest);
    if (mayAcknowledge({ copies, needed, writtenBack })) return;
    throw new KrakenError(
      'origin-unavailable',
      `${digest} exists on ${copies} of ${needed} origins and is not in storage yet`,
      { cause },
    );
  }

  async #fetch<T>(namespace: string, digest: Digest, again: () => Promise<Found<T>>): Promise<Found<T>> {
    const outcome = await this.refresh(namespace, digest);
    return outcome.kind === 'ready' ? again() : outcome;
  }

  /** Pinned blobs that nothing will ever write back: only an operator can say what they are. */
  async #reportOrphans(): Promise<void> {
    let orphans = 0;
    try {
      for await (const digest of this.#store.list()) {
        if (this.#closed) return;
        if (
          !this.#writeBack.isPending(digest) &&
          (await this.#store.isPinned(digest)) &&
          !this.#writeBack.isPending(digest)
        )
          orphans++;
      }
    } catch (error) {
      this.#logger.warn({ err: error }, 'scan for pinned blobs failed');
    }
    this.#options.metrics?.gauge('kraken_origin_pinned_without_task', orphans);
    if (orphans > 0) this.#logger.warn({ blobs: orphans }, 'blobs are pinned but no write-back is recorded for them');
  }
}
