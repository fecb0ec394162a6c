/** The retry journal and queue: durability, torn and damaged files, order, backoff, limits, and a process killed in the middle. */
import { isKrakenError } from '@kraken/core/errors';
import { Random, RetrySchedule } from '@kraken/core/retry';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { spawn } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TaskQueue, type Clock, type TaskQueueOptions } from '../dist/index.js';
import { DueHeap } from '../dist/retry/due-heap.js';
import { Journal } from '../dist/retry/journal.js';

type Payload = Readonly<{ n: number }>;

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'kraken-retry-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Time that moves when told. */
class ManualClock implements Clock {
  now = 1_000_000;
  readonly #timers = new Set<{ at: number; run: () => void }>();
  nowMs(): number {
    return this.now;
  }
  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.now + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
  advance(ms: number): void {
    this.now += ms;
    for (const timer of [...this.#timers]) {
      if (timer.at > this.now) continue;
      this.#timers.delete(timer);
      timer.run();
    }
  }
}

function options(path: string, more: Partial<TaskQueueOptions<Payload>> = {}): TaskQueueOptions<Payload> {
  return {
    path,
    name: 'test',
    decode: ({ n }) => (typeof n === 'number' ? { n } : undefined),
    execute: () => Promise.resolve(),
    ...more,
  };
}

/** Until `condition` holds; the test's own timeout bounds it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test('the heap gives items in order of their due time', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 })), (times) => {
      const heap = new DueHeap<number>();
      times.forEach((time, index) => heap.push(time, index));
      const popped: number[] = [];
      for (let entry = heap.pop(); entry !== undefined; entry = heap.pop()) popped.push(entry.dueAtMs);
      return heap.size === 0 && popped.join() === [...times].sort((a, b) => a - b).join();
    }),
  );
  t.pass();
});

test('a journal gives back what was appended, cut at any byte', async (t) => {
  const path = join(await folder(t), 'journal');
  const { journal } = await Journal.open(path, () => []);
  for (let n = 0; n < 20; n++) await journal.append({ n, text: 'é\n"x"' });
  await journal.close();
  const bytes = await readFile(path);
  for (let length = bytes.length; length >= 0; length -= 7) {
    await writeFile(path, bytes);
    await truncate(path, length);
    const whole = bytes.subarray(0, length).toString('latin1').split('\n').length - 1;
    const again = await Journal.open(path, () => []);
    t.deepEqual(
      again.records.map(({ n }) => n),
      Array.from({ length: whole }, (_, n) => n),
    );
    t.is(again.damaged, 0);
    await again.journal.append({ n: 'after' });
    await again.journal.close();
    const last = await Journal.open(path, () => []);
    t.is(last.records.length, whole + 1, 'appending after a torn tail works');
    await last.journal.close();
  }
});

test('a damaged line is skipped, those behind it are kept', async (t) => {
  const path = join(await folder(t), 'journal');
  const { journal } = await Journal.open(path, () => []);
  for (let n = 0; n < 3; n++) await journal.append({ n });
  await journal.close();
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace('{"n":1}', '{"n":7}'));
  const again = await Journal.open(path, () => []);
  t.deepEqual(again.records, [{ n: 0 }, { n: 2 }]);
  t.is(again.damaged, 1);
  await again.journal.close();
});

test('compaction keeps the snapshot and what comes after it', async (t) => {
  const path = join(await folder(t), 'journal');
  const state = new Map<string, number>();
  const { journal } = await Journal.open(path, () => Array.from(state, ([key, n]) => ({ key, n })));
  for (let n = 0; n < 50; n++) {
    state.set('a', n);
    await journal.append({ key: 'a', n });
  }
  const before = journal.sizeBytes;
  await journal.compact();
  t.true(journal.sizeBytes < before / 10);
  state.set('b', 1);
  await journal.append({ key: 'b', n: 1 });
  await journal.close();
  const again = await Journal.open(path, () => []);
  t.deepEqual(again.records, [
    { key: 'a', n: 49 },
    { key: 'b', n: 1 },
  ]);
  await again.journal.close();
});

test('tasks survive a restart with their failures and due times, and finished ones do not come back', async (t) => {
  const path = join(await folder(t), 'q');
  const clock = new ManualClock();
  const schedule = new RetrySchedule({ initialMs: 1000, factor: 2, maxMs: 10_000, jitter: 0 });
  const failing = await TaskQueue.open(
    options(path, {
      clock,
      schedule,
      random: new Random(1),
      execute: ({ payload }) => (payload.n === 1 ? Promise.reject(new Error('boom')) : Promise.resolve()),
    }),
  );
  t.true(await failing.add('a', { n: 1 }));
  t.false(await failing.add('a', { n: 2 }), 'the same key is a no-op');
  t.true(await failing.add('b', { n: 2 }));
  t.true(await failing.add('late', { n: 3 }, { delayMs: 60_000 }));
  failing.start();
  await until(() => failing.get('a')?.failures === 1 && failing.get('b') === undefined);
  t.is(failing.get('a')?.dueAtMs, clock.now + 1000);
  clock.advance(1000);
  await until(() => failing.get('a')?.failures === 2);
  t.is(failing.get('a')?.dueAtMs, clock.now + 2000, 'the wait grows');
  t.is(failing.get('a')?.lastError, 'boom');
  await failing.close();

  const ran: string[] = [];
  const again = await TaskQueue.open(
    options(path, { clock, schedule, execute: (task) => (ran.push(task.key), Promise.resolve()) }),
  );
  t.deepEqual(
    [...again.tasks()].map(({ key, failures }) => [key, failures]),
    [
      ['a', 2],
      ['late', 0],
    ],
  );
  again.start();
  t.deepEqual(ran, []);
  clock.advance(2000);
  await until(() => again.size === 1);
  clock.advance(60_000);
  await until(() => again.size === 0);
  t.deepEqual(ran, ['a', 'late']);
  await again.close();
  const empty = await TaskQueue.open(options(path));
  t.is(empty.size, 0);
  await empty.close();
});

test('of what went wrong last the beginning is kept, however much an upstream said', async (t) => {
  const page = 'x'.repeat(64 * 1024);
  const queue = await TaskQueue.open(
    options(join(await folder(t), 'q'), { execute: () => Promise.reject(new Error(page)) }),
  );
  await queue.add('a', { n: 1 });
  queue.start();
  await until(() => queue.get('a')?.failures === 1);
  t.is(queue.get('a')?.lastError, page.slice(0, 1000));
  await queue.close();
});

test('held tasks wait for release, removed ones never run, a full queue says so', async (t) => {
  const path = join(await folder(t), 'q');
  const ran: string[] = [];
  const queue = await TaskQueue.open(
    options(path, { maxTasks: 2, execute: (task) => (ran.push(task.key), Promise.resolve()) }),
  );
  queue.start();
  await queue.add('held', { n: 1 }, { held: true });
  await queue.add('gone', { n: 2 }, { held: true });
  const full = await t.throwsAsync(queue.add('third', { n: 3 }));
  t.true(isKrakenError(full, 'queue-full'));
  t.true(await queue.remove('gone'));
  t.false(await queue.remove('gone'));
  t.deepEqual(ran, []);
  queue.release('held');
  await until(() => queue.size === 0);
  t.deepEqual(ran, ['held']);
  await queue.close();
  t.true(isKrakenError(await t.throwsAsync(queue.add('x', { n: 1 })), 'shutting-down'));
});

test('runNow runs a delayed task, throws what it threw and keeps it', async (t) => {
  const path = join(await folder(t), 'q');
  let fail = true;
  const queue = await TaskQueue.open(
    options(path, { execute: () => (fail ? Promise.reject(new Error('no')) : Promise.resolve()) }),
  );
  await queue.add('a', { n: 1 }, { delayMs: 1e9 });
  await t.throwsAsync(queue.runNow('a'), { message: 'no' });
  t.is(queue.size, 1);
  fail = false;
  t.true(await queue.runNow('a'));
  t.false(await queue.runNow('a'));
  await queue.close();
});

test('a task that is added while it runs is run once more', async (t) => {
  const path = join(await folder(t), 'q');
  let runs = 0;
  let finish = (): void => undefined;
  const queue = await TaskQueue.open(
    options(path, {
      execute: () => {
        runs++;
        return runs > 1 ? Promise.resolve() : new Promise<void>((resolve) => (finish = resolve));
      },
    }),
  );
  queue.start();
  await queue.add('a', { n: 1 });
  await until(() => runs === 1);
  t.false(await queue.add('a', { n: 1 }));
  finish();
  await until(() => queue.size === 0);
  t.is(runs, 2);
  await queue.close();
});

test('never more than the workers run, and close waits for them', async (t) => {
  const path = join(await folder(t), 'q');
  let running = 0;
  let most = 0;
  let done = 0;
  const queue = await TaskQueue.open(
    options(path, {
      workers: 3,
      execute: async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 2));
        running--;
        done++;
      },
    }),
  );
  await Promise.all(Array.from({ length: 20 }, (_, n) => queue.add(`t${n}`, { n })));
  queue.start();
  await until(() => done >= 5);
  await queue.close();
  t.is(running, 0);
  t.is(most, 3);
  const left = await TaskQueue.open(options(path));
  t.is(left.size, 20 - done, 'the rest waits on disk');
  await left.close();
});

test('close gives up on a task that ignores its abort; the task stays on disk', async (t) => {
  const path = join(await folder(t), 'q');
  const clock = new ManualClock();
  let aborted = false;
  const queue = await TaskQueue.open(
    options(path, {
      clock,
      execute: (_task, signal) => {
        signal.addEventListener('abort', () => (aborted = true));
        return new Promise<void>(() => undefined);
      },
    }),
  );
  queue.start();
  await queue.add('stuck', { n: 1 });
  await until(() => queue.get('stuck')?.running === true);
  const closed = queue.close(500);
  clock.advance(500);
  t.true(aborted);
  clock.advance(1000);
  await closed;
  const again = await TaskQueue.open(options(path));
  t.is(again.size, 1);
  await again.close();
});

test('the file is compacted when most of it is garbage', async (t) => {
  const path = join(await folder(t), 'q');
  const queue = await TaskQueue.open(options(path));
  queue.start();
  await queue.add('keep', { n: 0 }, { delayMs: 1e9 });
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 100 }, (_, n) => queue.add(`r${round}-${n}`, { n })));
    await until(() => queue.size === 1);
  }
  await queue.close();
  t.true((await readFile(path)).length < 70_000, '1,000 tasks are some 190 kB of records');
  const again = await TaskQueue.open(options(path));
  t.deepEqual(
    [...again.tasks()].map(({ key }) => key),
    ['keep'],
  );
  await again.close();
});

test('records that nobody understands are dropped, the rest is kept', async (t) => {
  const path = join(await folder(t), 'q');
  const queue = await TaskQueue.open(options(path));
  await queue.add('good', { n: 1 });
  await queue.close();
  await appendFile(path, 'garbage\n');
  const again = await TaskQueue.open(options(path, { decode: ({ n }) => (n === 1 ? { n } : undefined) }));
  t.is(again.size, 1);
  await again.close();
  const strict = await TaskQueue.open(options(path, { decode: () => undefined }));
  t.is(strict.size, 0);
  await strict.close();
});

test('a killed process loses nothing that it acknowledged', async (t) => {
  const path = join(await folder(t), 'q');
  const script = fileURLToPath(new URL('retry-crash-child.js', import.meta.url));
  const expected = new Set<string>();
  const maybe = new Set<string>();
  let from = 0;
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, [script, path, String(from)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => {
      output += text;
      if (output.length > 2000 + 777 * round) child.kill('SIGKILL');
    });
    await new Promise((resolve) => child.once('close', resolve));
    for (const line of output.split('\n').slice(0, -1)) {
      const [what, n = ''] = line.split(' ');
      if (what === 'added') expected.add(`task-${n}`);
      else expected.delete(`task-${n}`);
      from = Math.max(from, Number(n) + 100);
    }
    for (const key of expected) if (Number(key.slice(5)) % 3 === 0) maybe.add(key);
    const queue = await TaskQueue.open(options(path));
    const found = new Set([...queue.tasks()].map(({ key }) => key));
    t.true(expected.size > 10);
    // A removal may have reached the disk before its line reached the pipe.
    t.deepEqual(
      [...expected].filter((key) => !found.has(key) && !maybe.has(key)),
      [],
    );
    await queue.close();
  }
});
