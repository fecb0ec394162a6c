/**
 * One upload: a file that grows by writes at any position and ends as a blob. Owns its directory, what has been
 * written, its writers and the SHA-256 that follows the contiguous prefix, so that the commit is not a second pass.
 */
import { fsync } from 'node:fs';
import { promisify } from 'node:util';
import { join } from 'node:path';
import { DATA_FILE, digestHex, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { ByteExtents } from './byte-extents.js';
import { onDisk } from './disk-error.js';
import type { PooledFile } from './file-pool.js';
import type { HashFollower } from './blob-hasher.js';
import { Interrupt } from './interrupt.js';
import type { StoreContext } from './store-context.js';
import { UploadWriter } from './upload-writer.js';

/** Ranges with gaps between them that one session may have. */
const EXTENTS_MAX = 4096;
const sync = promisify(fsync);

export class UploadSession {
  readonly id: string;
  readonly directory: string;
  readonly #context: StoreContext;
  readonly #file: PooledFile;
  readonly #extents = new ByteExtents();
  #interrupt = new Interrupt();
  #follower: HashFollower | undefined;
  /** Bytes that the hash may have read were written again: only a pass at the end counts. */
  #rewritten = false;
  /** Writes that the kernel is at. */
  #writing = 0;
  #onQuiet: (() => void) | undefined;
  #usedAtMs: number;

  constructor(context: StoreContext, id: string, directory: string) {
    this.#context = context;
    this.id = id;
    this.directory = directory;
    this.#file = context.files.file(join(directory, DATA_FILE), 'r+');
    this.#usedAtMs = context.now();
  }

  get dataPath(): string {
    return this.#file.path;
  }

  /** Bytes written from 0 without a gap. */
  get size(): number {
    return this.#extents.contiguous;
  }

  /** When something was last written, or asked, here. */
  get usedAtMs(): number {
    return this.#usedAtMs;
  }

  touch(): void {
    this.#usedAtMs = this.#context.now();
  }

  /** @throws KrakenError `upload-unknown` once the session is over; see UploadWriter */
  async write(position: number, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<number> {
    if (!Number.isSafeInteger(position) || position < 0)
      throw new KrakenError('range-invalid', `position expected integer ≥ 0, got ${position}`);
    const interrupt = this.#interrupt;
    interrupt.check();
    const fd = await onDisk('open upload', this.#file.acquire());
    const target = {
      fd,
      check: () => interrupt.check(),
      writing: (start: number) => this.#beginWrite(start),
      written: (start: number, end: number) => this.#extents.add(start, end),
      settled: () => this.#endWrite(),
    };
    try {
      return await new UploadWriter(target, position, maxBytes, this.#context.buffers, interrupt).run(source);
    } finally {
      this.#file.release();
    }
  }

  /** No write changes the file any more; writers under way fail with `reason` at their next chunk. */
  async stop(reason: Error): Promise<void> {
    this.#interrupt.raise(reason);
    if (this.#writing === 0) return;
    await new Promise<void>((resolve) => {
      this.#onQuiet = resolve;
    });
  }

  /** Writes are welcome again: a commit failed for want of space. */
  reopen(): void {
    this.#interrupt = new Interrupt();
  }

  /**
   * Compare with `digest` and put the data on disk. Call after {@link stop}.
   * @returns bytes
   * @throws KrakenError `digest-mismatch`, `size-invalid` when bytes are missing in between, `disk-full`, `io-error`
   */
  async seal(digest: Digest): Promise<number> {
    const length = this.#extents.end;
    if (this.#extents.contiguous !== length) {
      throw new KrakenError(
        'size-invalid',
        `bytes from ${this.#extents.contiguous} on were never uploaded, though later ones were`,
      );
    }
    const follower = this.#follower ?? this.#context.hash.blobs.follow(this.dataPath);
    this.#follower = undefined;
    const hex = await follower.finish(length);
    if (hex !== digestHex(digest))
      throw new KrakenError('digest-mismatch', `the upload hashes to sha256:${hex}, not to ${digest}`);
    const fd = await onDisk('open upload', this.#file.acquire());
    try {
      await sync(fd);
    } catch (error) {
      // The kernel may have dropped what it could not write: the session must not be committed a second time.
      throw new KrakenError('io-error', 'flushing the upload failed', { cause: error });
    } finally {
      this.#file.release();
    }
    return length;
  }

  /** The descriptor and the hash are given up. */
  close(): void {
    this.#follower?.cancel();
    this.#file.detach();
  }

  #beginWrite(start: number): void {
    if (this.#extents.count >= EXTENTS_MAX)
      throw new KrakenError('queue-full', `an upload may have ${EXTENTS_MAX} gaps`);
    this.#writing++;
    if (this.#follower === undefined || start >= this.#follower.sentEnd) return;
    this.#rewritten = true;
    this.#follower.cancel();
    this.#follower = undefined;
  }

  #endWrite(): void {
    this.#writing--;
    this.touch();
    // While another write is under way, bytes that are "written" may be changing: only quiet moments are hashed from.
    if (this.#writing > 0) return;
    this.#onQuiet?.();
    if (this.#rewritten || this.#interrupt.reason !== undefined) return;
    const end = this.#extents.contiguous;
    this.#follower ??= this.#context.hash.blobs.followGrown(this.dataPath, end);
    this.#follower?.advance(end);
  }
}
