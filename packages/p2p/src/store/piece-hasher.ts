/**
 * The store's side of the piece-hash worker: one lazily started thread per process, shared by all stores, beside the one
 * that hashes whole blobs, so that neither waits for the other. Owns the thread, the jobs that wait for it and their
 * limit. Keeps the process alive only while somebody waits.
 *
 * A thread that dies fails its jobs with `io-error`; the next job starts a new one.
 */
import { Worker } from 'node:worker_threads';
import { KrakenError } from '@kraken/core/errors';
import { diskError } from './disk-error.js';
import { rootOf } from './piece-hash-jobs.js';
import type { PieceHashReply, PieceHashRequest } from './piece-hash-messages.js';

/** Jobs at a time. Guess: the pieces in flight of more connections than a node may have. */
const JOBS_MAX = 50_000;

/** A layer up to this size, of 128 pieces, is folded here: half a millisecond, where a thread costs forty to start. */
const INLINE_LAYER_BYTES = 4096;

type ReplyOf<T extends PieceHashReply['type']> = Extract<PieceHashReply, { type: T }>;
type Unnumbered<R> = R extends PieceHashRequest ? Omit<R, 'job'> : never;

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

/** Ask for it with {@link PieceHasher.shared}; `release` is owed. */
export class PieceHasher {
  static #instance: PieceHasher | undefined;
  #stores = 0;
  #thread: Worker | undefined;
  #nextJob = 1;
  readonly #jobs = new Map<number, (reply: PieceHashReply) => void>();

  /** The worker of this process. */
  static shared(): PieceHasher {
    PieceHasher.#instance ??= new PieceHasher();
    PieceHasher.#instance.#stores++;
    return PieceHasher.#instance;
  }

  /** A store is closed; the thread ends with the last one. */
  async release(): Promise<void> {
    this.#stores--;
    if (this.#stores > 0) return;
    PieceHasher.#instance = undefined;
    await this.#thread?.terminate();
  }

  /**
   * Hash of one piece, out of a descriptor that stays open until `done`, which is never called from inside.
   * @param width leaves of a piece, missing ones counted
   */
  piece(
    piece: { fd: number; position: number; length: number; width: number },
    done: (error: KrakenError | undefined, hash: Uint8Array) => void,
  ): void {
    const settle = (reply: PieceHashReply): void => {
      if (reply.type === 'piece') done(undefined, reply.hash);
      else done(failureOf(reply, 'hash a piece'), new Uint8Array(0));
    };
    try {
      this.#start({ type: 'piece', ...piece }, settle);
    } catch (error) {
      queueMicrotask(() => done(startFailure(error), new Uint8Array(0)));
    }
  }

  /**
   * Hash of a piece whose bytes are in memory, while they pass.
   * @param width leaves of a piece, missing ones counted
   */
  feed(length: number, width: number): PieceFeed {
    const feed = this.#nextJob++;
    let left = length;
    let isOpen = false;
    return {
      add: (bytes, done) => {
        left -= bytes.length;
        const last = left === 0;
        isOpen = !last;
        const settle = (reply: PieceHashReply): void => {
          if (reply.type === 'piece') done(undefined, reply.hash);
          else if (reply.type === 'taken') done(undefined, undefined);
          else done(failureOf(reply, 'hash a piece'), undefined);
        };
        try {
          this.#start({ type: 'bytes', feed, bytes, last, length, width }, settle);
        } catch (error) {
          queueMicrotask(() => done(startFailure(error), undefined));
        }
      },
      cancel: () => {
        if (isOpen) this.#thread?.postMessage({ type: 'forget', job: 0, feed } satisfies PieceHashRequest);
      },
    };
  }

  /** Root above a layer in hex; empty where {@link rootOf} says so. @throws KrakenError `queue-full`, `io-error` */
  async root(layer: Uint8Array, length: number, pieceLength: number): Promise<string> {
    if (layer.length <= INLINE_LAYER_BYTES) return rootOf(layer, length, pieceLength);
    return (await this.#ask('root', { type: 'root', layer, length, pieceLength })).root;
  }

  /**
   * CRC-32 and hash of each piece of a file in one pass, or of those whose byte in `claimed` is 1 (0 for the others).
   * @throws KrakenError `queue-full`, `io-error`, `content-truncated`
   */
  async describe(
    path: string,
    length: number,
    pieceLength: number,
    claimed?: Uint8Array,
  ): Promise<{ readonly sums: Uint32Array; readonly layer: Uint8Array }> {
    return this.#ask('file', {
      type: 'file',
      path,
      length,
      pieceLength,
      ...(claimed === undefined ? {} : { claimed }),
    });
  }

  async #ask<T extends PieceHashReply['type']>(type: T, request: Unnumbered<PieceHashRequest>): Promise<ReplyOf<T>> {
    const reply = await new Promise<PieceHashReply>((resolve) => this.#start(request, resolve));
    if (reply.type !== type) throw failureOf(reply, 'hash pieces');
    return reply as ReplyOf<T>;
  }

  /** @throws KrakenError `queue-full`; what starting a thread throws */
  #start(request: Unnumbered<PieceHashRequest>, settle: (reply: PieceHashReply) => void): void {
    if (this.#jobs.size >= JOBS_MAX) throw new KrakenError('queue-full', `${JOBS_MAX} hash jobs are under way already`);
    const thread = (this.#thread ??= this.#startThread());
    const job = this.#nextJob++;
    if (this.#jobs.size === 0) thread.ref();
    this.#jobs.set(job, settle);
    thread.postMessage({ ...request, job } satisfies PieceHashRequest);
  }

  #startThread(): Worker {
    const thread = new Worker(new URL('./piece-hash-entry.js', import.meta.url), {
      name: 'kraken-piece-hash',
      execArgv: [],
      // It makes little but garbage; by default a thread lets 16 MiB of it gather.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    thread.unref();
    thread.on('message', (reply: PieceHashReply) => {
      const settle = this.#jobs.get(reply.job);
      this.#jobs.delete(reply.job);
      if (this.#jobs.size === 0) thread.unref();
      settle?.(reply);
    });
    thread.on('error', (error) => this.#lost(thread, error.message));
    thread.on('exit', () => this.#lost(thread, 'the piece-hash worker ended'));
    return thread;
  }

  #lost(thread: Worker, says: string): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    for (const [job, settle] of jobs) settle({ type: 'failed', job, code: undefined, says });
  }
}

/** A thread that could not be started, or too many jobs. */
function startFailure(error: unknown): KrakenError {
  return error instanceof KrakenError ? error : new KrakenError('io-error', 'hash a piece', { cause: error });
}

function failureOf(reply: PieceHashReply, doing: string): KrakenError {
  if (reply.type !== 'failed') return new KrakenError('internal', `${doing}: the worker answered ${reply.type}`);
  if (reply.code === 'content-truncated') return new KrakenError('content-truncated', `${doing}: ${reply.says}`);
  return diskError(Object.assign(new Error(reply.says), { code: reply.code }), doing);
}
