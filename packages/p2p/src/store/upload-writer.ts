/**
 * Writes a stream of chunks to a descriptor in units that are worth a system call: small chunks are gathered, large
 * ones go as they are. Owns at most two gathering buffers; one write is under way while the next buffer fills.
 *
 * A chunk is copied or written before the next one is asked for, so sources may recycle their buffers.
 */
import { write } from 'node:fs';
import { KrakenError } from '@kraken/core/errors';
import { diskError } from './disk-error.js';
import type { Interrupt } from './interrupt.js';
import type { ReadBuffers } from './read-buffers.js';

/** Chunks from this size on are written without a copy. */
const DIRECT_BYTES = 256 * 1024;

export interface UploadTarget {
  readonly fd: number;
  /** Throws when the session is over. */
  check(): void;
  /** Bytes from `start` on are about to change; may refuse by throwing, else `settled` follows. */
  writing(start: number): void;
  /** Bytes `start` to `end` are in the file. */
  written(start: number, end: number): void;
  /** The write is over, well or not. */
  settled(): void;
}

export class UploadWriter {
  readonly #target: UploadTarget;
  readonly #buffers: ReadBuffers;
  readonly #interrupt: Interrupt;
  readonly #maxBytes: number;
  #position: number;
  #received = 0;
  #buffer: Uint8Array | undefined;
  #filled = 0;
  #pending: Promise<void> | undefined;

  constructor(target: UploadTarget, position: number, maxBytes: number, buffers: ReadBuffers, interrupt: Interrupt) {
    this.#target = target;
    this.#position = position;
    this.#maxBytes = maxBytes;
    this.#buffers = buffers;
    this.#interrupt = interrupt;
  }

  /**
   * Write all of `source`. What came before an error is written.
   * @returns bytes written
   * @throws KrakenError `size-invalid`, `disk-full`, `io-error`; the source's own error
   */
  async run(source: AsyncIterable<Uint8Array>): Promise<number> {
    try {
      try {
        for await (const chunk of source) {
          const room = this.#maxBytes - this.#received;
          await this.#take(chunk.byteLength > room ? chunk.subarray(0, room) : chunk);
          if (chunk.byteLength > room) throw new KrakenError('size-invalid', `more than ${this.#maxBytes} bytes came`);
        }
      } finally {
        await this.#flush();
        await this.#settle();
      }
      return this.#received;
    } finally {
      // An error of `#flush` leaves the last write under way; its buffer is not ours before it ends.
      await this.#pending?.catch(() => undefined);
      if (this.#buffer !== undefined) this.#buffers.give(this.#buffer);
    }
  }

  async #take(chunk: Uint8Array): Promise<void> {
    this.#target.check();
    this.#received += chunk.byteLength;
    if (chunk.byteLength >= DIRECT_BYTES) {
      await this.#flush();
      await this.#settle();
      await this.#write(chunk);
      return;
    }
    for (let taken = 0; taken < chunk.byteLength;) {
      this.#buffer ??= await this.#buffers.take(this.#interrupt);
      const part = chunk.subarray(taken, taken + this.#buffer.byteLength - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.byteLength;
      taken += part.byteLength;
      if (this.#filled === this.#buffer.byteLength) await this.#flush();
    }
  }

  /** Start writing what was gathered, after the write before it. */
  async #flush(): Promise<void> {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#filled === 0) return;
    await this.#settle();
    const bytes = buffer.subarray(0, this.#filled);
    this.#buffer = undefined;
    this.#filled = 0;
    this.#pending = this.#write(bytes).finally(() => this.#buffers.give(buffer));
    // Looked at by `#settle`; until then a failure must not count as unhandled.
    this.#pending.catch(() => undefined);
  }

  async #settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = undefined;
    await pending;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const start = this.#position;
    this.#position += bytes.byteLength;
    this.#target.check();
    this.#target.writing(start);
    try {
      await writeAt(this.#target.fd, bytes, start);
      this.#target.written(start, start + bytes.byteLength);
    } finally {
      this.#target.settled();
    }
  }
}

/** Positional write that goes on after short writes. */
function writeAt(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = 0;
    const next = (): void => {
      write(fd, bytes, done, bytes.byteLength - done, position + done, (error, count) => {
        if (error !== null) {
          reject(diskError(error, 'write upload'));
          return;
        }
        done += count;
        if (done >= bytes.byteLength) resolve();
        else next();
      });
    };
    next();
  });
}
