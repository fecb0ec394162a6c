/**
 * Payload bytes of one connection on their way to disk: recycled chunks, checked while they are warm, a bounded number of
 * them on their way to the disk and to the check. Owns the chunk that is being filled and the verdicts of payloads.
 * Never parses frames, never decides what to receive, never holds a whole piece.
 *
 * Before each chunk it takes bandwidth and a buffer; while it has to wait for either, or for the disk, the
 * connection does not read (TCP slows the sender down). While it waits for the disk or for a buffer it holds no
 * bandwidth and stands in no line for it.
 */
import { crc32 } from 'node:zlib';
import type { PieceVerdict } from '@kraken/core/swarm';
import type { TorrentFile } from '../store/piece-store.js';
import type { BufferPool, Waiting } from './buffer-pool.js';
import { verdictOf, type PieceCheck, type PieceJudgement } from './piece-check.js';
import type { Flow } from './share-line.js';
import type { TokenBucket } from './token-bucket.js';

/** Writes in flight per connection; more than this pauses reading. Source: performance measurements. */
export const WRITES_IN_FLIGHT_MAX = 4;

/** A permitted payload. */
export interface ReceiveJob {
  readonly file: TorrentFile;
  /** Whose share of the bandwidth it draws from. */
  readonly namespace: string;
  readonly piece: number;
  /** First byte in the blob. */
  readonly position: number;
  /** Bytes to come, ≥ 1. */
  readonly length: number;
  readonly check: PieceCheck;
  /** Called exactly once, when nothing of this payload is in flight to the disk any more. */
  settled(verdict: PieceVerdict, replaced?: PieceJudgement['replaced']): void;
}

/** How the receiver stops and restarts the reading of its connection. */
export interface ReadGate {
  block(): void;
  /** Never called from inside a machine step. */
  unblock(): void;
  /** A payload was settled: perhaps the receiver is idle now. */
  settled(): void;
}

interface Payload {
  readonly job: ReceiveJob;
  received: number;
  crc: number;
  writes: number;
  /** No more bytes will come to the file: all are there, the disk failed, or the connection died. */
  ended: boolean;
  error: Error | undefined;
}

interface Chunk {
  /** Absent: the bytes are dropped. */
  readonly buffer: Uint8Array | undefined;
  readonly length: number;
  filled: number;
}

export class PayloadReceiver {
  readonly #pool: BufferPool;
  readonly #bandwidth: TokenBucket;
  readonly #gate: ReadGate;
  #payload: Payload | undefined;
  /** Bytes to drop after the current chunk. */
  #discard = 0;
  #chunk: Chunk | undefined;
  #waiting: Waiting | undefined;
  /** Granted while there was no bandwidth for it. */
  #spare: Uint8Array | undefined;
  /** The payload or the bytes to drop, as the limiter knows them. */
  #flow: Flow;
  #waitsForDisk = false;
  #blocked = false;
  #writes = 0;
  #unsettled = 0;
  #aborted = false;

  constructor(pool: BufferPool, bandwidth: TokenBucket, gate: ReadGate) {
    this.#pool = pool;
    this.#bandwidth = bandwidth;
    this.#flow = bandwidth.flow('');
    this.#gate = gate;
  }

  /** The next bytes of the stream belong to a payload. */
  get expecting(): boolean {
    return this.#payload !== undefined || this.#discard > 0 || this.#chunk !== undefined;
  }

  /** Nothing in flight, every verdict given. */
  get idle(): boolean {
    return this.#unsettled === 0 && this.#writes === 0;
  }

  /** Start receiving; only while not `expecting`. */
  begin(job: ReceiveJob): void {
    this.#payload = { job, received: 0, crc: 0, writes: 0, ended: false, error: undefined };
    this.#unsettled++;
    this.#flow = this.#bandwidth.flow(job.namespace);
    this.#prepare();
  }

  /** Drop the next `length` bytes; only while not `expecting`. */
  discard(length: number): void {
    this.#discard = length;
    this.#flow = this.#bandwidth.flow('');
    if (length > 0) this.#prepare();
  }

  /** The unfilled rest of the current chunk, for the kernel to write into; `undefined` when there is none. */
  window(): Uint8Array | undefined {
    const chunk = this.#chunk;
    return chunk?.buffer?.subarray(chunk.filled, chunk.length);
  }

