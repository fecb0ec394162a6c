/**
 * Pieces of one connection on their way from disk to the wire: positional reads into recycled buffers, one
 * read ahead of the write, at most two buffers held. Owns the queue of pieces and knows whether a payload
 * is unfinished on the wire. Never encodes control frames, never decides what to send.
 *
 * Bandwidth is taken per chunk when the socket can take it, right before it is written, and the header goes right
 * before the first chunk, so a throttled payload does not start the receiver's clock early. A payload is never left short: when its bytes
 * cannot be read after the header, the connection is broken off.
 */
import type { Failure } from '@kraken/core/swarm';
import { encodePayloadHeader } from '@kraken/core/wire';
import type { TorrentFile } from '../store/piece-store.js';
import type { BufferPool, Waiting } from './buffer-pool.js';
import type { Flow } from './share-line.js';
import type { TokenBucket } from './token-bucket.js';

/** Buffers between disk and kernel per connection. Source: performance measurements. */
const BUFFERS_MAX = 2;
/** Pieces queued per connection; Kraken's send queue takes 10,000 messages, but nobody asks for so many ahead. Guess: 1024. */
const QUEUE_MAX = 1024;

/** A piece to send. */
export interface SendJob {
  readonly file: TorrentFile;
  /** Whose share of the bandwidth it draws from. */
  readonly namespace: string;
  readonly piece: number;
  /** First byte in the blob. */
  readonly position: number;
  /** Bytes, ≥ 1. */
  readonly length: number;
  /** Called exactly once; without a failure when all bytes have been handed to the kernel. */
  finished(failure?: Failure): void;
}

/** The wire as the sender sees it. */
export interface PayloadWire {
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): void;
  /** The payload has been written to its last byte: control frames may go now. */
  free(): void;
  /** The stream cannot be kept in step: break the connection off. */
  broken(failure: Failure): void;
  /** A job was finished: perhaps the sender is idle now. */
  finished(): void;
}

interface QueuedJob {
  readonly job: SendJob;
  /** The job as the limiter knows it. */
  readonly flow: Flow;
}

interface Chunk extends QueuedJob {
  readonly buffer: Uint8Array;
  readonly length: number;
  readonly first: boolean;
  readonly last: boolean;
}

export class PayloadSender {
  readonly #pool: BufferPool;
  readonly #bandwidth: TokenBucket;
  readonly #wire: PayloadWire;
  /** Jobs that are not finished, in order. */
  readonly #jobs: QueuedJob[] = [];
  /** Reading position: a job of the queue and a byte of it. */
  #readJob = 0;
  #readAt = 0;
  #reading = false;
  #held = 0;
  /** Payload bytes that were written to the socket and have not been taken by the kernel. */
  bytesQueued = 0;
  readonly #ready: Chunk[] = [];
  #waitingForBuffer: Waiting | undefined;
  #waitingForBandwidth: Waiting | undefined;
  #onWire = false;
  #aborted: Failure | undefined;

  constructor(pool: BufferPool, bandwidth: TokenBucket, wire: PayloadWire) {
    this.#pool = pool;
    this.#bandwidth = bandwidth;
    this.#wire = wire;
  }

  /** A header is on the wire and its bytes are not all there yet: nothing else may be written. */
  get onWire(): boolean {
    return this.#onWire;
  }

  /** Nothing queued, no buffer held. */
  get idle(): boolean {
    return this.#jobs.length === 0 && this.#held === 0;
  }

