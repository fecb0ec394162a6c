/**
 * The long work of a hash thread: SHA-256 over a growing file; CRC-32 and leaf hashes over the pieces of a file. One object
 * per job, advanced in turns of bounded size so that jobs share the thread. Owns the position and the hash state; opens
 * the file anew for each turn, so that no descriptor outlives it.
 *
 * Synchronous on purpose: it runs on a thread of its own.
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { crc32 } from 'node:zlib';
// By their files: a thread is there in half the time.
import { pieceCountOf } from '@kraken/core/content/piece-count';
import { HASH_BYTES, leavesPerPiece } from '@kraken/core/content/piece-layer';
import { LeafHashes } from './leaf-hashes.js';
import { readExactly } from './read-exactly.js';

/** Bytes of one turn: some 5 ms of SHA-256, 10 ms with leaves. Single pieces wait no longer. */
const TURN_BYTES = 8 * 1024 * 1024;

/** A job that is given turns until it is idle or done. */
interface HashJob<Result> {
  /** True when a turn would do something. */
  readonly hasWork: boolean;
  /** Work for at most one turn. @returns the result when the job is done @throws errno errors, TruncatedError */
  turn(buffer: Uint8Array): Result | undefined;
}

/** SHA-256 of a file that grows; it may be ahead of what was read, and of what is said to be final, by pieces that passed and proved right. */
export class FollowJob implements HashJob<string> {
  readonly #path: string;
  #hash = createHash('sha256');
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

  /** A hash of everything before `start`, to try bytes on that pass; `undefined` while it has not come to there, or is behind it. */
  branch(start: number): Hash | undefined {
    return start === this.#position ? this.#hash.copy() : undefined;
  }

  /** The bytes from `start` to `end` that went into `branch` are those of the blob: they need not be read. */
  adopt(branch: Hash, start: number, end: number): void {
    // The file may have been read meanwhile.
    if (start !== this.#position) return;
    this.#hash = branch;
    this.#position = end;
  }

  turn(buffer: Uint8Array): string | undefined {
    const end = Math.min(this.#end, this.#position + TURN_BYTES);
    if (this.#position < end) this.#read(buffer, end);
    return this.#last && this.#position === this.#end ? this.#hash.digest('hex') : undefined;
  }

  #read(buffer: Uint8Array, end: number): void {
    const fd = openSync(this.#path, 'r');
    try {
      while (this.#position < end) {
        const length = Math.min(buffer.byteLength, end - this.#position);
        readExactly(fd, buffer, length, this.#position);
        this.#hash.update(buffer.subarray(0, length));
        this.#position += length;
      }
    } finally {
      closeSync(fd);
    }
  }
}

/** What {@link DescribeJob} finds: one sum per piece; one hash per piece, or none at all. */
export interface Description {
  readonly sums: Uint32Array;
  readonly layer: Uint8Array;
}

/** CRC-32 of the pieces of a file, or of the claimed ones, and their hashes where a layer is wanted. */
export class DescribeJob implements HashJob<Description> {
  readonly #path: string;
  readonly #length: number;
  readonly #pieceLength: number;
  readonly #claimed: Uint8Array | undefined;
  readonly #found: Description;
  readonly #width: number;
  readonly #leaves: LeafHashes | undefined;
  #piece = 0;
  #offset = 0;
  #sum = 0;

  constructor(path: string, length: number, pieceLength: number, layer: boolean, claimed: Uint8Array | undefined) {
    const pieces = pieceCountOf(length, pieceLength);
    this.#path = path;
    this.#length = length;
    this.#pieceLength = pieceLength;
    this.#claimed = claimed;
    this.#width = layer ? leavesPerPiece(length, pieceLength) : 0;
    this.#leaves = layer ? new LeafHashes(Math.min(length, pieceLength)) : undefined;
    this.#found = { sums: new Uint32Array(pieces), layer: new Uint8Array(layer ? HASH_BYTES * pieces : 0) };
  }

  get hasWork(): boolean {
    return true;
  }

  /** @param buffer a multiple of a leaf */
  turn(buffer: Uint8Array): Description | undefined {
    const pieces = this.#found.sums.length;
    const fd = openSync(this.#path, 'r');
    try {
      for (let budget = TURN_BYTES; budget > 0 && this.#piece < pieces;) {
        if (this.#claimed !== undefined && this.#claimed[this.#piece] !== 1) {
          this.#piece++;
          budget--;
        } else budget -= this.#step(fd, buffer);
      }
    } finally {
      closeSync(fd);
    }
    return this.#piece === pieces ? this.#found : undefined;
  }

  /** Up to one buffer of the current piece. @returns bytes read */
  #step(fd: number, buffer: Uint8Array): number {
    const start = this.#piece * this.#pieceLength;
    const pieceLength = Math.min(this.#pieceLength, this.#length - start);
    const length = Math.min(buffer.length, pieceLength - this.#offset);
    const bytes = buffer.subarray(0, length);
    readExactly(fd, bytes, length, start + this.#offset);
    this.#sum = crc32(bytes, this.#sum);
    this.#leaves?.add(bytes);
    this.#offset += length;
    if (this.#offset === pieceLength) this.#endPiece();
    return length;
  }

  #endPiece(): void {
    const { sums, layer } = this.#found;
    sums[this.#piece] = this.#sum;
    if (this.#leaves !== undefined) layer.set(this.#leaves.finish(this.#width), HASH_BYTES * this.#piece);
    this.#piece++;
    this.#offset = 0;
    this.#sum = 0;
  }
}
