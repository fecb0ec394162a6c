/**
 * The open torrents of a store, one object per digest, and how they come to be: from the cache, from what an earlier
 * run left in the download directory, or from new metainfo. Owns the table.
 *
 * Nothing that an earlier run claims is believed: a piece counts only when its hash in the piece layer matches, or its CRC-32
 * when the metainfo has no root. Source: spec
 * p2p.md §6.4–6.6 and weaknesses 5, 39, 40.
 */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Bitfield, HASH_BYTES, pieceCount, SIDECAR, type Digest, type MetaInfo } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { CommittedBlobs } from './committed-blobs.js';
import { isMissing, onDisk } from './disk-error.js';
import { makeDirectory, removeDirectory } from './durable.js';
import type { StateDirectory } from './layout.js';
import { derivedLayer } from './piece-layers.js';
import { PieceProof } from './piece-proof.js';
import type { PieceStore } from './piece-store.js';
import * as sidecars from './sidecars.js';
import type { StoreContext } from './store-context.js';
import { DiskTorrent } from './torrent-file.js';

/** Released partial torrents whose pieces are remembered. Guess: more than a node has in use at a time between two pulls. */
const REMEMBERED_MAX = 256;

export class TorrentTable implements PieceStore {
  readonly #context: StoreContext;
  readonly #blobs: CommittedBlobs;
  readonly #makeRoom: (bytes: number) => Promise<void>;
  readonly #open = new Map<Digest, DiskTorrent>();
  /** Pieces of partial torrents that this process has released: it verified them itself and need not read them again. */
  readonly #verified = new Map<Digest, { readonly metainfo: MetaInfo; readonly have: Bitfield }>();

  /** @param makeRoom resolves when that many bytes are free; throws `disk-full` */
  constructor(context: StoreContext, blobs: CommittedBlobs, makeRoom: (bytes: number) => Promise<void>) {
    this.#context = context;
    this.#blobs = blobs;
    this.#makeRoom = makeRoom;
  }

  /** True while somebody holds the torrent. */
  isOpen(digest: Digest): boolean {
    return this.#held(digest) !== undefined;
  }

  async lookup(digest: Digest): Promise<DiskTorrent | undefined> {
    const torrent = await this.#context.locks.run(digest, async () =>
      (this.#held(digest) ?? (await this.#find(digest)))?.hold(),
    );
    return torrent === undefined || (await this.#finish(torrent)) ? torrent : undefined;
  }

  async create(metainfo: MetaInfo): Promise<DiskTorrent> {
    const { digest } = metainfo;
    for (let attempt = 0; ; attempt++) {
      const fresh = attempt > 0;
      const torrent = await this.#context.locks.run(digest, async () => (await this.#findOrMake(metainfo)).hold());
      if (await this.#finish(torrent)) return torrent;
      // What lay on disk was complete and bad; it is deleted now. New files can only be bad when empty content has another digest.
      if (fresh || metainfo.length === 0)
        throw new KrakenError('digest-mismatch', `content of ${metainfo.length} bytes is not ${digest}`);
    }
  }

  remove(digest: Digest): Promise<boolean> {
    return this.#context.locks.run(digest, () => this.removeLocked(digest));
  }

  /** Delete committed and partial data; open torrents fail their waiting readers with `removed`. @throws KrakenError `blob-pinned` */
  async removeLocked(digest: Digest): Promise<boolean> {
    const { download } = this.#context;
    const partial = download?.blob(digest);
    if (partial !== undefined && (await onDisk('read pin', sidecars.readPinned(partial)))) {
      throw new KrakenError('blob-pinned', `${digest} is pinned`);
    }
    const removed = await this.#blobs.removeLocked(digest);
    this.#abandon(digest, new KrakenError('removed', `${digest} was removed`));
    this.#context.access.forget(digest);
    return (partial !== undefined && (await onDisk('delete download', removeDirectory(partial)))) || removed;
  }

  /** Fail all waiting readers; the store is closing. */
  close(error: Error): void {
    for (const torrent of this.#open.values()) torrent.abandon(error);
    this.#open.clear();
  }

  #held(digest: Digest): DiskTorrent | undefined {
    const torrent = this.#open.get(digest);
    // A torrent whose commit found bad content has deleted its files and is of no more use.
    return torrent?.isGone === true ? undefined : torrent;
  }

  #abandon(digest: Digest, error: Error): void {
    this.#open.get(digest)?.abandon(error);
    this.#open.delete(digest);
    this.#verified.delete(digest);
  }

  /** Complete pieces are committed before anybody sees the torrent. @returns false, with the hold given back, when they were bad */
  async #finish(torrent: DiskTorrent): Promise<boolean> {
    if (torrent.committed || !torrent.have.isComplete) return true;
    try {
      await torrent.commit();
      return true;
    } catch (error) {
      torrent.release();
      if (isKrakenError(error, 'digest-mismatch') || isKrakenError(error, 'root-mismatch')) return false;
      throw error;
    }
  }