  enqueue(job: SendJob): void {
    if (this.#aborted !== undefined) job.finished(this.#aborted);
    else if (this.#jobs.length >= QUEUE_MAX) {
      job.finished({ code: 'queue-full', says: `more than ${QUEUE_MAX} pieces queued for one connection` });
    } else {
      this.#jobs.push({ job, flow: this.#bandwidth.flow(job.namespace) });
      this.#read();
    }
  }

  /** The connection is gone: everything unfinished fails. Buffers that the kernel still has come back by themselves. */
  abort(failure: Failure): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = failure;
    this.#waitingForBuffer?.cancel();
    this.#waitingForBandwidth?.cancel();
    for (const chunk of this.#ready.splice(0)) this.#recycle(chunk.buffer);
    for (const { job } of this.#jobs.splice(0)) job.finished(failure);
  }

  /** Read one chunk ahead. */
  #read(): void {
    if (this.#reading || this.#held >= BUFFERS_MAX || this.#aborted !== undefined) return;
    if (this.#waitingForBuffer !== undefined || this.#readJob >= this.#jobs.length) return;
    const buffer = this.#pool.tryTake();
    if (buffer !== undefined) {
      this.#readInto(buffer);
      return;
    }
    this.#waitingForBuffer = this.#pool.wait((later) => {
      this.#waitingForBuffer = undefined;
      this.#readInto(later);
    });
  }

  #readInto(buffer: Uint8Array): void {
    const queued = this.#jobs[this.#readJob];
    if (queued === undefined) {
      this.#pool.release(buffer);
      return;
    }
    const { job, flow } = queued;
    this.#held++;
    this.#reading = true;
    const first = this.#readAt === 0;
    const length = Math.min(this.#pool.bufferBytes, this.#bandwidth.grainBytes, job.length - this.#readAt);
    const last = this.#readAt + length === job.length;
    const position = job.position + this.#readAt;
    if (last) {
      this.#readJob++;
      this.#readAt = 0;
    } else {
      this.#readAt += length;
    }
    job.file.read(buffer, length, position, (error, bytesRead) => {
      this.#reading = false;
      if (this.#aborted !== undefined) {
        this.#recycle(buffer);
        this.#wire.finished();
      } else if (error !== null || bytesRead !== length) {
        this.#recycle(buffer);
        this.#unreadable(job, error, position + bytesRead);
      } else {
        this.#ready.push({ job, flow, buffer, length, first, last });
        this.#write();
        this.#read();
      }
    });
  }

  #unreadable(job: SendJob, error: Error | null, end: number): void {
    const failure: Failure =
      error === null
        ? { code: 'content-truncated', says: `the local file ends at byte ${end}, inside piece ${job.piece}` }
        : { code: 'io-error', says: error.message };
    this.#wire.broken(failure);
  }

  /** Write what is ready, as far as the socket and bandwidth go. A chunk waits for bandwidth only when it could be written. */
  #write(): void {
    while (this.#waitingForBandwidth === undefined && this.bytesQueued === 0 && this.#aborted === undefined) {
      const chunk = this.#ready[0];
      if (chunk === undefined) return;
      if (this.#bandwidth.tryTake(chunk.flow, chunk.length)) {
        this.#ready.shift();
        this.#put(chunk);
        continue;
      }
      this.#waitingForBandwidth = this.#bandwidth.wait(chunk.flow, chunk.length, () => {
        this.#waitingForBandwidth = undefined;
        this.#ready.shift();
        this.#put(chunk);
        this.#write();
      });
    }
  }

  #put(chunk: Chunk): void {
    const { job, buffer, length } = chunk;
    if (chunk.first) {
      this.#onWire = true;
      this.#wire.write(encodePayloadHeader({ piece: job.piece, length: job.length }));
    }
    this.bytesQueued += length;
    this.#wire.write(buffer.subarray(0, length), (error) => {
      this.bytesQueued -= length;
      this.#recycle(buffer);
      // The socket reports an error by itself; the job fails when the connection is aborted.
      const failed = error !== undefined && error !== null;
      if (failed) this.#bandwidth.giveBack(chunk.flow, length);
      if (this.#aborted !== undefined) {
        this.#wire.finished();
        return;
      }
      if (chunk.last && !failed) this.#done(job);
      this.#write();
      this.#read();
    });
    if (chunk.last) {
      this.#onWire = false;
      this.#wire.free();
    }
  }

  #done(job: SendJob): void {
    this.#jobs.shift();
    this.#readJob--;
    job.finished();
    this.#wire.finished();
  }

  #recycle(buffer: Uint8Array): void {
    this.#held--;
    this.#pool.release(buffer);
  }
}
