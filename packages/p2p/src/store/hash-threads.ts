/**
 * The hash threads of this process, shared by all stores: one for whole blobs and one for pieces and their sums, so that
 * neither waits for the other, or one for both where two more would only share two cores: that one hashes what passes in order for
 * both at once. Owns how many users they have.
 */
import { availableParallelism } from 'node:os';
import { BlobHasher, type HashFollower } from './blob-hasher.js';
import { HashThread } from './hash-thread.js';
import { PieceHasher } from './piece-hasher.js';

/** A start costs some 40 ms and 10 MiB: up to so many cores the second thread is not worth it. */
const ONE_THREAD_CORES_MAX = 2;

/** Ask for them with {@link HashThreads.shared}; `release` is owed. */
export class HashThreads {
  static #instance: HashThreads | undefined;
  readonly blobs: BlobHasher;
  readonly pieces: PieceHasher;
  /** One or two. */
  readonly threads: ReadonlySet<HashThread>;
  #users = 0;

  private constructor(cores: number) {
    const isOne = cores <= ONE_THREAD_CORES_MAX;
    const blobs = new HashThread(isOne ? 'kraken-hash' : 'kraken-hash-blobs');
    const pieces = isOne ? blobs : new HashThread('kraken-hash-pieces');
    this.threads = new Set([blobs, pieces]);
    this.blobs = new BlobHasher(blobs);
    this.pieces = new PieceHasher(pieces);
  }

  /** The threads of this process. @param cores counts for the first who asks */
  static shared(cores = availableParallelism()): HashThreads {
    HashThreads.#instance ??= new HashThreads(cores);
    HashThreads.#instance.#users++;
    return HashThreads.#instance;
  }

  /**
   * Start to follow a file before its first piece passes, where the thread that hashes the piece can go on with the blob. `undefined` where
   * each has a thread of its own (the blob is hashed from the file beside the pieces), and where {@link BlobHasher.followGrown} says so.
   */
  followPassing(path: string): HashFollower | undefined {
    return this.threads.size === 1 ? this.blobs.followAhead(path) : undefined;
  }

  /** A user less; the threads end with the last one. */
  async release(): Promise<void> {
    this.#users--;
    if (this.#users > 0) return;
    HashThreads.#instance = undefined;
    await Promise.all([...this.threads].map((thread) => thread.terminate()));
  }
}
