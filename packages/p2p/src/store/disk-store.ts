/**
 * The content-addressed store of a node: committed blobs, torrents that grow piece by piece, uploads, cleanup.
 * Owns its parts and their life; each part has its own file. Kraken's layout on disk, so that a node can be
 * upgraded in place. Source: spec p2p.md §6, origin-store-backends.md §5.
 *
 * One process per directory. Memory does not depend on the size of blobs.
 */
import { randomUUID } from 'node:crypto';
import { realpath, rename, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { canHaveRoot, createMetaInfo, type Digest, type MetaInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import {
  silentLogger,
  silentMetrics,
  type BlobStore,
  type Logger,
  type Metrics,
  type OpenedBlob,
  type UploadStore,
} from '@kraken/core/ports';
import { AccessTimes } from './access-times.js';
import { CommittedBlobs } from './committed-blobs.js';
import { errnoOf, isMissing, onDisk } from './disk-error.js';
import { makeDirectory, unlinkIfThere } from './durable.js';
import { DEFAULT_CLEANUP, Sweeper, type CleanupOptions, type SweepResult } from './eviction.js';
import { FilePool } from './file-pool.js';
import { HashThreads } from './hash-threads.js';
import { KeyedLock } from './keyed-lock.js';
import { StateDirectory } from './layout.js';
import { OpenedFile } from './opened-blob.js';
import { PieceLayers } from './piece-layers.js';
import type { PieceStore, TorrentFile } from './piece-store.js';
import { ReadBuffers } from './read-buffers.js';
import * as sidecars from './sidecars.js';
import type { StoreContext } from './store-context.js';
import { TorrentTable } from './torrent-table.js';
import { DiskUploads } from './upload-store.js';

/** What the store holds at most, and for how long. */
export interface StoreLimits {
  /** Read and gathering buffers of all streams together. Guess: 64 MiB. */
  readonly bufferBytesMax: number;
  /** Streams that may wait for a buffer. Guess: 4096. */
  readonly bufferWaitersMax: number;
  /** An upload session without writes for so long is given up. Kraken: 6 h. */
  readonly uploadIdleMs: number;
}

/** Where the store keeps what. */
export interface DiskStoreOptions {
  /** Committed blobs. Created when missing, like the others. */
  readonly cacheDir: string;
  /** Partial downloads; on the cache's file system. Absent: `create` is unsupported. */
  readonly downloadDir?: string;
  /** Upload sessions; on the cache's file system. What earlier runs left there is deleted. Absent: uploads are unsupported. */
  readonly uploadDir?: string;
  /** Upload sessions at a time. Default 1000 (guess). */
  readonly uploadsMax?: number;
  /** Open descriptors at a time. Default 512 (guess: a quarter of a usual process limit's lower end). */
  readonly descriptorsMax?: number;
  /** Give the metainfo of blobs a root and keep their piece layer. Default true. */
  readonly pieceLayer?: boolean;
  /** Those that differ from the defaults. */
  readonly limits?: Partial<StoreLimits>;
  /** Those settings that differ from `DEFAULT_CLEANUP`. */
  readonly cleanup?: Partial<CleanupOptions>;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Default: none. */
  readonly metrics?: Metrics;
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
}

/** Descriptors and buffers that nobody used go after once to twice this long. Guess: longer than the pauses of a rollout. */
const REST_MS = 30_000;

const DEFAULT_LIMITS: StoreLimits = {
  bufferBytesMax: 64 * 1024 * 1024,
  bufferWaitersMax: 4096,
  uploadIdleMs: 21_600_000,
};

/** Blobs on the local disk in Kraken's layout: committed ones, torrents that grow, uploads. */
export class DiskStore implements BlobStore, PieceStore {
  readonly #context: StoreContext;
  readonly #blobs: CommittedBlobs;
  readonly #torrents: TorrentTable;
  readonly #uploads: DiskUploads;
  readonly #sweeper: Sweeper;
  readonly #evictionListeners = new Set<(digest: Digest) => void>();
  readonly #opened = new Set<OpenedFile>();
  readonly #pieceLayer: boolean;
  readonly #generating = new Map<string, Promise<MetaInfo>>();
  #closed: KrakenError | undefined;
  #restTimer: NodeJS.Timeout | undefined;

  private constructor(context: StoreContext, options: DiskStoreOptions) {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#context = context;
    this.#pieceLayer = options.pieceLayer ?? true;
    this.#blobs = new CommittedBlobs(context, (bytes) => this.#sweeper.grew(bytes));
    this.#torrents = new TorrentTable(context, this.#blobs, (bytes) => this.#sweeper.makeRoom(bytes));
    const uploadDir = options.uploadDir === undefined ? undefined : resolve(options.uploadDir);
    this.#uploads = new DiskUploads(context, this.#blobs, uploadDir, {
      uploadsMax: options.uploadsMax ?? 1000,
      uploadIdleMs: limits.uploadIdleMs,
    });
    this.#sweeper = new Sweeper(
      context,
      {
        isOpen: (digest) => this.#torrents.isOpen(digest),
        removeLocked: (digest) => this.#torrents.removeLocked(digest),
        expireUploads: () => this.#uploads.expire(),
        evicted: (digest) => {
          for (const listener of this.#evictionListeners) listener(digest);
        },
      },
      { ...DEFAULT_CLEANUP, ...options.cleanup },
    );
  }

  /**
   * Create the directories, see that blobs can be moved between them, wipe old uploads, start the cleanup timer.
   * @throws KrakenError `config-invalid` when the directories lie on different file systems; `io-error`, `disk-full`
   */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const cache = new StateDirectory(options.cacheDir);
    const download = options.downloadDir === undefined ? undefined : new StateDirectory(options.downloadDir);
    await checkDirectories(cache.root, [download?.root, options.uploadDir]);
    const logger = options.logger ?? silentLogger;
    const metrics = options.metrics ?? silentMetrics;
    const now = options.now ?? Date.now;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const locks = new KeyedLock<Digest>();
    const hash = HashThreads.shared();
    try {
      const store = new DiskStore(
        {
          cache,
          download,
          locks,
          files: new FilePool(options.descriptorsMax ?? 512, logger, metrics),
          buffers: new ReadBuffers(limits.bufferBytesMax, limits.bufferWaitersMax),
          hash,
          layers: new PieceLayers(hash.pieces, metrics),
          access: new AccessTimes(locks, now, logger),
          logger,
          metrics,
          now,
        },
        options,
      );
      await store.#uploads.wipe();
      store.#sweeper.start();
      store.#restTimer = setInterval(() => store.#rest(), REST_MS).unref();
      return store;
    } catch (error) {
      await hash.release();
      throw error;
    }
  }

  /** Upload sessions: how content gets in that no peer has. */
  get uploads(): UploadStore {
    return this.#uploads;
  }

  /** Be told of every blob or partial download that the cleanup deletes. @returns how to stop that */
  onEvict(listener: (digest: Digest) => void): () => void {
    this.#evictionListeners.add(listener);
    return () => void this.#evictionListeners.delete(listener);
  }

  /** One cleanup now. */
  sweep(): Promise<SweepResult> {
    return this.#sweeper.sweep();
  }

  /** Stop: readers fail with `shutting-down`, work on files is waited for. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#closed = new KrakenError('shutting-down', 'the store is closed');
    clearInterval(this.#restTimer);
    await this.#sweeper.close();
    for (const opened of [...this.#opened]) opened.stop(this.#closed);
    this.#torrents.close(this.#closed);
    await this.#uploads.close(this.#closed);
    await this.#context.locks.idle();
    this.#context.files.close();
    await this.#context.hash.release();
  }

  // BlobStore

  async stat(digest: Digest): Promise<{ length: number; committedAtMs: number } | undefined> {
    this.#check();
    return this.#blobs.locate(digest);
  }

  async open(digest: Digest): Promise<OpenedBlob | undefined> {
    this.#check();
    const found = await this.#blobs.locate(digest);
    if (found === undefined) return undefined;
    const file = this.#blobs.file(digest);
    let fd: number;
    try {
      fd = await file.acquire();
    } catch (error) {
      // Deleted in between.
      if (isMissing(error)) return undefined;
      throw error;
    }
    this.#blobs.touch(digest);
    const opened = new OpenedFile(file, fd, found.length, this.#context.buffers, (over) => this.#opened.delete(over));
    this.#opened.add(opened);
    return opened;
  }

  /** Deletes a partial download too. Open readers go on; readers that wait for pieces fail with `removed`. */
  async delete(digest: Digest): Promise<boolean> {
    this.#check();
    return this.#torrents.remove(digest);
  }

  async *list(): AsyncGenerator<Digest, undefined, undefined> {
    this.#check();
    for await (const digest of this.#context.cache.digests()) {
      if ((await this.#blobs.locate(digest)) !== undefined) yield digest;
    }
    return undefined;
  }

  async setPinned(digest: Digest, pinned: boolean): Promise<void> {
    this.#check();
    await this.#blobs.setPinned(digest, pinned);
  }

  /** Whether `setPinned` holds the blob. */
  async isPinned(digest: Digest): Promise<boolean> {
    this.#check();
    return this.#blobs.isPinned(digest);
  }

  async metaInfo(digest: Digest): Promise<MetaInfo | undefined> {
    this.#check();
    const found = await this.#blobs.locate(digest);
    if (found === undefined) return undefined;
    const metainfo = await onDisk('read metainfo', sidecars.readMetaInfo(this.#context.cache.blob(digest), digest));
    return metainfo?.length === found.length ? metainfo : undefined;
  }

  /** @throws KrakenError `blob-unknown` when the blob is not here, `metainfo-invalid` when its length is another */
  async setMetaInfo(metainfo: MetaInfo): Promise<void> {
    this.#check();
    const { digest } = metainfo;
    await this.#context.locks.run(digest, async () => {
      const found = await this.#blobs.locateLocked(digest);
      if (found === undefined) throw new KrakenError('blob-unknown', `${digest} is not in the store`);
      if (found.length !== metainfo.length) {
        throw new KrakenError(
          'metainfo-invalid',
          `metainfo says ${metainfo.length} bytes, ${digest} has ${found.length}`,
        );
      }
      const directory = this.#context.cache.blob(digest);
      // A status sidecar of other pieces would contradict the new metainfo; a committed blob needs none.
      await onDisk(
        'write metainfo',
        sidecars.removeStatus(directory).then(() => sidecars.writeMetaInfo(directory, metainfo)),
      );
    });
  }

  /** The checked layer under the root of a committed blob's metainfo; `undefined` when there is none. */
  async pieceLayer(digest: Digest): Promise<Uint8Array | undefined> {
    const metainfo = await this.metaInfo(digest);
    if (metainfo === undefined) return undefined;
    const directory = this.#context.cache.blob(digest);
    return onDisk('read piece layer', this.#context.layers.read(metainfo, directory));
  }

  /** With the root of the piece layer, where one is defined, and the layer as a sidecar. Concurrent calls share the work. @throws KrakenError `blob-unknown`, `metainfo-invalid` for a piece length that cannot be */
  async generateMetaInfo(digest: Digest, pieceLength: number): Promise<MetaInfo> {
    this.#check();
    const key = `${digest} ${pieceLength}`;
    let generation = this.#generating.get(key);
    if (generation === undefined) {
      generation = this.#generate(digest, pieceLength).finally(() => this.#generating.delete(key));
      this.#generating.set(key, generation);
    }
    return generation;
  }

  // PieceStore

  async lookup(digest: Digest): Promise<TorrentFile | undefined> {
    this.#check();
    return this.#torrents.lookup(digest);
  }

  async create(metainfo: MetaInfo): Promise<TorrentFile> {
    this.#check();
    return this.#torrents.create(metainfo);
  }

  async remove(digest: Digest): Promise<boolean> {
    this.#check();
    return this.#torrents.remove(digest);
  }

  async #generate(digest: Digest, pieceLength: number): Promise<MetaInfo> {
    const found = await this.#blobs.locate(digest);
    if (found === undefined) throw new KrakenError('blob-unknown', `${digest} is not in the store`);
    if (!Number.isSafeInteger(pieceLength) || pieceLength <= 0)
      throw new KrakenError('metainfo-invalid', 'piece length must be positive');
    const { cache, hash, layers } = this.#context;
    const { length } = found;
    const path = cache.data(digest);
    if (!this.#pieceLayer || !canHaveRoot(length, pieceLength)) {
      const pieceSums = await hash.pieces.sums(path, length, pieceLength);
      const metainfo = createMetaInfo({ digest, length, pieceLength, pieceSums });
      await this.setMetaInfo(metainfo);
      return metainfo;
    }
    const { sums, layer } = await hash.pieces.describe(path, length, pieceLength);
    const piecesRoot = await hash.pieces.root(layer, length, pieceLength);
    const metainfo = createMetaInfo({ digest, length, pieceLength, pieceSums: sums, piecesRoot });
    // First: a root without its layer would be made anew by whoever looks for the layer.
    await onDisk('write piece layer', sidecars.writeLayer(cache.blob(digest), layer));
    await this.setMetaInfo(metainfo);
    layers.remember(metainfo, layer);
    return metainfo;
  }

  /** What nobody used for a while goes. */
  #rest(): void {
    this.#context.files.closeRested();
    this.#context.buffers.trim();
  }

  #check(): void {
    if (this.#closed !== undefined) throw this.#closed;
  }
}