  /** `length` bytes were put into {@link window}. */
  advance(length: number): void {
    const chunk = this.#chunk;
    if (chunk === undefined) return;
    chunk.filled += length;
    if (chunk.filled < chunk.length) return;
    this.#chunk = undefined;
    const payload = this.#payload;
    if (payload !== undefined && chunk.buffer !== undefined) {
      this.#flush(payload, chunk.buffer, chunk.length);
      return;
    }
    if (chunk.buffer !== undefined) this.#pool.release(chunk.buffer);
    this.#discard -= chunk.length;
    if (this.#discard > 0) this.#prepare();
  }

  /** Take payload bytes out of `data[at..]`. @returns how many; 0 only while reading is blocked */
  take(data: Uint8Array, at: number): number {
    const chunk = this.#chunk;
    if (chunk === undefined) return 0;
    const length = Math.min(data.length - at, chunk.length - chunk.filled);
    chunk.buffer?.set(data.subarray(at, at + length), chunk.filled);
    this.advance(length);
    return length;
  }

  /** The connection is gone. An unfinished payload settles as `aborted` once its writes have come back. */
  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#waiting?.cancel();
    this.#waiting = undefined;
    const chunk = this.#chunk;
    if (chunk !== undefined) {
      this.#chunk = undefined;
      this.#bandwidth.giveBack(this.#flow, chunk.length - chunk.filled);
      if (chunk.buffer !== undefined) this.#pool.release(chunk.buffer);
    }
    if (this.#spare !== undefined) this.#pool.release(this.#spare);
    this.#spare = undefined;
    this.#discard = 0;
    const payload = this.#payload;
    this.#payload = undefined;
    if (payload !== undefined) this.#end(payload);
  }

  /** Get ready for the next chunk: disk, then bandwidth, then buffer. */
  #prepare(): void {
    if (this.#aborted) return;
    if (this.#payload !== undefined && this.#writes >= WRITES_IN_FLIGHT_MAX) {
      this.#waitsForDisk = true;
      this.#block();
      return;
    }
    const length = Math.min(this.#remaining(), this.#pool.bufferBytes, this.#bandwidth.grainBytes);
    if (this.#bandwidth.tryTake(this.#flow, length)) {
      this.#takeBuffer(length);
      return;
    }
    this.#block();
    this.#waiting = this.#bandwidth.wait(this.#flow, length, () => {
      this.#waiting = undefined;
      this.#takeBuffer(length);
    });
  }

  #remaining(): number {
    return this.#payload === undefined ? this.#discard : this.#payload.job.length - this.#payload.received;
  }

  /** Bandwidth for `length` bytes has been taken. */
  #takeBuffer(length: number): void {
    const spare = this.#spare;
    this.#spare = undefined;
    if (this.#payload === undefined) {
      if (spare !== undefined) this.#pool.release(spare);
      this.#ready({ buffer: undefined, length, filled: 0 });
      return;
    }
    const buffer = spare ?? this.#pool.tryTake();
    if (buffer !== undefined) {
      this.#ready({ buffer, length, filled: 0 });
      return;
    }
    this.#block();
    this.#bandwidth.giveBack(this.#flow, length);
    this.#waiting = this.#pool.wait((later) => {
      this.#waiting = undefined;
      this.#spare = later;
      this.#prepare();
    });
  }

  #ready(chunk: Chunk): void {
    this.#chunk = chunk;
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#gate.unblock();
  }

  #block(): void {
    if (this.#blocked) return;
    this.#blocked = true;
    this.#gate.block();
  }

  /** A full chunk: sum it and give it to the disk. */
  #flush(payload: Payload, buffer: Uint8Array, length: number): void {
    const { job } = payload;
    if (job.check.sum !== undefined) payload.crc = crc32(buffer.subarray(0, length), payload.crc);
    const position = job.position + payload.received;
    payload.received += length;
    payload.writes++;
    this.#writes++;
    const last = payload.received === job.length;
    if (last) {
      payload.ended = true;
      this.#payload = undefined;
    }
    const { passing } = job.check;
    let uses = 1;
    let failure: Error | undefined;
    const used = (error?: Error): void => {
      failure ??= error;
      if (--uses === 0) this.#written(payload, buffer, failure);
    };
    if (passing !== undefined) {
      uses++;
      passing.add(buffer.subarray(0, length), used);
    }
    job.file.write(buffer, length, position, used);
    if (!last) this.#prepare();
  }

  #written(payload: Payload, buffer: Uint8Array, error: Error | undefined): void {
    this.#pool.release(buffer);
    payload.writes--;
    this.#writes--;
    payload.error ??= error;
    if (payload.error !== undefined && !payload.ended) this.#giveUp(payload);
    if (payload.ended && payload.writes === 0) this.#settle(payload);
    if (this.#waitsForDisk && !this.#aborted) {
      this.#waitsForDisk = false;
      this.#prepare();
    }
  }

  /**
   * The disk failed in the middle: the rest of the payload is read and dropped, so that the stream stays in step.
   * The current chunk keeps its buffer until it is full, because the kernel may be about to write into it.
   */
  #giveUp(payload: Payload): void {
    payload.ended = true;
    payload.job.check.passing?.cancel();
    this.#payload = undefined;
    this.#discard = payload.job.length - payload.received;
  }

  #end(payload: Payload): void {
    payload.ended = true;
    payload.job.check.passing?.cancel();
    if (payload.writes === 0) this.#settle(payload);
  }

  #settle(payload: Payload): void {
    const { job } = payload;
    if (payload.error !== undefined) this.#settled(job, verdictOf(payload.error));
    else if (payload.received < job.length) this.#settled(job, 'aborted');
    else if (job.check.sum !== undefined && payload.crc !== job.check.sum) this.#settled(job, 'bad-sum');
    else if (job.check.prove === undefined) this.#markVerified(job, undefined);
    else {
      job.check.prove(({ verdict, replaced }) => {
        if (verdict === 'ok') this.#markVerified(job, replaced);
        else this.#settled(job, verdict);
      });
    }
  }

  #markVerified(job: ReceiveJob, replaced: PieceJudgement['replaced']): void {
    job.file.markVerified(job.piece, (error) =>
      this.#settled(job, error === undefined ? 'ok' : verdictOf(error), replaced),
    );
  }

  #settled(job: ReceiveJob, verdict: PieceVerdict, replaced?: PieceJudgement['replaced']): void {
    this.#unsettled--;
    job.settled(verdict, replaced);
    this.#gate.settled();
  }
}
