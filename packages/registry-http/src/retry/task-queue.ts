/**
 * A persisted retry queue (Kraken: persistedretry): keyed tasks that survive any crash and are run until they succeed.
 *
 * Owns the tasks, when each is due, the workers and the counters. Never knows what a task does: the executor is given.
 * `add` resolves when the task is on disk; `execute` may run more than once for one task and must tolerate it.
 * Source: spec origin-store-backends.md §6, index-proxy-registry-config.md §2.6; unlike Go the delay grows with the
 * failures, due times are kept instead of polled, and the key says everything that makes two tasks the same.
 */
import { detached } from '@kraken/core/content';
import { asKrakenError, KrakenError } from '@kraken/core/errors';
import { silentLogger, silentMetrics, type Logger, type Metrics } from '@kraken/core/ports';

import { Random, RetrySchedule } from '@kraken/core/retry';
import { randomInt } from 'node:crypto';
import { sleep, systemClock, type CancelTimer, type Clock } from './clock.js';
import { DueHeap } from './due-heap.js';
import { Journal, type JournalRecord } from './journal.js';

/** What a task carries: a plain JSON object. */
export type TaskPayload = Readonly<Record<string, unknown>>;

/** A task as others see it. */
export interface TaskView<T extends TaskPayload> {
  readonly key: string;
  readonly payload: T;
  readonly createdAtMs: number;
  readonly dueAtMs: number;
  readonly failures: number;
  /** Text of the last failure, for operators. */
  readonly lastError: string | undefined;
  readonly running: boolean;
}

/** What a queue does, and where it is kept. */
export interface TaskQueueOptions<T extends TaskPayload> {
  /** Journal file; its folder is made. One queue per file. */
  readonly path: string;
  /** Name in logs and metrics, e.g. `writeback`. */
  readonly name: string;
  /** Do the work. A rejection schedules the task again; `signal` aborts when the queue is closed by force. */
  readonly execute: (task: TaskView<T>, signal: AbortSignal) => Promise<void>;
  /** A payload read from disk, checked; `undefined` drops the task with a warning. */
  readonly decode: (payload: TaskPayload) => T | undefined;
  /** When a failed task runs again. Default: core's schedule for stored tasks, 30 s growing to 10 min. */
  readonly schedule?: RetrySchedule;
  /** For the jitter of waits. */
  readonly random?: Random;
  /** Tasks that run at the same time. Default 6 (Kraken: 4 incoming and 2 retry workers). */
  readonly workers?: number;
  /** Tasks that may exist. Default 200,000 (a guess: about 100 MB of memory). */
  readonly maxTasks?: number;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** When a new task may run. */
export interface AddOptions {
  /** Not before so many milliseconds from now. Default 0. */
  readonly delayMs?: number;
  /** Durable, but not run in this process before `release`. A restart forgets the hold. */
  readonly held?: boolean;
}

interface Task<T extends TaskPayload> {
  readonly key: string;
  payload: T;
  createdAtMs: number;
  dueAtMs: number;
  failures: number;
  lastError: string | undefined;
  held: boolean;
  running: Promise<void> | undefined;
  /** Added again while it ran: what the run saw may be out of date, so it runs once more. */
  again: boolean;
  removed: boolean;
  /** On disk. Shared by all who add the same task meanwhile. */
  stored: Promise<void>;
}

/** How long an aborted task may take to stop. */
const ABORT_GRACE_MS = 1000;
/** Characters of the last error of a task: upstreams may send pages. */
const ERROR_LENGTH_MAX = 1000;
/** Below this size a journal is never compacted. */
const COMPACT_MIN_BYTES = 64 * 1024;

/** A queue of tasks that survives the process; each is tried until it succeeds. */
export class TaskQueue<T extends TaskPayload> {
  readonly #options: TaskQueueOptions<T>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #schedule: RetrySchedule;
  readonly #random: Random;
  readonly #workers: number;
  readonly #maxTasks: number;
  readonly #tasks = new Map<string, Task<T>>();
  readonly #due = new DueHeap<Task<T>>();
  readonly #abort = new AbortController();
  #journal: Journal | undefined;
  /** Records in the journal file; those beyond one per task are garbage. */
  #journalRecords = 0;
  #running = 0;
  #cancelTimer: CancelTimer | undefined;
  #started = false;
  #closed = false;

