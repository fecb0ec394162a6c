/** A committed blob that is open for one reader. Owns its hold on the descriptor, so that deletion does not disturb it. */
import { KrakenError } from '@kraken/core/errors';
import type { ByteRange, OpenedBlob } from '@kraken/core/ports';
import { BlobStream, type StreamSource } from './blob-stream.js';
import type { PooledFile } from './file-pool.js';
import type { ReadBuffers } from './read-buffers.js';

export class OpenedFile implements OpenedBlob, StreamSource {
  readonly length: number;
  readonly isSealed = true;
  readonly #file: PooledFile;
  readonly #fd: number;
  readonly #buffers: ReadBuffers;
  readonly #onClosed: (opened: OpenedFile) => void;
  #stream: BlobStream | undefined;
  #closed = false;

  /**
   * @param fd acquired from `file`; released when this is closed
   * @param onClosed called once
   */
  constructor(
    file: PooledFile,
    fd: number,
    length: number,
    buffers: ReadBuffers,
    onClosed: (opened: OpenedFile) => void,
  ) {
    this.#file = file;
    this.#fd = fd;
    this.length = length;
    this.#buffers = buffers;
    this.#onClosed = onClosed;
  }

  stream(range?: ByteRange): AsyncIterable<Uint8Array> {
    if (this.#closed || this.#stream !== undefined)
      throw new KrakenError('internal', 'an opened blob is streamed once, before it is closed');
    this.#stream = new BlobStream(this, range, this.#buffers, undefined, () => this.#finish());
    return this.#stream;
  }

  close(): void {
    if (this.#stream === undefined) this.#finish();
    else this.stop(new KrakenError('cancelled', 'the reader gave up'));
  }

  /** End a running stream with `reason`. */
  stop(reason: Error): void {
    if (this.#stream === undefined) this.#finish();
    else this.#stream.stop(reason);
  }

  // For BlobStream: everything is there.

  acquire(): Promise<number> {
    return Promise.resolve(this.#fd);
  }

  release(): void {
    // The hold belongs to this object and ends in `#finish`.
  }

  readable(position: number, max: number): number {
    return Math.min(max, this.length - position);
  }

  whenReadable(): Promise<void> {
    return Promise.resolve();
  }

  whenSealed(): Promise<void> {
    return Promise.resolve();
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#file.release();
    this.#onClosed(this);
  }
}