  async #find(digest: Digest): Promise<DiskTorrent | undefined> {
    const committed = await this.#blobs.locateLocked(digest);
    if (committed === undefined) return this.#resume(digest, undefined);
    const metainfo = await onDisk('read metainfo', sidecars.readMetaInfo(this.#context.cache.blob(digest), digest));
    return metainfo?.length === committed.length ? this.#openCommitted(metainfo) : undefined;
  }

  async #findOrMake(metainfo: MetaInfo): Promise<DiskTorrent> {
    const { digest } = metainfo;
    const held = this.#held(digest);
    if (held !== undefined) {
      if (held.committed || agreed(held.metainfo, metainfo) !== undefined) return held;
      this.#abandon(digest, new KrakenError('removed', `the download of ${digest} starts over with other metainfo`));
    }
    const committed = await this.#blobs.locateLocked(digest);
    if (committed !== undefined) return this.#describeCommitted(committed.length, metainfo);
    return (await this.#resume(digest, metainfo)) ?? this.#make(metainfo);
  }

  /** A committed blob keeps the metainfo it has; new metainfo must fit the content. */
  async #describeCommitted(length: number, metainfo: MetaInfo): Promise<DiskTorrent> {
    const { cache, hash } = this.#context;
    const directory = cache.blob(metainfo.digest);
    const stored = await onDisk('read metainfo', sidecars.readMetaInfo(directory, metainfo.digest));
    if (stored?.length === length) return this.#openCommitted(stored);
    const sums =
      metainfo.length === length
        ? await hash.pieces.sums(cache.data(metainfo.digest), length, metainfo.pieceLength)
        : undefined;
    if (sums?.every((sum, piece) => sum === metainfo.pieceSums[piece]) !== true) {
      throw new KrakenError(
        'metainfo-invalid',
        `metainfo does not describe the ${length} bytes of ${metainfo.digest} in the cache`,
      );
    }
    await onDisk('write metainfo', sidecars.writeMetaInfo(directory, metainfo));
    return this.#openCommitted(metainfo);
  }

