/**
 * The work of the piece-hash worker: SHA-256 over 16 KiB leaves, folded up to one hash per piece (BEP 52). Owns nothing but
 * positions. Synchronous on purpose: it runs on a thread of its own.
 */
import { hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
// By their files: a thread is there in half the time.
import { pieceCountOf } from '@kraken/core/content/piece-count';
import {
  canHaveRoot,
  HASH_BYTES,
  layerBytes,
  LEAF_BYTES,
  leavesPerPiece,
  pieceHash,
  rootOfLayer,
  type Sha256Into,
} from '@kraken/core/content/piece-layer';
import { TruncatedError } from './hash-jobs.js';

/** Bytes of one turn of a long job: some 8 ms. */
const TURN_BYTES = 8 * 1024 * 1024;

/**
 * SHA-256 in one call, by way of a string of bytes. Measured: `crypto.hash` with a buffer as its result costs an eighth more
 * for a leaf and twice as much for a pair of hashes; an object of `createHash` more than that.
 */
export const sha256: Sha256Into = (message, target, at) => {
  const bytes = hash('sha256', message, 'binary');
  for (let i = 0; i < HASH_BYTES; i++) target[at + i] = bytes.charCodeAt(i);
};

/** Hashes of the leaves of one piece, collected while its bytes pass. */
export class LeafHashes {
  readonly #leaves: Uint8Array;
  #count = 0;
  /** The beginning of a leaf whose end has not come. */
  #begun: Uint8Array | undefined;
  #begunBytes = 0;

  constructor(pieceLength: number) {
    this.#leaves = new Uint8Array(HASH_BYTES * Math.ceil(pieceLength / LEAF_BYTES));
  }

  add(bytes: Uint8Array): void {
    let at = this.#begunBytes === 0 ? 0 : this.#goOn(bytes);
    for (; at + LEAF_BYTES <= bytes.length; at += LEAF_BYTES) this.#leaf(bytes.subarray(at, at + LEAF_BYTES));
    if (at < bytes.length) this.#goOn(bytes.subarray(at));
  }

  /** The hash of the piece; ready for the next one afterwards. */
  finish(width: number): Uint8Array {
    if (this.#begun !== undefined && this.#begunBytes > 0) this.#leaf(this.#begun.subarray(0, this.#begunBytes));
    const leaves = this.#leaves.subarray(0, HASH_BYTES * this.#count);
    this.#count = 0;
    this.#begunBytes = 0;
    return pieceHash(leaves, width, sha256);
  }

  /** Add to the leaf that has begun. @returns how many bytes were taken */
  #goOn(bytes: Uint8Array): number {
    const leaf = (this.#begun ??= new Uint8Array(LEAF_BYTES));
    const taken = Math.min(bytes.length, LEAF_BYTES - this.#begunBytes);
    leaf.set(bytes.subarray(0, taken), this.#begunBytes);
    this.#begunBytes += taken;
    if (this.#begunBytes === LEAF_BYTES) {
      this.#begunBytes = 0;
      this.#leaf(leaf);
    }
    return taken;
  }

  #leaf(bytes: Uint8Array): void {
    sha256(bytes, this.#leaves, HASH_BYTES * this.#count++);
  }
}

/** Root above a layer in hex; empty for a layer of another size, and for a blob that can have none. */
export function rootOf(layer: Uint8Array, length: number, pieceLength: number): string {
  const fits = canHaveRoot(length, pieceLength) && layer.length === layerBytes(length, pieceLength);
  return fits ? rootOfLayer(layer, length, pieceLength, sha256) : '';
}

/** @throws errno errors, TruncatedError */
export function hashPiece(fd: number, buffer: Uint8Array, position: number, length: number, width: number): Uint8Array {
  const leaves = new LeafHashes(length);
  for (let at = 0; at < length; at += buffer.length) {
    const bytes = Math.min(buffer.length, length - at);
    readExactly(fd, buffer, bytes, position + at);
    leaves.add(buffer.subarray(0, bytes));
  }
  return leaves.finish(width);
}

/** CRC-32 and hash of the pieces of a file, in turns, so that single pieces get their share of the thread. */
export class DescribeJob {
  readonly sums: Uint32Array;
  readonly layer: Uint8Array;
  readonly #path: string;
  readonly #length: number;
  readonly #pieceLength: number;
  readonly #claimed: Uint8Array | undefined;
  readonly #width: number;
  readonly #leaves: LeafHashes;
  #piece = 0;
  #offset = 0;
  #sum = 0;

  constructor(path: string, length: number, pieceLength: number, claimed: Uint8Array | undefined) {
    const pieces = pieceCountOf(length, pieceLength);
    this.#path = path;
    this.#length = length;
    this.#pieceLength = pieceLength;
    this.#claimed = claimed;
    this.#width = leavesPerPiece(length, pieceLength);
    this.#leaves = new LeafHashes(Math.min(length, pieceLength));
    this.sums = new Uint32Array(pieces);
    this.layer = new Uint8Array(HASH_BYTES * pieces);
  }

  /** @param buffer a multiple of a leaf @returns true when it is done @throws errno errors, TruncatedError */
  turn(buffer: Uint8Array): boolean {
    const fd = openSync(this.#path, 'r');
    try {
      for (let budget = TURN_BYTES; budget > 0 && this.#piece < this.sums.length;) {
        if (this.#claimed !== undefined && this.#claimed[this.#piece] !== 1) {
          this.#piece++;
          budget--;
        } else budget -= this.#step(fd, buffer);
      }
    } finally {
      closeSync(fd);
    }
    return this.#piece === this.sums.length;
  }

  #step(fd: number, buffer: Uint8Array): number {
    const start = this.#piece * this.#pieceLength;
    const pieceLength = Math.min(this.#pieceLength, this.#length - start);
    const length = Math.min(buffer.length, pieceLength - this.#offset);
    const bytes = buffer.subarray(0, length);
    readExactly(fd, bytes, length, start + this.#offset);
    this.#sum = crc32(bytes, this.#sum);
    this.#leaves.add(bytes);
    this.#offset += length;
    if (this.#offset === pieceLength) {
      this.sums[this.#piece] = this.#sum;
      this.layer.set(this.#leaves.finish(this.#width), HASH_BYTES * this.#piece);
      this.#piece++;
      this.#offset = 0;
      this.#sum = 0;
    }
    return length;
  }
}

function readExactly(fd: number, buffer: Uint8Array, length: number, position: number): void {
  for (let filled = 0; filled < length;) {
    const bytesRead = readSync(fd, buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new TruncatedError(`the file ends at byte ${position + filled}`);
    filled += bytesRead;
  }
}
