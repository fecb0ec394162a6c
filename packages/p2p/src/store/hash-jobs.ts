/**
 * The work of the hash worker: SHA-256 over a growing file, CRC-32 over its pieces. One object per job, advanced
 * in turns of bounded size so that jobs share the thread. Owns the position and the hash state; opens the file
 * anew for each turn, so that no descriptor outlives it.
 *
 * Synchronous on purpose: it runs on a thread of its own.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Bytes of one turn: some 10 ms of SHA-256. */
const TURN_BYTES = 16 * 1024 * 1024;

/** The file is shorter than it was said to be. */
export class TruncatedError extends Error {
  readonly code = 'content-truncated';
}

/** A job that is given turns until it is idle or done. */
export interface HashJob<Result> {
  /** True when a turn would do something. */
  readonly hasWork: boolean;
  /** Work for at most one turn. @returns the result when the job is done @throws errno errors, TruncatedError */
  turn(buffer: Uint8Array): Result | undefined;
}

/** SHA-256 of a file that grows. */
export class FollowJob implements HashJob<string> {
  readonly #path: string;
  readonly #hash = createHash('sha256');
  #position = 0;
  #end = 0;
  #last = false;

  constructor(path: string) {
    this.#path = path;
  }

  extend(end: number, last: boolean): void {
    this.#end = end;
    this.#last = last;
  }

  get hasWork(): boolean {
    return this.#last || this.#position < this.#end;
  }

  turn(buffer: Uint8Array): string | undefined {
    const end = Math.min(this.#end, this.#position + TURN_BYTES);
    if (this.#position < end) {
      readRange(this.#path, buffer, this.#position, end, (bytes) => this.#hash.update(bytes));
      this.#position = end;
    }
    return this.#last && this.#position === this.#end ? this.#hash.digest('hex') : undefined;
  }
}

/** CRC-32 of each piece, or of the claimed ones. */
export class SumJob implements HashJob<Uint32Array> {
  readonly #path: string;
  readonly #length: number;
  readonly #pieceLength: number;
  readonly #claimed: Uint8Array | undefined;
  readonly #sums: Uint32Array;
  #piece = 0;
  #offset = 0;
  #sum = 0;

  constructor(path: string, length: number, pieceLength: number, claimed: Uint8Array | undefined) {
    this.#path = path;
    this.#length = length;
    this.#pieceLength = pieceLength;
    this.#claimed = claimed;
    this.#sums = new Uint32Array(length === 0 ? 0 : Math.floor((length - 1) / pieceLength) + 1);
  }

  get hasWork(): boolean {
    return true;
  }

  turn(buffer: Uint8Array): Uint32Array | undefined {
    const fd = openSync(this.#path, 'r');
    try {
      for (let budget = TURN_BYTES; budget > 0 && this.#piece < this.#sums.length;) {
        if (this.#claimed !== undefined && this.#claimed[this.#piece] !== 1) {
          this.#piece++;
          budget--;
          continue;
        }
        budget -= this.#step(fd, buffer);
      }
    } finally {
      closeSync(fd);
    }
    return this.#piece === this.#sums.length ? this.#sums : undefined;
  }

  /** Add up to one buffer to the sum of the current piece. @returns bytes read */
  #step(fd: number, buffer: Uint8Array): number {
    const start = this.#piece * this.#pieceLength;
    const pieceLength = Math.min(this.#pieceLength, this.#length - start);
    const length = Math.min(buffer.byteLength, pieceLength - this.#offset);
    readExactly(fd, buffer, length, start + this.#offset);
    this.#sum = crc32(buffer.subarray(0, length), this.#sum);
    this.#offset += length;
    if (this.#offset === pieceLength) {
      this.#sums[this.#piece++] = this.#sum;
      this.#offset = 0;
      this.#sum = 0;
    }
    return length;
  }
}

function readRange(
  path: string,
  buffer: Uint8Array,
  start: number,
  end: number,
  use: (bytes: Uint8Array) => void,
): void {
  const fd = openSync(path, 'r');
  try {
    for (let position = start; position < end;) {
      const length = Math.min(buffer.byteLength, end - position);
      readExactly(fd, buffer, length, position);
      use(buffer.subarray(0, length));
      position += length;
    }
  } finally {
    closeSync(fd);
  }
}

function readExactly(fd: number, buffer: Uint8Array, length: number, position: number): void {
  for (let filled = 0; filled < length;) {
    const bytesRead = readSync(fd, buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new TruncatedError(`the file ends at byte ${position + filled}`);
    filled += bytesRead;
  }
}
