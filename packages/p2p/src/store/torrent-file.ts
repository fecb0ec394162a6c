/**
 * One blob that grows piece by piece: its data and status files in the download directory, its verified pieces,
 * the readers that wait for them, and the commit into the cache. Also a committed blob with metainfo, which is the
 * same object with everything done. Source: spec p2p.md §6.
 *
 * Owns `have` and all waits of its readers. Never trusts bytes that were not marked verified, never holds content
 * in memory, and does no work per piece that grows with the blob. One writer per piece at a time is the caller's duty;
 * bytes for a piece that is verified already are dropped, so that a late duplicate cannot spoil it.
 */
import { fstat, fsync } from 'node:fs';
import { promisify } from 'node:util';
import { digestHex, encodePieceStatus, type Bitfield, type MetaInfo } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { ByteRange, CancelSignal } from '@kraken/core/ports';
import { BlobStream } from './blob-stream.js';
import type { CommittedBlobs } from './committed-blobs.js';
import { readFully, withDescriptor, writeFully } from './descriptor-io.js';
import { diskError, onDisk } from './disk-error.js';
import { removeDirectory } from './durable.js';
import type { PooledFile } from './file-pool.js';
import type { HashFollower } from './blob-hasher.js';
import type { StateDirectory } from './layout.js';
import type { PassingPiece, PieceProof } from './piece-proof.js';
import type { TorrentFile } from './piece-store.js';
import * as sidecars from './sidecars.js';
import type { StoreContext } from './store-context.js';
import { TorrentSource, type StreamedTorrent, type Waiter } from './torrent-stream.js';

const COMPLETE = Uint8Array.of(1);
const sync = promisify(fsync);
const stat = promisify(fstat);

/** Files of a partial torrent. */
export interface PartialFiles {
  readonly directory: StateDirectory;
  readonly data: PooledFile;
  readonly status: PooledFile;
  readonly proof: PieceProof;
}

/** Made by `TorrentTable`. */
export class DiskTorrent implements TorrentFile, StreamedTorrent {
  readonly metainfo: MetaInfo;
  readonly have: Bitfield;
  readonly length: number;
  readonly pieceLength: number;
  readonly #context: StoreContext;
  readonly #blobs: CommittedBlobs;
  readonly #partial: PartialFiles | undefined;
  readonly #onIdle: (torrent: DiskTorrent) => void;
  #data: PooledFile;
  #committed: boolean;
  #holders = 0;
  #closed = false;
  /** Set when the files are gone; nothing works any more but streams that hold the descriptor. */
  #gone: Error | undefined;
  #commit: Promise<void> | undefined;
  #follower: HashFollower | undefined;
  /** Pieces before this one are all verified. */
  #prefix = 0;
  #failures = 0;
  #lastFailure: Error | undefined;
  readonly #pieceWaiters = new Map<number, Set<Waiter>>();
  readonly #commitWaiters = new Set<Waiter>();
  #statusFailed = false;

  /**
   * @param have becomes the torrent's own
   * @param partial absent for a committed blob
   * @param onIdle called when the last holder is gone
   */
  constructor(
    context: StoreContext,
    blobs: CommittedBlobs,
    metainfo: MetaInfo,
    have: Bitfield,
    partial: PartialFiles | undefined,
    onIdle: (torrent: DiskTorrent) => void,
  ) {
    this.#context = context;
    this.#blobs = blobs;
    this.metainfo = metainfo;
    this.length = metainfo.length;
    this.pieceLength = metainfo.pieceLength;
    this.have = have;
    this.#partial = partial;
    this.#committed = partial === undefined;
    this.#data = partial?.data ?? blobs.file(metainfo.digest);
    this.#onIdle = onIdle;
    if (partial !== undefined) this.#advance();
  }

  /** Each verified piece is proven to belong to the blob. */
  get proven(): boolean {
    return this.metainfo.piecesRoot !== undefined;
  }

  get committed(): boolean {
    return this.#committed;
  }

  get proof(): PieceProof | undefined {
    return this.#committed ? undefined : this.#partial?.proof;
  }

