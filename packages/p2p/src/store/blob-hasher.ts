/** SHA-256 of whole blobs, on a hash thread. Owns nothing but how far each file has been passed on. */
import { expected, type HashThread } from './hash-thread.js';
import type { HashReply } from './hash-messages.js';

/** Progress of a followed file is passed on in steps of this size, so that small pieces do not cost a message each. */
const STEP_BYTES = 4 * 1024 * 1024;

/** Files that are followed while they grow, at a time. Guess: more than torrents in memory; the rest is for pieces. */
const FOLLOWED_MAX = 20_000;

export class BlobHasher {
  readonly #thread: HashThread;

  constructor(thread: HashThread) {
    this.#thread = thread;
  }

  /**
   * Start to follow a file once it has grown enough to be worth a thread; `undefined` before that, while too many jobs are
   * under way, and when no thread can be started: then the hash starts with {@link follow} at the end.
   */
  followGrown(path: string, end: number): HashFollower | undefined {
    return end < STEP_BYTES ? undefined : this.followAhead(path);
  }

  /** {@link followGrown} for a file of any size. */
  followAhead(path: string): HashFollower | undefined {
    if (this.#thread.jobCount >= FOLLOWED_MAX) return undefined;
    try {
      return this.follow(path);
    } catch {
      // Following is ahead of time. Whoever needs the hash is told by `follow` if it is still so.
      return undefined;
    }
  }

  /** SHA-256 of a file that grows. @throws KrakenError `queue-full`, `io-error` */
  follow(path: string): HashFollower {
    return new HashFollower(this.#thread, path);
  }
}

/** A SHA-256 that follows the growing verified prefix of one file. */
export class HashFollower {
  readonly #thread: HashThread;
  readonly #job: number;
  readonly #reply: Promise<HashReply>;
  #sentEnd = 0;

  /** Use {@link BlobHasher.follow}. */
  constructor(thread: HashThread, path: string) {
    this.#thread = thread;
    let settle: (reply: HashReply) => void = () => undefined;
    this.#reply = new Promise((resolve) => {
      settle = resolve;
    });
    this.#job = thread.begin((job) => ({ type: 'follow', job, path }), settle);
  }

  /** Bytes before this offset may have been read already. */
  get sentEnd(): number {
    return this.#sentEnd;
  }

  /** Its job where `thread` runs it: bytes that pass there need not be read from the file. */
  jobOn(thread: HashThread): number | undefined {
    return thread === this.#thread ? this.#job : undefined;
  }

  /** Bytes before `end` are final. */
  advance(end: number): void {
    if (end - this.#sentEnd < STEP_BYTES) return;
    this.#sentEnd = end;
    this.#thread.post({ type: 'extend', job: this.#job, end, last: false });
  }

  /** All bytes before `length` are final and the file ends there. @returns lower-case hex @throws KrakenError `io-error`, `content-truncated` */
  async finish(length: number): Promise<string> {
    this.#thread.post({ type: 'extend', job: this.#job, end: length, last: true });
    return expected('hashed', 'hash the blob', await this.#thread.awaited(this.#reply)).hex;
  }

  /** Nobody wants the result any more. */
  cancel(): void {
    this.#thread.cancel(this.#job);
  }
}
