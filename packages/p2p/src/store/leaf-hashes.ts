/**
 * SHA-256 over 16 KiB leaves, folded up to one hash per piece (BEP 52). Owns the leaves of the piece that passes.
 * Synchronous on purpose: all but small things run on a thread of their own.
 */
import { hash } from 'node:crypto';
// By its file: a thread is there in half the time.
import {
  canHaveRoot,
  HASH_BYTES,
  layerBytes,
  LEAF_BYTES,
  pieceHash,
  rootOfLayer,
  type Sha256Into,
} from '@kraken/core/content/piece-layer';
import { readExactly } from './read-exactly.js';

/**
 * A multiple of a leaf. So many bytes stay in a core's own cache between reading and hashing, and between two hashes: reading
 * 256 KiB cost 3 % more.
 */
export const CACHED_BYTES = 128 * 1024;

/**
 * SHA-256 in one call, by way of a string of bytes. Measured: `crypto.hash` with a buffer as its result costs an eighth more
 * for a leaf and twice as much for a pair of hashes; an object of `createHash` more than that.
 */
const sha256: Sha256Into = (message, target, at) => {
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