  #openCommitted(metainfo: MetaInfo): DiskTorrent {
    return this.#register(
      new DiskTorrent(
        this.#context,
        this.#blobs,
        metainfo,
        Bitfield.full(pieceCount(metainfo)),
        undefined,
        this.#onIdle,
      ),
    );
  }

  /** Take up what is in the download directory. `undefined` when it is not usable, or not of `wanted`. */
  async #resume(digest: Digest, wanted: MetaInfo | undefined): Promise<DiskTorrent | undefined> {
    const { download } = this.#context;
    if (download === undefined) return undefined;
    const directory = download.blob(digest);
    return onDisk(
      'resume download',
      (async (): Promise<DiskTorrent | undefined> => {
        const length = await lengthIfThere(download.data(digest));
        const stored = length === undefined ? undefined : await sidecars.readMetaInfo(directory, digest);
        if (stored === undefined || stored.length !== length) return undefined;
        const metainfo = wanted === undefined ? stored : agreed(stored, wanted);
        if (metainfo === undefined) return undefined;
        if (metainfo.piecesRoot !== stored.piecesRoot) await sidecars.writeMetaInfo(directory, metainfo);
        const layer = await this.#context.layers.read(metainfo, directory);
        const known = this.#takeVerified(metainfo);
        const status = known === undefined ? await sidecars.readStatus(directory) : undefined;
        const have = known ?? (await this.#recheck(download.data(digest), metainfo, layer, status));
        await sidecars.writeStatus(directory, have);
        return this.#openPartial(download, metainfo, have, layer);
      })(),
    );
  }

  /** What this process knows of the pieces; it is known once, then the torrent knows it. */
  #takeVerified(metainfo: MetaInfo): Bitfield | undefined {
    const known = this.#verified.get(metainfo.digest);
    this.#verified.delete(metainfo.digest);
    if (known?.metainfo.infoHash !== metainfo.infoHash) return undefined;
    return known.metainfo.piecesRoot === metainfo.piecesRoot ? known.have : undefined;
  }

  /** The claimed pieces that can be shown to be right: by the layer when there is a root, and not at all without the layer. */
  async #recheck(
    path: string,
    metainfo: MetaInfo,
    layer: Uint8Array | undefined,
    status: Uint8Array | undefined,
  ): Promise<Bitfield> {
    const count = pieceCount(metainfo);
    const have = new Bitfield(count);
    if (status?.length !== count || !status.includes(1)) return have;
    if (metainfo.piecesRoot !== undefined && layer === undefined) return have;
    const claimed = Uint8Array.from(status);
    let matches: (piece: number) => boolean;
    try {
      matches = await this.#compare(path, metainfo, layer, claimed);
    } catch (error) {
      if (!isKrakenError(error, 'content-truncated')) throw error;
      return have;
    }
    let lost = 0;
    for (let piece = 0; piece < count; piece++) {
      if (claimed[piece] !== 1) continue;
      if (matches(piece)) have.set(piece);
      else lost++;
    }
    if (lost > 0) {
      this.#context.metrics.count('store_pieces_lost', lost);
      this.#context.logger.warn(
        { digest: metainfo.digest, lost, kept: have.count },
        'pieces of an earlier run do not match; they are fetched again',
      );
    }
    return have;
  }

  /** Read the claimed pieces. @returns which of them match @throws KrakenError `content-truncated` */
  async #compare(
    path: string,
    { length, pieceLength, pieceSums }: MetaInfo,
    layer: Uint8Array | undefined,
    claimed: Uint8Array,
  ): Promise<(piece: number) => boolean> {
    if (layer === undefined) {
      const sums = await this.#context.hash.pieces.sums(path, length, pieceLength, claimed);
      return (piece) => sums[piece] === pieceSums[piece];
    }
    const found = await this.#context.hash.pieces.describe(path, length, pieceLength, claimed);
    return (piece) => {
      const at = HASH_BYTES * piece;
      return Buffer.compare(found.layer.subarray(at, at + HASH_BYTES), layer.subarray(at, at + HASH_BYTES)) === 0;
    };
  }

  async #make(metainfo: MetaInfo): Promise<DiskTorrent> {
    const { download, access, now } = this.#context;
    if (download === undefined) throw new KrakenError('unsupported', 'this store has no download directory');
    await this.#makeRoom(metainfo.length);
    const { digest } = metainfo;
    const directory = download.blob(digest);
    const have = new Bitfield(pieceCount(metainfo));
    this.#verified.delete(digest);
    return onDisk(
      'create download',
      (async (): Promise<DiskTorrent> => {
        await removeDirectory(directory);
        try {
          await makeDirectory(directory, false);
          await createSparse(download.data(digest), metainfo.length);
          await sidecars.writeLastAccess(directory, now());
          await sidecars.writeStatus(directory, have);
          // Last: without metainfo nothing is resumed.
          await sidecars.writeMetaInfo(directory, metainfo);
        } catch (error) {
          // The disk is full or failing; what cannot be removed now is swept later, and the first error counts.
          await removeDirectory(directory).catch(() => false);
          throw error;
        }
        access.remember(digest, now());
        return this.#openPartial(download, metainfo, have, derivedLayer(metainfo));
      })(),
    );
  }

  #openPartial(
    directory: StateDirectory,
    metainfo: MetaInfo,
    have: Bitfield,
    layer: Uint8Array | undefined,
  ): DiskTorrent {
    const { files, layers } = this.#context;
    const data = files.file(directory.data(metainfo.digest), 'r+');
    const status = files.file(join(directory.blob(metainfo.digest), SIDECAR.status), 'r+');
    const proof = new PieceProof(layers, metainfo, data, directory.blob(metainfo.digest), layer);
    return this.#register(
      new DiskTorrent(this.#context, this.#blobs, metainfo, have, { directory, data, status, proof }, this.#onIdle),
    );
  }

  #register(torrent: DiskTorrent): DiskTorrent {
    this.#open.set(torrent.metainfo.digest, torrent);
    return torrent;
  }

  readonly #onIdle = (torrent: DiskTorrent): void => {
    const { metainfo } = torrent;
    const { digest } = metainfo;
    if (this.#open.get(digest) !== torrent) return;
    this.#open.delete(digest);
    if (torrent.committed || torrent.isGone) return;
    this.#verified.set(digest, { metainfo, have: torrent.have });
    const [oldest] = this.#verified.keys();
    if (this.#verified.size > REMEMBERED_MAX && oldest !== undefined) this.#verified.delete(oldest);
  };
}

/** A file of `length` zero bytes that takes no space yet. */
async function createSparse(path: string, length: number): Promise<void> {
  const handle = await open(path, 'w', 0o666);
  try {
    await handle.truncate(length);
  } finally {
    await handle.close();
  }
}

async function lengthIfThere(path: string): Promise<number | undefined> {
  try {
    const stats = await stat(path);
    return stats.isFile() ? stats.size : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * The metainfo that two descriptions of one blob agree on: a root that one of them knows counts. `undefined` when they are of
 * different pieces or name different roots.
 */
function agreed(known: MetaInfo, other: MetaInfo): MetaInfo | undefined {
  if (known.infoHash !== other.infoHash) return undefined;
  if (known.piecesRoot === undefined) return other;
  return other.piecesRoot === undefined || other.piecesRoot === known.piecesRoot ? known : undefined;
}
