/**
 * Blobs in the cache directory: finding, opening, pinning, publishing and removing them. Owns the table of their
 * open files and the knowledge which ones have been looked at.
 *
 * A cache written by Go Kraken may hold unfinished files: a torn `_status` promotes them (spec p2p.md §6.6). So a
 * blob whose status sidecar is not "every piece complete" is hashed once before it counts as present.
 *
 * Methods named `…Locked` expect the caller to hold the blob's lock.
 */
import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  Bitfield,
  DATA_FILE,
  decodePieceStatus,
  digestHex,
  pieceCount,
  type Digest,
  type MetaInfo,
} from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { isMissing, onDisk } from './disk-error.js';
import { makeDirectory, removeDirectory, syncDirectory } from './durable.js';
import type { PooledFile } from './file-pool.js';
import * as sidecars from './sidecars.js';
import type { StoreContext } from './store-context.js';

/** Blobs remembered as sound; a forgotten one costs a look at its sidecars. */
const SOUND_MAX = 50_000;

export interface CommittedBlob {
  /** Bytes. */
  readonly length: number;
  readonly committedAtMs: number;
}

export class CommittedBlobs {
  readonly #context: StoreContext;
  readonly #onGrown: (bytes: number) => void;
  readonly #files = new Map<Digest, PooledFile>();
  readonly #sound = new Set<Digest>();

  /** @param onGrown told of the bytes of each published blob */
  constructor(context: StoreContext, onGrown: (bytes: number) => void) {
    this.#context = context;
    this.#onGrown = onGrown;
  }

