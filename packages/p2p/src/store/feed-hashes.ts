/**
 * The thread's side of a piece that is hashed while its bytes pass: its leaves, and the hash of its blob if that has come to its
 * start. Owns both until the piece ends.
 */
import type { Hash } from 'node:crypto';
import type { FollowJob } from './hash-jobs.js';
import { CACHED_BYTES, LeafHashes } from './leaf-hashes.js';

/** The hash of the blob that a piece belongs to. */
export interface PassedBlob {
  readonly job: FollowJob;
  /** First byte of the piece in the blob. */
  readonly start: number;
  /** Hash that the piece must have. */
  readonly expected: Uint8Array;
}

export class FeedHashes {
  readonly #length: number;
  readonly #width: number;
  readonly #leaves: LeafHashes;
  readonly #blob: PassedBlob | undefined;
  readonly #branch: Hash | undefined;

  /** @param width leaves of a piece, missing ones counted */
  constructor(length: number, width: number, blob: PassedBlob | undefined) {
    this.#length = length;
    this.#width = width;
    this.#leaves = new LeafHashes(length);
    this.#blob = blob;
    this.#branch = blob?.job.branch(blob.start);
  }

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += CACHED_BYTES) {
      const some = bytes.subarray(at, at + CACHED_BYTES);
      this.#leaves.add(some);
      this.#branch?.update(some);
    }
  }

  /** All bytes are there. @returns hash of the piece; if it is the expected one, the hash of the blob has gone on behind it */
  finish(): Uint8Array {
    const hash = this.#leaves.finish(this.#width);
    if (this.#blob !== undefined && this.#branch !== undefined && Buffer.compare(hash, this.#blob.expected) === 0) {
      const { job, start } = this.#blob;
      job.adopt(this.#branch, start, start + this.#length);
    }
    return hash;
  }
}
