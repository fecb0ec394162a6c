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
  #thread: Worker | undefined;
  #nextJob = 1;
  readonly #jobs = new Map<number, (reply: HashReply) => void>();
  /** Answers that somebody waits for: the thread is referenced while there are any. */
  #awaited = 0;

  /** Whether there is room for one more job. */
  get hasRoom(): boolean {
    return this.#jobs.size < JOBS_MAX;
  }

  /** Jobs under way. */
  get jobCount(): number {
    return this.#jobs.size;
  }

  /** A number that no job has. */
  number(): number {
    return this.#nextJob++;
  }

  /** Register a job, which {@link post} begins. @returns its number @throws KrakenError `queue-full` */
  open(settle: (reply: HashReply) => void): number {
    if (!this.hasRoom) throw new KrakenError('queue-full', `${JOBS_MAX} hash jobs are under way already`);
    const job = this.number();
    this.#jobs.set(job, settle);
    return job;
  }

  /** Send to the thread, starting it when there is none. @throws what starting a thread throws */
  post(request: HashRequest): void {
    this.#thread ??= this.#start();
    this.#thread.postMessage(request);
  }

  /** Send what is of no use to a thread that has yet to start. */
  postIfThere(request: HashRequest): void {
    this.#thread?.postMessage(request);
  }

  /** Register a job whose answer is waited for, and begin it. @throws KrakenError `queue-full`; what starting a thread throws */
  ask(request: (job: number) => HashRequest, settle: (reply: HashReply) => void): void {
    const job = this.open((reply) => {
      this.#await(-1);
      settle(reply);
    });
    this.#await(1);
    try {
      this.post(request(job));
    } catch (error) {
      this.#jobs.delete(job);
      this.#await(-1);
      throw error;
    }
  }

  /** {@link ask}, for one kind of answer. @throws KrakenError `queue-full`, `io-error`, `content-truncated` */
  async answer<T extends HashReply['type']>(type: T, request: (job: number) => HashRequest): Promise<ReplyOf<T>> {
    const reply = await new Promise<HashReply>((resolve) => this.ask(request, resolve));
    return expected(type, reply);
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
    this.postIfThere({ type: 'cancel', job });
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
    const thread = new Worker(new URL('./hash-thread-entry.js', import.meta.url), {
      name: 'kraken-hash',
      execArgv: [],
      // It makes little but garbage; by default a thread lets 16 MiB of it gather.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
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

  #lost(thread: Worker, says: string): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    for (const [job, settle] of jobs) settle({ type: 'failed', job, code: undefined, says });
  }
}

/** @throws KrakenError `io-error`, `content-truncated`, `cancelled` for a failure; `internal` for another answer than `type` */
export function expected<T extends HashReply['type']>(type: T, reply: HashReply): ReplyOf<T> {
  if (reply.type !== type) throw failureOf(reply);
  return reply as ReplyOf<T>;
}

/** What went wrong, when `reply` is not what was asked for. */
export function failureOf(reply: HashReply): KrakenError {
  const doing = 'hash';
  if (reply.type !== 'failed') return new KrakenError('internal', `${doing}: the thread answered ${reply.type}`);
  if (reply.code === CANCELLED) return new KrakenError('cancelled', reply.says);
  if (reply.code === 'content-truncated') return new KrakenError('content-truncated', `${doing}: ${reply.says}`);
  return diskError(Object.assign(new Error(reply.says), { code: reply.code }), doing);
}