  follow(piece: number): PassingPiece | undefined {
    const { proof } = this;
    if (piece === 0 && proof?.layer !== undefined) this.#follower ??= this.#context.hash.followPassing(this.#data.path);
    return proof?.follow(piece, this.#follower);
  }

  layer(): Promise<Uint8Array | undefined> {
    const { cache, layers } = this.#context;
    const partial = this.#committed ? undefined : this.#partial;
    if (partial?.proof.layer !== undefined) return Promise.resolve(partial.proof.layer);
    const directory = (partial?.directory ?? cache).blob(this.metainfo.digest);
    return onDisk('read piece layer', layers.read(this.metainfo, directory));
  }

  /** The files are gone: a new torrent of this digest is another object. */
  get isGone(): boolean {
    return this.#gone !== undefined;
  }

  get failures(): number {
    return this.#failures;
  }

  /** One more holder; `release` is owed. */
  hold(): this {
    if (this.#closed) throw releasedError();
    this.#holders++;
    return this;
  }

  release(): void {
    this.#holders--;
    if (this.#holders > 0 || this.#closed) return;
    this.#closed = true;
    this.#follower?.cancel();
    this.#partial?.status.detach();
    // A committed file stays with the pool: its descriptor is closed when others need one.
    if (!this.#committed) this.#data.detach();
    this.#onIdle(this);
  }

  has(piece: number): boolean {
    return this.have.has(piece);
  }

  write(buffer: Uint8Array, length: number, position: number, done: (error?: Error) => void): void {
    const refusal = this.#refuseWrite(length, position);
    if (refusal !== undefined || this.have.has(Math.floor(position / this.pieceLength))) {
      queueMicrotask(() => done(refusal));
      return;
    }
    withDescriptor(this.#data, 'write piece data', done, (fd, finish) =>
      writeFully(fd, buffer, length, position, 'write piece data', finish),
    );
  }

  markVerified(piece: number, done: (error?: Error) => void): void {
    const partial = this.#partial;
    const error = this.#unusable() ?? (partial === undefined || this.#committed ? committedError() : undefined);
    if (error !== undefined || partial === undefined || !this.have.set(piece)) {
      queueMicrotask(() => done(error));
      return;
    }
    this.#advance();
    this.#wakePiece(piece);
    this.#context.access.touch(this.metainfo.digest, partial.directory.blob(this.metainfo.digest));
    const statusWritten = (failure?: Error): void => {
      if (failure !== undefined) this.#noteStatusFailure(failure);
      done();
    };
    withDescriptor(partial.status, 'write piece status', statusWritten, (fd, finish) =>
      writeFully(fd, COMPLETE, 1, piece, 'write piece status', finish),
    );
  }

  read(
    buffer: Uint8Array,
    length: number,
    position: number,
    done: (error: Error | null, bytesRead: number) => void,
  ): void {
    let filled = 0;
    const finished = (error?: Error): void => done(error ?? null, filled);
    withDescriptor(this.#data, 'read piece data', finished, (fd, finish) =>
      readFully(fd, buffer, length, position, (error, bytesRead) => {
        filled = bytesRead;
        finish(error ?? undefined);
      }),
    );
    if (this.#committed) this.#blobs.touch(this.metainfo.digest);
  }

  stream(options: {
    range?: ByteRange;
    signal?: CancelSignal;
    onNeed?: (piece: number) => void;
  }): AsyncIterable<Uint8Array> {
    const source = new TorrentSource(this, options.range?.start ?? 0, options.onNeed);
    return new BlobStream(source, options.range, this.#context.buffers, options.signal, () => undefined);
  }

  commit(doubts?: Bitfield): Promise<void> {
    if (this.#committed) return Promise.resolve();
    this.#commit ??= this.#hashAndPublish(doubts).finally(() => {
      // A failed move can be tried again.
      this.#commit = undefined;
    });
    return this.#commit;
  }

  failReaders(error: Error): void {
    this.#failures++;
    this.#lastFailure = error;
    const waiting = [...this.#commitWaiters];
    for (const waiters of this.#pieceWaiters.values()) waiting.push(...waiters);
    this.#commitWaiters.clear();
    this.#pieceWaiters.clear();
    for (const waiter of waiting) waiter.reject(error);
  }

  /** The files are about to be deleted or replaced: fail readers, forget all pieces, use the files no more. */
  abandon(error: Error): void {
    if (this.#gone !== undefined) return;
    this.#gone = error;
    this.#follower?.cancel();
    this.#partial?.status.detach();
    this.#data.detach();
    if (!this.#committed) for (const piece of [...this.have]) this.have.clear(piece);
    this.failReaders(error);
  }

  // For TorrentSource.

  async acquireForReading(): Promise<number> {
    this.hold();
    try {
      const fd = await this.#data.acquire();
      if (this.#committed) this.#blobs.touch(this.metainfo.digest);
      return fd;
    } catch (error) {
      this.release();
      throw this.#gone ?? diskError(error, 'open blob data');
    }
  }

  releaseFromReading(): void {
    this.#data.release();
    this.release();
  }

  failureSince(since: number): Error | undefined {
    return this.#gone ?? (this.#failures > since ? this.#lastFailure : undefined);
  }

  waitForPiece(piece: number, waiter: Waiter): () => void {
    let waiters = this.#pieceWaiters.get(piece);
    if (waiters === undefined) this.#pieceWaiters.set(piece, (waiters = new Set()));
    waiters.add(waiter);
    return () => {
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#pieceWaiters.get(piece) === waiters) this.#pieceWaiters.delete(piece);
    };
  }

  waitForCommit(waiter: Waiter): () => void {
    this.#commitWaiters.add(waiter);
    return () => this.#commitWaiters.delete(waiter);
  }

  #unusable(): Error | undefined {
    return this.#gone ?? (this.#closed ? releasedError() : undefined);
  }

  #refuseWrite(length: number, position: number): Error | undefined {
    const unusable = this.#unusable();
    if (unusable !== undefined) return unusable;
    if (this.#committed) return committedError();
    const end = position + length;
    const pieceEnd = (Math.floor(position / this.pieceLength) + 1) * this.pieceLength;
    if (position >= 0 && length >= 0 && end <= this.length && end <= pieceEnd) return undefined;
    return new KrakenError(
      'internal',
      `write of ${length} bytes at ${position} does not lie within one piece of the blob`,
    );
  }

  /** A status byte only spares work after a restart: the piece is good, and the data write would have failed too. */
  #noteStatusFailure(error: Error): void {
    this.#context.metrics.count('store_status_write_failures');
    if (this.#statusFailed || this.#gone !== undefined) return;
    this.#statusFailed = true;
    this.#context.logger.warn(
      { digest: this.metainfo.digest, error },
      'piece status cannot be written; a restart will fetch these pieces again',
    );
  }

  #wakePiece(piece: number): void {
    const waiters = this.#pieceWaiters.get(piece);
    if (waiters === undefined) return;
    this.#pieceWaiters.delete(piece);
    for (const waiter of waiters) waiter.resolve(undefined);
  }

  /** Move the end of the verified prefix and let the hash follow. Over a blob's life O(pieces). */
  #advance(): void {
    while (this.#prefix < this.have.length && this.have.has(this.#prefix)) this.#prefix++;
    const end = Math.min(this.length, this.#prefix * this.pieceLength);
    this.#follower ??= this.#context.hash.blobs.followGrown(this.#data.path, end);
    this.#follower?.advance(end);
  }

  async #hashAndPublish(doubts: Bitfield | undefined): Promise<void> {
    this.hold();
    try {
      if (this.#gone !== undefined) throw this.#gone;
      if (!this.have.isComplete) {
        throw new KrakenError('internal', `commit with ${this.have.count} of ${this.have.length} pieces`);
      }
      const { digest } = this.metainfo;
      // The disk writes while the hash is finished.
      const flush = this.#flush();
      // Awaited below; when the digest fails first, its error must not count as unhandled.
      flush.catch(() => undefined);
      const hex = await this.#digestHex().catch(truncation);
      await this.#context.locks.run(digest, async () => {
        if (this.#gone !== undefined) throw this.#gone;
        // Where the hash did not read the file, the flush finds the same.
        if (typeof hex !== 'string') await this.#forgetLocked(hex);
        else if (hex !== digestHex(digest)) {
          const code = this.metainfo.piecesRoot === undefined ? 'digest-mismatch' : 'root-mismatch';
          const error = new KrakenError(code, `the pieces of ${digest} hash to sha256:${hex}`);
          if (doubts === undefined) await this.#forgetLocked(error);
          else await this.#doubtLocked(doubts, error);
        }
        const lost = await flush;
        if (lost !== undefined) await this.#forgetLocked(lost);
        await this.#publishLocked();
      });
    } finally {
      this.release();
    }
  }

  async #digestHex(): Promise<string> {
    const followed = this.#follower !== undefined;
    try {
      return await this.#finishHash();
    } catch (error) {
      if (this.#gone !== undefined) throw this.#gone;
      // The thread may have died with the state of a long follow; one pass from the start settles it.
      if (!followed || !isKrakenError(error, 'io-error')) throw error;
      return await this.#finishHash();
    }
  }

  /** The follower stays in its field meanwhile, so that a removal cancels it. */
  async #finishHash(): Promise<string> {
    const follower = (this.#follower ??= this.#context.hash.blobs.follow(this.#data.path));
    try {
      return await follower.finish(this.length);
    } finally {
      this.#follower = undefined;
    }
  }

  async #publishLocked(): Promise<void> {
    const { digest } = this.metainfo;
    const partial = this.#partial;
    if (partial === undefined) return;
    const directory = partial.directory.blob(digest);
    const pinned = await onDisk('read pin', sidecars.readPinned(directory));
    const described = { metainfo: this.metainfo, layer: partial.proof.layer };
    await this.#blobs.publishLocked(digest, partial.data.path, this.length, described, pinned);
    this.#blobs.adopt(digest, this.#data);
    partial.status.detach();
    this.#committed = true;
    this.#context.metrics.count('store_commits');
    for (const waiter of this.#commitWaiters) waiter.resolve(undefined);
    this.#commitWaiters.clear();
    await removeDirectory(directory).catch((error: unknown) => {
      // The blob is published; the sweep removes what is left.
      this.#context.logger.warn({ digest, error }, 'removing the download directory failed');
    });
  }

  /** @returns what went wrong: after a failed fsync the kernel may have dropped dirty pages, and nobody knows what is in the file */
  async #flush(): Promise<KrakenError | undefined> {
    const fd = await onDisk('flush blob data', this.#data.acquire());
    try {
      await sync(fd);
      // Bytes that were hashed as they passed are not read again; that they are there is asked at least.
      const { size } = await stat(fd);
      if (size >= this.length) return undefined;
      return new KrakenError('content-truncated', `blob data has ${size} bytes instead of ${this.length}`);
    } catch (error) {
      return diskError(error, 'flush blob data');
    } finally {
      this.#data.release();
    }
  }

  /** Forget `doubts`, whose bytes stay to be compared with what replaces them, and throw `error`. */
  async #doubtLocked(doubts: Bitfield, error: KrakenError): Promise<never> {
    const partial = this.#partial;
    if (partial === undefined) throw error;
    const { digest } = this.metainfo;
    this.#context.metrics.count('store_commit_failures', 1, { code: error.code });
    for (const piece of doubts) this.have.clear(piece);
    this.#prefix = 0;
    this.failReaders(error);
    try {
      await partial.proof.doubt(doubts);
      const status = encodePieceStatus(this.have);
      await new Promise<void>((resolve, reject) => {
        const done = (failure?: Error): void => (failure === undefined ? resolve() : reject(failure));
        withDescriptor(partial.status, 'write piece status', done, (fd, finish) =>
          writeFully(fd, status, status.length, 0, 'write piece status', finish),
        );
      });
    } catch (failure) {
      // Without the hashes nobody is blamed; a status that says too much is found out by the next commit.
      this.#context.logger.warn({ digest, error: failure }, 'doubted pieces could not be noted');
    }
    throw new KrakenError(error.code, error.message, { detail: { doubted: doubts.count } });
  }

  /** Delete the partial blob and throw `error`. */
  async #forgetLocked(error: KrakenError): Promise<never> {
    const { digest } = this.metainfo;
    this.#context.metrics.count('store_commit_failures', 1, { code: error.code });
    this.abandon(error);
    if (this.#partial !== undefined) {
      await removeDirectory(this.#partial.directory.blob(digest)).catch((failure: unknown) => {
        // The first error is the one to report; without its metainfo nobody resumes what is left.
        this.#context.logger.warn({ digest, error: failure }, 'removing a bad download failed');
      });
    }
    throw error;
  }
}

/** That a file is too short, as a result. */
function truncation(error: unknown): KrakenError {
  if (isKrakenError(error, 'content-truncated')) return error;
  throw error;
}

function releasedError(): KrakenError {
  return new KrakenError('internal', 'a released torrent was used again');
}

function committedError(): KrakenError {
  return new KrakenError('blob-exists', 'the blob is committed and cannot be written');
}
