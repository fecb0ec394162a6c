/**
 * Recycled read buffers under one cap of bytes, shared by all streams of a store. Owns the free list and the
 * line of those who wait. When half of the cap is out, buffers become small, so that many slow readers share
 * what is left instead of waiting for each other.
 */
import { KrakenError } from '@kraken/core/errors';
import type { Interrupt } from './interrupt.js';

/** Large buffers: 1 MiB reads cost half of what 256 KiB reads do. */
export const LARGE_BYTES = 1024 * 1024;
/** Buffers when memory is scarce. */
export const SMALL_BYTES = 64 * 1024;
/** Free large buffers that are kept for the next stream at most; the rest is left to the garbage collector. */
const FREE_MAX = 8;

export class ReadBuffers {
  readonly #capBytes: number;
  readonly #waitersMax: number;
  readonly #free: Uint8Array[] = [];
  readonly #line = new Set<(buffer: Uint8Array) => void>();
  #outBytes = 0;
  /** Fewest free buffers since the last trim: those were not needed. */
  #idle = 0;

  /**
   * @param capBytes bytes of all buffers that are out at a time; at least one small buffer is granted
   * @param waitersMax streams that may wait for one
   */
  constructor(capBytes: number, waitersMax: number) {
    this.#capBytes = Math.max(capBytes, SMALL_BYTES);
    this.#waitersMax = waitersMax;
  }

  /** Bytes of the buffers that are out. */
  get outBytes(): number {
    return this.#outBytes;
  }

  /** A buffer for reading ahead: only while there is plenty. Content is arbitrary. */
  tryTakeSpare(): Uint8Array | undefined {
    return this.#line.size === 0 && this.#outBytes + LARGE_BYTES <= this.#capBytes / 2 ? this.#large() : undefined;
  }

  /** A buffer of 1 MiB or 64 KiB; `give` is owed. @throws KrakenError `queue-full` when too many wait; the reason of `interrupt` */
  take(interrupt: Interrupt): Uint8Array | Promise<Uint8Array> {
    if (this.#line.size === 0) {
      const buffer = this.#tryTake();
      if (buffer !== undefined) return buffer;
    }
    if (this.#line.size >= this.#waitersMax) {
      return Promise.reject(new KrakenError('queue-full', `${this.#waitersMax} readers wait for a buffer already`));
    }
    return interrupt.wait((resolve) => {
      this.#line.add(resolve);
      return () => this.#line.delete(resolve);
    });
  }

  /** The buffer must come from this object and must not be used any more. */
  give(buffer: Uint8Array): void {
    this.#outBytes -= buffer.byteLength;
    if (buffer.byteLength === LARGE_BYTES && this.#free.length < FREE_MAX) this.#free.push(buffer);
    for (const granted of this.#line) {
      const next = this.#tryTake();
      if (next === undefined) return;
      this.#line.delete(granted);
      granted(next);
    }
  }

  /** Leave the free buffers that nobody needed since the last call to the garbage collector. */
  trim(): void {
    this.#free.splice(0, this.#idle);
    this.#idle = this.#free.length;
  }

  #tryTake(): Uint8Array | undefined {
    if (this.#outBytes + LARGE_BYTES <= this.#capBytes / 2) return this.#large();
    if (this.#outBytes + SMALL_BYTES > this.#capBytes) return undefined;
    this.#outBytes += SMALL_BYTES;
    return Buffer.allocUnsafeSlow(SMALL_BYTES);
  }

  #large(): Uint8Array {
    this.#outBytes += LARGE_BYTES;
    const free = this.#free.pop();
    this.#idle = Math.min(this.#idle, this.#free.length);
    return free ?? Buffer.allocUnsafeSlow(LARGE_BYTES);
  }
}