  private constructor(options: TaskQueueOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
    this.#schedule = options.schedule ?? new RetrySchedule();
    this.#random = options.random ?? new Random(randomInt(2 ** 32));
    this.#workers = options.workers ?? 6;
    this.#maxTasks = options.maxTasks ?? 200_000;
  }

  /** Read what a previous process left. Nothing runs before `start`. @throws KrakenError `io-error` */
  static async open<T extends TaskPayload>(options: TaskQueueOptions<T>): Promise<TaskQueue<T>> {
    const queue = new TaskQueue(options);
    const { journal, records, damaged } = await Journal.open(options.path, () => queue.#snapshot());
    queue.#journal = journal;
    for (const record of records) queue.#replay(record);
    queue.#restore();
    queue.#journalRecords = records.length;
    if (damaged > 0)
      queue.#logger.error({ queue: options.name, path: options.path, damaged }, 'retry journal has damaged records');
    if (damaged > 0 || records.length > 2 * queue.#tasks.size) await queue.#compact();
    return queue;
  }

  /** Tasks that are not done. */
  get size(): number {
    return this.#tasks.size;
  }

  /** Let the workers run. */
  start(): void {
    if (this.#started || this.#closed) return;
    this.#started = true;
    for (const task of this.#tasks.values()) if (!task.held) this.#due.push(task.dueAtMs, task);
    this.#pump();
  }

  /**
   * Add a task; durable when it resolves. A task with this key that exists is kept as it is; one that is running runs again.
   * @returns false when it existed
   * @throws KrakenError `queue-full`, `shutting-down`, `disk-full`, `io-error`
   */
  async add(key: string, payload: T, options: AddOptions = {}): Promise<boolean> {
    if (this.#closed) throw new KrakenError('shutting-down', `retry queue ${this.#options.name} is closed`);
    const existing = this.#tasks.get(key);
    if (existing !== undefined) {
      if (existing.running !== undefined) existing.again = true;
      await existing.stored;
      return false;
    }
    if (this.#tasks.size >= this.#maxTasks) {
      this.#metrics.count('kraken_retry_dropped_total', 1, { queue: this.#options.name, reason: 'queue-full' });
      throw new KrakenError('queue-full', `retry queue ${this.#options.name} holds ${this.#maxTasks} tasks`);
    }
    const now = this.#clock.nowMs();
    const task: Task<T> = {
      key,
      payload,
      createdAtMs: now,
      dueAtMs: now + (options.delayMs ?? 0),
      failures: 0,
      lastError: undefined,
      held: options.held ?? false,
      running: undefined,
      again: false,
      removed: false,
      stored: Promise.resolve(),
    };
    this.#tasks.set(key, task);
    task.stored = this.#append(putRecord(task));
    try {
      await task.stored;
    } catch (error) {
      // Not promised to anybody: forget it, so that a later add tries the disk again.
      if (this.#tasks.get(key) === task) this.#tasks.delete(key);
      task.removed = true;
      throw error;
    }
    this.#metrics.count('kraken_retry_added_total', 1, { queue: this.#options.name });
    this.#gauge();
    if (!task.held) this.#enqueue(task);
    return true;
  }

  /** End the hold of `add`. */
  release(key: string): void {
    const task = this.#tasks.get(key);
    if (task?.held !== true) return;
    task.held = false;
    this.#enqueue(task);
  }

  /** Forget a task that is not running. @returns false when there was none or it runs */
  async remove(key: string): Promise<boolean> {
    const task = this.#tasks.get(key);
    if (task === undefined || task.running !== undefined) return false;
    await this.#forget(task);
    return true;
  }

  /** The task with this key; `undefined` when there is none. */
  get(key: string): TaskView<T> | undefined {
    const task = this.#tasks.get(key);
    return task === undefined ? undefined : view(task);
  }

  /** Every task that is not done, oldest first. */
  *tasks(): Generator<TaskView<T>, void> {
    for (const task of this.#tasks.values()) yield view(task);
  }

  /**
   * Run a task now, whatever its due time, or wait for the run that is under way.
   * @returns false when there is no such task
   * @throws whatever the executor threw; the task stays
   */
  async runNow(key: string): Promise<boolean> {
    const task = this.#tasks.get(key);
    if (task === undefined) return false;
    await task.stored;
    if (task.removed) return false;
    await (task.running ?? this.#run(task));
    return true;
  }

  /** Stop taking tasks, let running ones finish for `graceMs`, then abort them. Everything else waits on disk. */
  async close(graceMs = 10_000): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer?.();
    const running = Array.from(this.#tasks.values(), (task) => task.running).filter((run) => run !== undefined);
    const cancel = this.#clock.after(graceMs, () => {
      this.#abort.abort(new KrakenError('shutting-down'));
    });
    const stopped = Promise.allSettled(running);
    // An executor that ignores the abort must not keep the process: its task is still on disk.
    const tooLong = sleep(this.#clock, graceMs + ABORT_GRACE_MS);
    await Promise.race([stopped, tooLong]);
    cancel();
    await this.#journal?.close();
  }

  #replay(record: JournalRecord): void {
    const { op, key } = record;
    if (typeof key !== 'string') return;
    const existing = this.#tasks.get(key);
    if (op === 'del') {
      this.#tasks.delete(key);
      return;
    }
    if (op === 'fail' && existing !== undefined) {
      existing.failures = number(record.failures, existing.failures);
      existing.dueAtMs = number(record.due, existing.dueAtMs);
      existing.lastError = typeof record.error === 'string' ? record.error : undefined;
      return;
    }
    if (op !== 'put') return;
    const payload =
      typeof record.payload === 'object' && record.payload !== null
        ? this.#options.decode(record.payload as TaskPayload)
        : undefined;
    if (payload === undefined) {
      this.#logger.warn({ queue: this.#options.name, key }, 'retry task with an unknown payload dropped');
      return;
    }
    const createdAtMs = number(record.created, this.#clock.nowMs());
    this.#tasks.set(key, {
      key,
      payload,
      createdAtMs,
      dueAtMs: number(record.due, createdAtMs),
      failures: number(record.failures, 0),
      lastError: typeof record.error === 'string' ? record.error : undefined,
      held: false,
      running: undefined,
      again: false,
      removed: false,
      stored: Promise.resolve(),
    });
  }

  /** Waits that only a changed clock or schedule explains are cut. */
  #restore(): void {
    const now = this.#clock.nowMs();
    for (const task of this.#tasks.values()) {
      task.dueAtMs = this.#schedule.restored(
        { attempts: task.failures, nextAttemptAtMs: task.dueAtMs },
        now,
      ).nextAttemptAtMs;
    }
  }

  *#snapshot(): Generator<JournalRecord, void> {
    let count = 0;
    for (const task of this.#tasks.values()) {
      count++;
      yield putRecord(task);
    }
    this.#journalRecords = count;
  }

  async #append(record: JournalRecord): Promise<void> {
    const journal = this.#journal;
    if (journal === undefined) throw new KrakenError('internal', 'retry queue is not open');
    this.#journalRecords++;
    await journal.append(record);
  }

  async #compact(): Promise<void> {
    await this.#journal?.compact();
  }