/** Make the directories and prove by a rename that blobs can be moved from each of `others` into `cache`. */
async function checkDirectories(cache: string, others: readonly (string | undefined)[]): Promise<void> {
  await onDisk('open cache directory', makeDirectory(cache, true));
  for (const other of others) {
    if (other === undefined) continue;
    const directory = resolve(other);
    await onDisk('open store directory', makeDirectory(directory, true));
    if (
      (await onDisk('open store directory', realpath(directory))) ===
      (await onDisk('open cache directory', realpath(cache)))
    ) {
      throw new KrakenError(
        'config-invalid',
        `${directory} is the cache directory; unfinished files would count as blobs`,
      );
    }
    const name = `.probe-${randomUUID()}`;
    await onDisk('write to store directory', writeFile(join(directory, name), ''));
    try {
      // Device numbers do not tell everything: two bind mounts of one device refuse renames between them.
      await rename(join(directory, name), join(cache, name));
    } catch (error) {
      await unlinkIfThere(join(directory, name));
      if (errnoOf(error) !== 'EXDEV') throw error;
      const devices = `devices ${(await stat(directory)).dev} and ${(await stat(cache)).dev}`;
      throw new KrakenError(
        'config-invalid',
        `${directory} and ${cache} must be on one file system, because a blob is published by rename (${devices})`,
        { cause: error },
      );
    }
    await unlinkIfThere(join(cache, name));
  }
}