  /** The blob, if its data is in the cache. @throws KrakenError `io-error` */
  async locate(digest: Digest): Promise<CommittedBlob | undefined> {
    const found = await this.#stat(digest);
    if (found === undefined || this.#sound.has(digest)) return found;
    return this.#context.locks.run(digest, () => this.locateLocked(digest));
  }

  async locateLocked(digest: Digest): Promise<CommittedBlob | undefined> {
    const found = await this.#stat(digest);
    if (found === undefined || this.#sound.has(digest)) return found;
    if (!(await onDisk('check cached blob', this.#isSound(digest, found.length)))) return undefined;
    this.#markSound(digest);
    return found;
  }

  /** The open file of a committed blob, shared by all its readers. */
  file(digest: Digest): PooledFile {
    let file = this.#files.get(digest);
    if (file === undefined) {
      file = this.#context.files.file(this.#context.cache.data(digest), 'r');
      this.#remember(digest, file);
    }
    return file;
  }

  /** `file` was opened in the download directory and has been published: go on using its descriptor. */
  adopt(digest: Digest, file: PooledFile): void {
    file.moved(this.#context.cache.data(digest));
    this.#files.get(digest)?.detach();
    this.#remember(digest, file);
  }

  touch(digest: Digest): void {
    this.#context.access.touch(digest, this.#context.cache.blob(digest));
  }

  /**
   * Move verified data into the cache; durable on return. An existing file is replaced.
   * @param dataPath fsynced, on the same file system
   * @param length its bytes
   * @param described written beside it, if known: the metainfo, and the checked layer under its root
   * @throws KrakenError `disk-full`, `io-error`
   */
  async publishLocked(
    digest: Digest,
    dataPath: string,
    length: number,
    described: { readonly metainfo: MetaInfo; readonly layer: Uint8Array | undefined } | undefined,
    pinned: boolean,
  ): Promise<void> {
    const { cache, now } = this.#context;
    const directory = cache.blob(digest);
    await onDisk(
      'publish blob',
      (async (): Promise<void> => {
        await makeDirectory(directory, true);
        if (described === undefined) {
          // What a crash left of an earlier life of this blob must not describe the new file.
          await sidecars.removeMetaInfo(directory);
          await sidecars.removeStatus(directory);
          await sidecars.removeLayer(directory);
        } else {
          const { metainfo, layer } = described;
          if (layer !== undefined) await sidecars.writeLayer(directory, layer);
          await sidecars.writeMetaInfo(directory, metainfo);
          await sidecars.writeStatus(directory, Bitfield.full(pieceCount(metainfo)));
        }
        await sidecars.writeLastAccess(directory, now());
        if (pinned) await sidecars.writePinned(directory, true);
        await rename(dataPath, join(directory, DATA_FILE));
        await syncDirectory(directory);
      })(),
    );
    this.#context.access.remember(digest, now());
    this.#markSound(digest);
    this.#onGrown(length);
  }

  /** @throws KrakenError `blob-pinned` */
  async removeLocked(digest: Digest): Promise<boolean> {
    const directory = this.#context.cache.blob(digest);
    if (await onDisk('read pin', sidecars.readPinned(directory))) {
      throw new KrakenError('blob-pinned', `${digest} is pinned`);
    }
    return this.#discardLocked(digest);
  }

  /** @throws KrakenError `blob-unknown` when there is no such blob to pin */
  async setPinned(digest: Digest, pinned: boolean): Promise<void> {
    await this.#context.locks.run(digest, async () => {
      if ((await this.#stat(digest)) === undefined) {
        if (!pinned) return;
        throw new KrakenError('blob-unknown', `${digest} is not in the store`);
      }
      await onDisk('pin blob', sidecars.writePinned(this.#context.cache.blob(digest), pinned));
    });
  }

  isPinned(digest: Digest): Promise<boolean> {
    return onDisk('read pin', sidecars.readPinned(this.#context.cache.blob(digest)));
  }

  async #discardLocked(digest: Digest): Promise<boolean> {
    this.#files.get(digest)?.detach();
    this.#files.delete(digest);
    this.#sound.delete(digest);
    this.#context.access.forget(digest);
    this.#context.layers.forget(digest);
    return onDisk('delete blob', removeDirectory(this.#context.cache.blob(digest)));
  }

  async #stat(digest: Digest): Promise<CommittedBlob | undefined> {
    try {
      const stats = await stat(this.#context.cache.data(digest));
      if (!stats.isFile()) throw new KrakenError('io-error', `the data of ${digest} is not a regular file`);
      return { length: stats.size, committedAtMs: stats.mtimeMs };
    } catch (error) {
      if (isMissing(error)) return undefined;
      return onDisk('stat blob', Promise.reject(error as Error));
    }
  }

  /** False when the file does not hash to its name; it is deleted then, pinned or not: the pin meant another content. */
  async #isSound(digest: Digest, length: number): Promise<boolean> {
    const { cache, hash, logger, metrics } = this.#context;
    const directory = cache.blob(digest);
    const status = await sidecars.readStatus(directory);
    if (status === undefined) return true;
    const metainfo = await sidecars.readMetaInfo(directory, digest);
    const fits =
      metainfo === undefined
        ? length === 0 || status.length > 0
        : status.length === pieceCount(metainfo) && metainfo.length === length;
    if (fits && decodePieceStatus(status).isComplete) return true;

    logger.warn({ digest }, 'cached blob claims missing pieces; hashing it');
    const hex = await hash.blobs.follow(cache.data(digest)).finish(length);
    if (hex !== digestHex(digest)) {
      metrics.count('store_corrupt_blobs');
      logger.error({ digest, got: hex }, 'cached blob does not match its digest; deleted');
      await this.#discardLocked(digest);
      return false;
    }
    if (metainfo?.length === length) await sidecars.writeStatus(directory, Bitfield.full(pieceCount(metainfo)));
    else await sidecars.removeStatus(directory);
    return true;
  }

  #markSound(digest: Digest): void {
    this.#sound.add(digest);
    if (this.#sound.size <= SOUND_MAX) return;
    const [oldest] = this.#sound;
    if (oldest !== undefined) this.#sound.delete(oldest);
  }

  #remember(digest: Digest, file: PooledFile): void {
    this.#files.set(digest, file);
    // Closed files are dropped once they are as many as there can be open ones.
    if (this.#files.size <= 2 * this.#context.files.max) return;
    for (const [key, known] of this.#files) if (known !== file && known.isClosed) this.#files.delete(key);
  }
}
