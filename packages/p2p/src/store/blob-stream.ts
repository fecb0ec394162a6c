/**
 * The read loop of every blob stream: positional reads of up to 1 MiB into recycled buffers, one read ahead of
 * the consumer. Owns its buffers and its hold on the descriptor while it runs; holds no buffer while it waits
 * for bytes that are not there yet.
 *
 * Never yields bytes that its source does not call readable, and never a chunk that ends the blob before the
 * source is sealed. Source: the reading rules of {@link TorrentFile} and {@link OpenedBlob}.
 */
import { KrakenError } from '@kraken/core/errors';
import type { ByteRange, CancelSignal } from '@kraken/core/ports';
import { readFully } from './descriptor-io.js';
import { cancelledBy, Interrupt } from './interrupt.js';
import { LARGE_BYTES, type ReadBuffers } from './read-buffers.js';

/** Where a stream reads from. */
export interface StreamSource {
  /** Bytes of the whole blob. */
  readonly length: number;
  /** The descriptor to read from; `release` is owed. */
  acquire(): Promise<number>;
  release(): void;
  /** How many bytes from `position` are verified, up to `max`; 0 when one has to wait. */
  readable(position: number, max: number): number;
  /** Resolves when `readable(position)` is above 0. @throws when that will not happen */
  whenReadable(position: number, interrupt: Interrupt): Promise<void>;
  /** The end of the blob may be shown. */
  readonly isSealed: boolean;
  /** Resolves when {@link isSealed}. @throws when the blob turned out bad */
  whenSealed(interrupt: Interrupt): Promise<void>;
}

/** A running read. */
interface Chunk {
  readonly buffer: Uint8Array;
  readonly length: number;
}

/** @throws KrakenError `range-invalid` unless `range` lies within `length` bytes */
export function checkRange(range: ByteRange, length: number): void {
  const { start, end } = range;
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start || end > length) {
    throw new KrakenError('range-invalid', `range ${start}–${end} (end exclusive) is not within ${length} bytes`);
  }
}

/** One stream over `source`. The iterator's `return` and {@link stop} interrupt a wait. */
export class BlobStream implements AsyncIterable<Uint8Array> {
  readonly #source: StreamSource;
  readonly #range: ByteRange;
  readonly #buffers: ReadBuffers;
  readonly #signal: CancelSignal | undefined;
  readonly #onOver: () => void;
  readonly #interrupt = new Interrupt();
  #started = false;
  #over = false;

  /**
   * @param onOver called once, when the stream has ended, failed or was given up
   * @throws KrakenError `range-invalid`
   */
  constructor(
    source: StreamSource,
    range: ByteRange | undefined,
    buffers: ReadBuffers,
    signal: CancelSignal | undefined,
    onOver: () => void,
  ) {
    this.#source = source;
    this.#range = range ?? { start: 0, end: source.length };
    checkRange(this.#range, source.length);
    this.#buffers = buffers;
    this.#signal = signal;
    this.#onOver = onOver;
  }

  /** End it from outside with `reason`; a stream that is over does not notice. */
  stop(reason: Error): void {
    this.#interrupt.raise(reason);
    if (!this.#started) this.#finish();
  }

  /** May be called once. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    if (this.#started) throw new KrakenError('internal', 'a blob stream was iterated twice');
    this.#started = true;
    const chunks = this.#chunks();
    return {
      next: () => chunks.next(),
      return: async () => {
        // A generator serves `return` only after the `next` under way, and that one may wait for a piece.
        this.#interrupt.raise(new KrakenError('cancelled', 'the reader gave up'));
        await chunks.return(undefined);
        this.#finish();
        return { done: true, value: undefined };
      },
    };
  }

  async *#chunks(): AsyncGenerator<Uint8Array, undefined, undefined> {
    const signal = this.#signal;
    const onAbort = (): void => {
      if (signal !== undefined) this.#interrupt.raise(cancelledBy(signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal?.aborted === true) onAbort();
      this.#interrupt.check();
      const fd = await this.#source.acquire();
      try {
        yield* this.#read(fd);
      } finally {
        this.#source.release();
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#finish();
    }
    return undefined;
  }

  async *#read(fd: number): AsyncGenerator<Uint8Array, undefined, undefined> {
    const { end } = this.#range;
    let position = this.#range.start;
    let ahead: Promise<Chunk> | undefined;
    try {
      while (position < end) {
        this.#interrupt.check();
        if (ahead === undefined) await this.#untilReadable(position);
        const chunk = await (ahead ?? this.#readInto(fd, await this.#buffers.take(this.#interrupt), position));
        ahead = undefined;
        try {
          this.#interrupt.check();
          position += chunk.length;
          ahead = this.#readAhead(fd, position);
          yield chunk.buffer.subarray(0, chunk.length);
        } finally {
          this.#buffers.give(chunk.buffer);
        }
      }
    } finally {
      if (ahead !== undefined) this.#drop(ahead);
      // The descriptor and the buffer stay ours until the kernel is done with them.
      await ahead?.catch(() => undefined);
    }
    return undefined;
  }

  /** Wait for bytes at `position`, and for the seal when the next chunk may end the blob; without a buffer in hand. */
  async #untilReadable(position: number): Promise<void> {
    const source = this.#source;
    if (source.readable(position, 1) === 0) await source.whenReadable(position, this.#interrupt);
    if (!source.isSealed && this.#mayEnd(position)) await source.whenSealed(this.#interrupt);
  }

  /** True when a chunk from `position` may contain the last byte of the blob. */
  #mayEnd(position: number): boolean {
    const { length } = this.#source;
    return this.#range.end === length && position + this.#source.readable(position, LARGE_BYTES) === length;
  }

  /** Start the next read while the consumer works, if its bytes may be shown and memory is plenty. */
  #readAhead(fd: number, position: number): Promise<Chunk> | undefined {
    if (position >= this.#range.end || this.#source.readable(position, 1) === 0) return undefined;
    if (!this.#source.isSealed && this.#mayEnd(position)) return undefined;
    const buffer = this.#buffers.tryTakeSpare();
    if (buffer === undefined) return undefined;
    const chunk = this.#readInto(fd, buffer, position);
    // Looked at in the next turn of the loop; until then a failure must not count as unhandled.
    chunk.catch(() => undefined);
    return chunk;
  }

  #drop(ahead: Promise<Chunk>): void {
    ahead.then(
      (chunk) => this.#buffers.give(chunk.buffer),
      // A failed read has given its buffer back already.
      () => undefined,
    );
  }

  /** Fill `buffer` from `position` as far as bytes are readable. The buffer goes back to the pool on failure. */
  #readInto(fd: number, buffer: Uint8Array, position: number): Promise<Chunk> {
    const length = this.#source.readable(position, Math.min(buffer.byteLength, this.#range.end - position));
    return new Promise((resolve, reject) => {
      readFully(fd, buffer, length, position, (error, bytesRead) => {
        if (error === null && bytesRead === length) {
          resolve({ buffer, length });
          return;
        }
        this.#buffers.give(buffer);
        reject(
          error ??
            new KrakenError(
              'content-truncated',
              `the file ends at byte ${position + bytesRead} of ${this.#source.length}`,
            ),
        );
      });
    });
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#onOver();
  }
}
