/**
 * Recycled buffers of one size under a hard cap, shared by all connections of the process. Owns the free
 * list and the line of those who wait when the cap is reached. Never hands one buffer to two users.
 *
 * Waiters are served in order and always from a microtask: a release may happen inside a step of the swarm
 * machine, and a waiter may post an event.
 */
import { systemClock, type Clock } from './clock.js';

/** A place in a line; leaving it is safe at any time, also after being served. */
export interface Waiting {
  cancel(): void;
}

/** How long a buffer stays unused before its memory is given back. Guess: 10 s. */
const TRIM_INTERVAL_MS = 10_000;

/** Recycled buffers of one size under a cap; who comes when all are out waits in line. */
export class BufferPool {
  /** Size of each buffer. */
  readonly bufferBytes: number;
  /** Most buffers that exist at a time. */
  readonly limit: number;
  readonly #clock: Clock;
  readonly #shared: boolean;
  readonly #free: Uint8Array[] = [];
  readonly #line = new Set<(buffer: Uint8Array) => void>();
  #inUse = 0;
  #serving = false;
  /** Fewest free buffers since the last trim: those were not needed. */
  #idle = 0;
  #trimming = false;
  /** How often somebody had to wait. */
  waits = 0;

  /**
   * @param limitBytes hard cap of all buffers together; at least one buffer is granted
   * @param shared other threads may read the buffers in place
   */
  constructor(bufferBytes: number, limitBytes: number, clock: Clock = systemClock, shared = false) {
    this.bufferBytes = bufferBytes;
    this.limit = Math.max(1, Math.floor(limitBytes / bufferBytes));
    this.#clock = clock;
    this.#shared = shared;
  }

  /** Buffers that are out. */
  get inUse(): number {
    return this.#inUse;
  }

  /** A buffer with arbitrary content, or `undefined` when one has to wait. */
  tryTake(): Uint8Array | undefined {
    if (this.#line.size > 0) return undefined;
    return this.#take();
  }

  /** Call `granted` with a buffer once there is one. */
  wait(granted: (buffer: Uint8Array) => void): Waiting {
    this.waits++;
    // A function of its own per wait: the same callback may stand in line twice.
    const entry = (buffer: Uint8Array): void => granted(buffer);
    this.#line.add(entry);
    this.#serveLater();
    return { cancel: () => void this.#line.delete(entry) };
  }

  /** The buffer must come from this pool and must not be used any more. */
  release(buffer: Uint8Array): void {
    this.#inUse--;
    this.#free.push(buffer);
    if (this.#line.size > 0) this.#serveLater();
    else this.#trimLater();
  }

  #take(): Uint8Array | undefined {
    const free = this.#free.pop();
    if (free === undefined && this.#inUse >= this.limit) return undefined;
    this.#inUse++;
    this.#idle = Math.min(this.#idle, this.#free.length);
    if (free !== undefined) return free;
    if (this.#shared) return new Uint8Array(new SharedArrayBuffer(this.bufferBytes));
    // Uninitialised memory: users only ever look at bytes that they wrote.
    return Buffer.allocUnsafeSlow(this.bufferBytes);
  }

  #serveLater(): void {
    if (this.#serving) return;
    this.#serving = true;
    queueMicrotask(() => {
      this.#serving = false;
      for (const granted of this.#line) {
        const buffer = this.#take();
        if (buffer === undefined) return;
        this.#line.delete(granted);
        granted(buffer);
      }
    });
  }

  #trimLater(): void {
    if (this.#trimming) return;
    this.#trimming = true;
    this.#idle = this.#free.length;
    this.#clock.after(
      TRIM_INTERVAL_MS,
      () => {
        this.#trimming = false;
        this.#free.splice(0, this.#idle);
        if (this.#free.length > 0) this.#trimLater();
      },
      { background: true },
    );
  }
}

/** Unit of disk writes and of CRC work: performance measurements favour 256 KiB to 1 MiB. */
export const RECEIVE_CHUNK_BYTES = 512 * 1024;
/** Unit of disk reads: smaller ones pay for the thread hop. */
export const SEND_CHUNK_BYTES = 1024 * 1024;
/** Cap of each direction. Guess: 64 MiB, the payloads in flight of some 25 busy connections. */
const POOL_LIMIT_BYTES = 64 * 1024 * 1024;

/** The pools of this process: all nodes in it share them, so that the cap holds for the process. */
export const processPools = {
  // Shared with the thread that checks pieces.
  receive: new BufferPool(RECEIVE_CHUNK_BYTES, POOL_LIMIT_BYTES, systemClock, true),
  send: new BufferPool(SEND_CHUNK_BYTES, POOL_LIMIT_BYTES),
} as const;

/** Where a host takes its buffers from. */
export interface BufferPools {
  /** Between sockets and the disk. */
  readonly receive: BufferPool;
  /** Between the disk and sockets. */
  readonly send: BufferPool;
}
