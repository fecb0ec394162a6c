/**
 * A lazily started thread that hashes. Owns the thread, the jobs that wait for it and their limit. Keeps the process alive
 * only while somebody waits for an answer.
 *
 * A thread that dies fails its jobs with `io-error`; the next job starts a new one.
 */
import { Worker } from 'node:worker_threads';
import { KrakenError } from '@kraken/core/errors';
import { diskError } from './disk-error.js';
import type { HashReply, HashRequest } from './hash-messages.js';

/** Jobs at a time, of a few hundred bytes. Guess: the pieces in flight of more connections than a node may have. */
const JOBS_MAX = 50_000;

/** `code` of a failure that we caused ourselves. */
const CANCELLED = 'cancelled';

type ReplyOf<T extends HashReply['type']> = Extract<HashReply, { type: T }>;

export class HashThread {
  readonly #name: string;
  #thread: Worker | undefined;
  #nextNumber = 1;
  readonly #jobs = new Map<number, (reply: HashReply) => void>();
  /** Answers that somebody waits for: the thread is referenced while there are any. */
  #awaited = 0;

  /** @param name of the thread, for debuggers */
  constructor(name: string) {
    this.#name = name;
  }

  /** Jobs under way. */
  get jobCount(): number {
    return this.#jobs.size;
  }

  /** A number that no job has and no piece that passes. */
  nextNumber(): number {
    return this.#nextNumber++;
  }

  /** Begin a job. @returns its number @throws KrakenError `queue-full`; `io-error` when no thread can be started */
  begin(request: (job: number) => HashRequest, settle: (reply: HashReply) => void): number {
    if (this.#jobs.size >= JOBS_MAX) throw new KrakenError('queue-full', `${JOBS_MAX} hash jobs are under way already`);
    const job = this.nextNumber();
    this.#thread ??= this.#start();
    this.#thread.postMessage(request(job));
    this.#jobs.set(job, settle);
    return job;
  }

  /** {@link begin}, and keep the process alive until the answer is there. */
  ask(request: (job: number) => HashRequest, settle: (reply: HashReply) => void): void {
    this.begin(request, (reply) => {
      this.#await(-1);
      settle(reply);
    });
    this.#await(1);
  }

  /** {@link ask}, for one kind of answer. @throws KrakenError as {@link begin} and {@link expected} */
  async answer<T extends HashReply['type']>(
    type: T,
    doing: string,
    request: (job: number) => HashRequest,
  ): Promise<ReplyOf<T>> {
    return expected(type, doing, await new Promise<HashReply>((resolve) => this.ask(request, resolve)));
  }

  /** Send something about a job that was begun. With a thread that died its jobs have failed, and nothing is sent. */
  post(request: HashRequest): void {
    this.#thread?.postMessage(request);
  }

  /** Keep the process alive until `result` is there. */
  async awaited<T>(result: Promise<T>): Promise<T> {
    this.#await(1);
    try {
      return await result;
    } finally {
      this.#await(-1);
    }
  }

  /** Forget a job; who waits for it fails with `cancelled`. */
  cancel(job: number): void {
    const settle = this.#jobs.get(job);
    if (settle === undefined) return;
    this.#jobs.delete(job);
    this.post({ type: 'cancel', job });
    settle({ type: 'failed', job, code: CANCELLED, says: 'the hash job was cancelled' });
  }

  /** End the thread. Who waits for it fails with `io-error`. */
  async terminate(): Promise<void> {
    await this.#thread?.terminate();
  }

  #await(change: 1 | -1): void {
    this.#awaited += change;
    if (this.#awaited === 0) this.#thread?.unref();
    else if (this.#awaited === 1 && change === 1) this.#thread?.ref();
  }

  #start(): Worker {
    const thread = this.#started();
    if (this.#awaited === 0) thread.unref();
    thread.on('message', (reply: HashReply) => {
      const settle = this.#jobs.get(reply.job);
      this.#jobs.delete(reply.job);
      settle?.(reply);
    });
    thread.on('error', (error) => this.#lost(thread, error.message));
    thread.on('exit', () => this.#lost(thread, 'the hash thread ended'));
    return thread;
  }

  #started(): Worker {
    try {
      return new Worker(new URL('./hash-thread-entry.js', import.meta.url), {
        name: this.#name,
        execArgv: [],
        // It makes little but garbage; by default a thread lets 16 MiB of it gather.
        resourceLimits: { maxYoungGenerationSizeMb: 2 },
      });
    } catch (error) {
      throw new KrakenError('io-error', 'start a hash thread', { cause: error });
    }
  }

  #lost(thread: Worker, says: string): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    for (const [job, settle] of jobs) settle({ type: 'failed', job, code: undefined, says });
  }
}

/** @throws KrakenError `io-error`, `content-truncated`, `cancelled` for a failure; `internal` for another answer than `type` */
export function expected<T extends HashReply['type']>(type: T, doing: string, reply: HashReply): ReplyOf<T> {
  if (reply.type !== type) throw failureOf(reply, doing);
  return reply as ReplyOf<T>;
}

/** What went wrong while `doing`, when `reply` is not what was asked for. */
export function failureOf(reply: HashReply, doing: string): KrakenError {
  if (reply.type !== 'failed') return new KrakenError('internal', `${doing}: the thread answered ${reply.type}`);
  if (reply.code === CANCELLED) return new KrakenError('cancelled', reply.says);
  if (reply.code === 'content-truncated') return new KrakenError('content-truncated', `${doing}: ${reply.says}`);
  return diskError(Object.assign(new Error(reply.says), { code: reply.code }), doing);
}