  #enqueue(task: Task<T>): void {
    if (!this.#started) return;
    this.#due.push(task.dueAtMs, task);
    this.#pump();
  }

  /** Start what is due while workers are free; set the timer for the next one. */
  #pump(): void {
    if (this.#closed || !this.#started) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (;;) {
      const next = this.#due.peek();
      if (next === undefined) return;
      const { item: task, dueAtMs } = next;
      // Stale: done, running, held again, or pushed again with another time.
      if (task.removed || task.running !== undefined || task.held || task.dueAtMs !== dueAtMs) {
        this.#due.pop();
        continue;
      }
      if (this.#running >= this.#workers) return;
      const waitMs = dueAtMs - this.#clock.nowMs();
      if (waitMs > 0) {
        this.#cancelTimer = this.#clock.after(waitMs, () => {
          this.#pump();
        });
        return;
      }
      this.#due.pop();
      this.#running++;
      this.#run(task).then(
        () => {
          this.#running--;
          this.#pump();
        },
        () => {
          // Logged and rescheduled by #run.
          this.#running--;
          this.#pump();
        },
      );
    }
  }

  #run(task: Task<T>): Promise<void> {
    const run = this.#execute(task).finally(() => {
      task.running = undefined;
      if (!task.removed) this.#enqueue(task);
    });
    task.running = run;
    return run;
  }

  async #execute(task: Task<T>): Promise<void> {
    const labels = { queue: this.#options.name };
    task.again = false;
    try {
      await this.#options.execute(view(task), this.#abort.signal);
    } catch (error) {
      if (this.#abort.signal.aborted) throw error;
      const before = { attempts: task.failures, nextAttemptAtMs: task.dueAtMs };
      const { type, state } = this.#schedule.failed(before, this.#clock.nowMs(), this.#random);
      task.failures = state.attempts;
      task.dueAtMs = type === 'give-up' ? Number.MAX_SAFE_INTEGER : state.nextAttemptAtMs;
      task.lastError = detached((error instanceof Error ? error.message : String(error)).slice(0, ERROR_LENGTH_MAX));
      this.#metrics.count('kraken_retry_failures_total', 1, labels);
      this.#logger.warn(
        { ...labels, key: task.key, failures: task.failures, dueAtMs: task.dueAtMs, err: error },
        'retry task failed',
      );
      // The count of failures is a hint: losing it in a crash only retries sooner.
      this.#append({
        op: 'fail',
        key: task.key,
        failures: task.failures,
        due: task.dueAtMs,
        error: task.lastError,
      }).catch((cause: unknown) => {
        this.#logger.error({ ...labels, err: cause }, 'retry journal cannot be written');
      });
      throw asKrakenError(error, 'internal');
    }
    this.#metrics.count('kraken_retry_done_total', 1, labels);
    this.#metrics.observe('kraken_retry_lifetime_seconds', (this.#clock.nowMs() - task.createdAtMs) / 1000, labels);
    // The type checker cannot see that `add` may have set it meanwhile.
    if (task.again as boolean) {
      task.dueAtMs = this.#clock.nowMs();
      return;
    }
    await this.#forget(task);
  }

  async #forget(task: Task<T>): Promise<void> {
    if (task.removed) return;
    task.removed = true;
    if (this.#tasks.get(task.key) === task) this.#tasks.delete(task.key);
    this.#gauge();
    try {
      await this.#append({ op: 'del', key: task.key });
    } catch (error) {
      // The task runs once more after a restart, which executors tolerate.
      this.#logger.error({ queue: this.#options.name, key: task.key, err: error }, 'end of a retry task not recorded');
      return;
    }
    const journal = this.#journal;
    if (
      journal !== undefined &&
      journal.sizeBytes > COMPACT_MIN_BYTES &&
      this.#journalRecords > 2 * this.#tasks.size + 1
    )
      await this.#compact();
  }

  #gauge(): void {
    this.#metrics.gauge('kraken_retry_tasks', this.#tasks.size, { queue: this.#options.name });
  }
}

function putRecord<T extends TaskPayload>(task: Task<T>): JournalRecord {
  return {
    op: 'put',
    key: task.key,
    payload: task.payload,
    created: task.createdAtMs,
    due: task.dueAtMs,
    failures: task.failures,
    ...(task.lastError === undefined ? {} : { error: task.lastError }),
  };
}

function view<T extends TaskPayload>(task: Task<T>): TaskView<T> {
  const { key, payload, createdAtMs, dueAtMs, failures, lastError } = task;
  return { key, payload, createdAtMs, dueAtMs, failures, lastError, running: task.running !== undefined };
}

function number(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
}
