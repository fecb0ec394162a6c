/**
 * The store's side of the hash worker: one lazily started thread per process, shared by all stores. Owns the
 * thread, the table of jobs that wait for it and their limit. Keeps the process alive only while somebody
 * waits for a result.
 *
 * A thread that dies fails its jobs with `io-error`; the next job starts a new one.
 */
import { Worker } from 'node:worker_threads';
import { KrakenError } from '@kraken/core/errors';
import { diskError } from './disk-error.js';
import type { HashReply, HashRequest } from './hash-messages.js';

/** Jobs at a time; a job that follows a download takes a few hundred bytes. Guess: more than torrents in memory. */
const JOBS_MAX = 20_000;
/** Progress of a followed file is passed on in steps of this size, so that small pieces do not cost a message each. */
const STEP_BYTES = 4 * 1024 * 1024;

/** `code` of a failure that we caused ourselves. */
const CANCELLED = 'cancelled';

interface WaitingJob {
  settle(reply: HashReply): void;
}

/** Ask for it with {@link HashWorker.shared}; `release` is owed. */
export class HashWorker {
  static #instance: HashWorker | undefined;
  #stores = 0;
  #thread: Worker | undefined;
  #nextJob = 1;
  readonly #jobs = new Map<number, WaitingJob>();
  /** Results that somebody awaits: the thread is referenced while there are any. */
  #awaited = 0;

  /** The worker of this process. */
  static shared(): HashWorker {
    HashWorker.#instance ??= new HashWorker();
    HashWorker.#instance.#stores++;
    return HashWorker.#instance;
  }

  /** A store is closed; the thread ends with the last one. */
  async release(): Promise<void> {
    this.#stores--;
    if (this.#stores > 0) return;
    HashWorker.#instance = undefined;
    await this.#thread?.terminate();
  }

  /** Jobs under way. */
  get jobCount(): number {
    return this.#jobs.size;
  }

  /**
   * Start to follow a file once it has grown enough to be worth a thread; `undefined` before that, and while too many jobs
   * are under way: then the hash starts with {@link follow} at the end.
   */
  followGrown(path: string, end: number): HashFollower | undefined {
    return end < STEP_BYTES || this.#jobs.size >= JOBS_MAX ? undefined : new HashFollower(this, path);
  }

  /** SHA-256 of a file that grows. @throws KrakenError `queue-full` */
  follow(path: string): HashFollower {
    return new HashFollower(this, path);
  }

  /**
   * CRC-32 of each piece of a file, or of those whose byte in `claimed` is 1 (0 for the others).
   * @throws KrakenError `queue-full`, `io-error`, `content-truncated`
   */
  async sum(path: string, length: number, pieceLength: number, claimed?: Uint8Array): Promise<Uint32Array> {
    const reply = await this.awaited(
      new Promise<HashReply>((resolve) => {
        const job = this.start({ settle: resolve });
        this.post({ type: 'sum', job, path, length, pieceLength, ...(claimed === undefined ? {} : { claimed }) });
      }),
    );
    if (reply.type !== 'summed') throw failureOf(reply, 'check pieces');
    return reply.sums;
  }

  /** For followers: keep the process alive until `result` is there. */
  async awaited<T>(result: Promise<T>): Promise<T> {
    this.#awaited++;
    if (this.#awaited === 1) this.#thread?.ref();
    try {
      return await result;
    } finally {
      this.#awaited--;
      if (this.#awaited === 0) this.#thread?.unref();
    }
  }

  /** For followers: register a job. @throws KrakenError `queue-full` */
  start(job: WaitingJob): number {
    if (this.#jobs.size >= JOBS_MAX) throw new KrakenError('queue-full', `${JOBS_MAX} hash jobs are under way already`);
    const id = this.#nextJob++;
    this.#jobs.set(id, job);
    return id;
  }

  /** For followers: send to the thread, starting it when there is none. */
  post(request: HashRequest): void {
    const thread = (this.#thread ??= this.#startThread());
    thread.postMessage(request);
  }

  /** For followers: forget a job; who waits for it fails with `cancelled`. */
  cancel(job: number): void {
    const waiting = this.#jobs.get(job);
    if (waiting === undefined) return;
    this.#jobs.delete(job);
    this.#thread?.postMessage({ type: 'cancel', job } satisfies HashRequest);
    waiting.settle({ type: 'failed', job, code: CANCELLED, says: 'the hash job was cancelled' });
  }

  #startThread(): Worker {
    const thread = new Worker(new URL('./hash-worker-entry.js', import.meta.url), {
      name: 'kraken-hash',
      execArgv: [],
      // It makes little but garbage; by default a thread lets 16 MiB of it gather.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    if (this.#awaited === 0) thread.unref();
    thread.on('message', (reply: HashReply) => {
      const job = this.#jobs.get(reply.job);
      this.#jobs.delete(reply.job);
      job?.settle(reply);
    });
    thread.on('error', (error) => this.#lost(thread, error.message));
    thread.on('exit', () => this.#lost(thread, 'the hash worker ended'));
    return thread;
  }

  #lost(thread: Worker, says: string): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    for (const [job, waiting] of jobs) waiting.settle({ type: 'failed', job, code: undefined, says });
  }
}

/** A SHA-256 that follows the growing verified prefix of one file. */
export class HashFollower {
  readonly #worker: HashWorker;
  readonly #job: number;
  readonly #reply: Promise<HashReply>;
  #sentEnd = 0;

  /** Use {@link HashWorker.follow}. */
  constructor(worker: HashWorker, path: string) {
    this.#worker = worker;
    let settle: (reply: HashReply) => void = () => undefined;
    this.#reply = new Promise((resolve) => {
      settle = resolve;
    });
    this.#job = worker.start({ settle });
    worker.post({ type: 'follow', job: this.#job, path });
  }

  /** Bytes before this offset may have been read already. */
  get sentEnd(): number {
    return this.#sentEnd;
  }

  /** Bytes before `end` are final. */
  advance(end: number): void {
    if (end - this.#sentEnd < STEP_BYTES) return;
    this.#sentEnd = end;
    this.#worker.post({ type: 'extend', job: this.#job, end, last: false });
  }

  /** All bytes before `length` are final and the file ends there. @returns lower-case hex @throws KrakenError `io-error`, `content-truncated` */
  async finish(length: number): Promise<string> {
    this.#worker.post({ type: 'extend', job: this.#job, end: length, last: true });
    const reply = await this.#worker.awaited(this.#reply);
    if (reply.type !== 'hashed') throw failureOf(reply, 'hash the blob');
    return reply.hex;
  }

  /** Nobody wants the result any more. */
  cancel(): void {
    this.#worker.cancel(this.#job);
  }
}

function failureOf(reply: HashReply, doing: string): KrakenError {
  if (reply.type !== 'failed') return new KrakenError('internal', `${doing}: the worker answered ${reply.type}`);
  if (reply.code === CANCELLED) return new KrakenError('cancelled', reply.says);
  if (reply.code === 'content-truncated') return new KrakenError('content-truncated', `${doing}: ${reply.says}`);
  return diskError(Object.assign(new Error(reply.says), { code: reply.code }), doing);
}
