import test from 'ava';
import fc from 'fast-check';
import {
  Backoff,
  backoffDelayMs,
  PENDING_POLL_BACKOFF,
  Random,
  RetrySchedule,
  SYNC_RETRY_BACKOFF,
  TASK_RETRY_BACKOFF,
} from '@kraken/core/retry';

const config = fc.record({
  initialMs: fc.integer({ min: 0, max: 10_000 }),
  factor: fc.double({ min: 1, max: 4, noNaN: true }),
  maxMs: fc.integer({ min: 1, max: 100_000 }),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});

test('waits grow by the factor up to the cap, within the jitter', (t) => {
  const plain = { initialMs: 100, factor: 2, maxMs: 1000, jitter: 0 };
  const random = new Random(1);
  t.deepEqual(
    [1, 2, 3, 4, 5, 6].map((n) => backoffDelayMs(plain, n, random)),
    [100, 200, 400, 800, 1000, 1000],
  );
  fc.assert(
    fc.property(config, fc.integer({ min: 1, max: 2 ** 31 }), fc.integer(), (c, attempts, seed) => {
      const wait = backoffDelayMs(c, attempts, new Random(seed));
      const bare = backoffDelayMs({ ...c, jitter: 0 }, attempts, new Random(seed));
      t.true(bare <= c.maxMs && bare >= Math.min(c.initialMs, c.maxMs));
      t.true(wait >= bare * (1 - c.jitter) - 1e-6 && wait <= bare * (1 + c.jitter) + 1e-6);
      t.is(wait, backoffDelayMs(c, attempts, new Random(seed)));
    }),
  );
});

test('polling a pending blob: 1 s × 1.3 up to 5 s ± 5 %, given up after 15 min', (t) => {
  const backoff = new Backoff(PENDING_POLL_BACKOFF, new Random(7));
  const bare = [1000, 1300, 1690, 2197, 2856.1, 3712.93, 4826.809, 5000, 5000];
  for (const expected of bare) {
    const wait = backoff.next(0);
    t.true(wait !== undefined && Math.abs(wait - expected) <= expected * 0.05 + 1e-6);
  }
  t.not(backoff.next(15 * 60_000), undefined);
  t.is(backoff.next(15 * 60_000 + 1), undefined);
});

test('a limited number of attempts, and a new start', (t) => {
  const backoff = new Backoff(SYNC_RETRY_BACKOFF, new Random(7));
  t.not(backoff.next(), undefined);
  t.not(backoff.next(), undefined);
  t.is(backoff.next(), undefined);
  t.is(backoff.attempts, 3);
  backoff.reset();
  t.not(backoff.next(), undefined);
});

test('a stored task waits its delay, then longer and longer', (t) => {
  const schedule = new RetrySchedule({ jitter: 0 });
  let state = schedule.start(1000, 500);
  t.false(schedule.isDue(state, 1499));
  t.true(schedule.isDue(state, 1500));
  const waits: number[] = [];
  for (let i = 0; i < 7; i++) {
    const decision = schedule.failed(state, 0, new Random(1));
    t.is(decision.type, 'retry');
    state = decision.state;
    waits.push(state.nextAttemptAtMs);
  }
  t.deepEqual(waits, [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
  t.is(state.attempts, 7);
});

test('a stored task is given up when attempts are limited', (t) => {
  const schedule = new RetrySchedule({ attemptsMax: 2 });
  const first = schedule.failed(schedule.start(0), 10, new Random(1));
  t.is(first.type, 'retry');
  const second = schedule.failed(first.state, 20, new Random(1));
  t.deepEqual(second, { type: 'give-up', state: { attempts: 2, nextAttemptAtMs: first.state.nextAttemptAtMs } });
});

test('a clock that was set back does not put tasks to sleep', (t) => {
  const schedule = new RetrySchedule();
  const longest = TASK_RETRY_BACKOFF.maxMs * (1 + TASK_RETRY_BACKOFF.jitter);
  t.deepEqual(schedule.restored({ attempts: 3, nextAttemptAtMs: 1e12 }, 5000), {
    attempts: 3,
    nextAttemptAtMs: 5000 + Math.ceil(longest),
  });
  const fine = { attempts: 3, nextAttemptAtMs: 6000 };
  t.is(schedule.restored(fine, 5000), fine);
  const delayed = { attempts: 0, nextAttemptAtMs: 1e9 };
  t.is(schedule.restored(delayed, 5000), delayed);
});
