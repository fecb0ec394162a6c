/** CRC-32, leaf hashes and roots of pieces, on a hash thread. Owns nothing. */
import { asKrakenError, type KrakenError } from '@kraken/core/errors';
import type { HashFollower } from './blob-hasher.js';
import type { Description } from './hash-jobs.js';
import { failureOf, type HashThread } from './hash-thread.js';
import { rootOf } from './leaf-hashes.js';

/** A layer up to this size, of 128 pieces, is folded here: half a millisecond, where a thread costs forty to start. */
const INLINE_LAYER_BYTES = 4096;

/** A piece that is hashed while its bytes pass. */
export interface PieceFeed {
  /**
   * The next bytes. They must stay as they are until `done`, which is never called from inside and gets the hash of the
   * piece after its last bytes.
   */
  add(bytes: Uint8Array, done: (error: KrakenError | undefined, hash: Uint8Array | undefined) => void): void;
  /** No more bytes will come. Calls of `done` that are owed still come. */
  cancel(): void;
}

/** The hash of a blob, and the piece that it may go on with as it passes. */
export interface Passing {
  readonly blob: HashFollower;
  /** First byte of the piece in the blob. */
  readonly start: number;
  /** Hash of the piece: with another one its bytes are not those of the blob. In memory of its own. */
  readonly expected: Uint8Array;
}

export class PieceHasher {
  readonly #thread: HashThread;

  constructor(thread: HashThread) {
    this.#thread = thread;
  }

  /**
   * Hash of one piece, out of a descriptor that stays open until `done`, which is never called from inside.
   * @param width leaves of a piece, missing ones counted
   */
  piece(
    piece: { fd: number; position: number; length: number; width: number },
    done: (error: KrakenError | undefined, hash: Uint8Array) => void,
  ): void {
    try {
      this.#thread.ask(
        (job) => ({ type: 'piece', job, ...piece }),
        (reply) => {
          if (reply.type === 'piece') done(undefined, reply.hash);
          else done(failureOf(reply, 'hash a piece'), new Uint8Array(0));
        },
      );
    } catch (error) {
      const failure = asKrakenError(error, 'io-error');
      queueMicrotask(() => done(failure, new Uint8Array(0)));
    }
  }

  /**
   * Hash of a piece whose bytes are in memory, while they pass.
   * @param width leaves of a piece, missing ones counted
   * @param passing the hash of the blob goes on with these bytes if it has come to their start and they prove right
   */
  feed(length: number, width: number, passing?: Passing): PieceFeed {
    const job = passing?.blob.jobOn(this.#thread);
    const follow =
      passing === undefined || job === undefined
        ? {}
        : { follow: { job, start: passing.start, expected: passing.expected } };
    const feed = this.#thread.nextNumber();
    let left = length;
    let isOpen = false;
    let isFirst = true;
    return {
      add: (bytes, done) => {
        left -= bytes.length;
        const last = left === 0;
        const first = isFirst;
        isFirst = false;
        isOpen = !last;
        try {
          this.#thread.ask(
            (job) => ({ type: 'bytes', job, feed, bytes, first, last, length, width, ...(first ? follow : {}) }),
            (reply) => {
              if (reply.type === 'piece') done(undefined, reply.hash);
              else if (reply.type === 'taken') done(undefined, undefined);
              else done(failureOf(reply, 'hash a piece'), undefined);
            },
          );
        } catch (error) {
          const failure = asKrakenError(error, 'io-error');
          queueMicrotask(() => done(failure, undefined));
        }
      },
      cancel: () => {
        if (isOpen) this.#thread.post({ type: 'forget', feed });
      },
    };
  }

  /** Root above a layer in hex; empty where {@link rootOf} says so. @throws KrakenError `queue-full`, `io-error` */
  async root(layer: Uint8Array, length: number, pieceLength: number): Promise<string> {
    if (layer.length <= INLINE_LAYER_BYTES) return rootOf(layer, length, pieceLength);
    return (
      await this.#thread.answer('root', 'hash pieces', (job) => ({ type: 'root', job, layer, length, pieceLength }))
    ).root;
  }

  /**
   * CRC-32 of each piece of a file, or of those whose byte in `claimed` is 1 (0 for the others).
   * @throws KrakenError `queue-full`, `io-error`, `content-truncated`
   */
  async sums(path: string, length: number, pieceLength: number, claimed?: Uint8Array): Promise<Uint32Array> {
    return (await this.#describe(path, length, pieceLength, false, claimed)).sums;
  }

  /** {@link sums} and the hash of each piece, in one pass. */
  describe(path: string, length: number, pieceLength: number, claimed?: Uint8Array): Promise<Description> {
    return this.#describe(path, length, pieceLength, true, claimed);
  }

  #describe(
    path: string,
    length: number,
    pieceLength: number,
    layer: boolean,
    claimed: Uint8Array | undefined,
  ): Promise<Description> {
    const of = { type: 'describe', path, length, pieceLength, layer } as const;
    return this.#thread.answer('described', 'check pieces', (job) => ({
      ...of,
      job,
      ...(claimed === undefined ? {} : { claimed }),
    }));
  }
}
