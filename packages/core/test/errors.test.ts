/** Coded errors and the ports that drop what they are given. */
import test from 'ava';
import { asKrakenError, assert, ERRORS, isKrakenError, KrakenError, unreachable } from '@kraken/core/errors';
import { silentLogger, silentMetrics, type Logger } from '@kraken/core/ports';

test('an error says what the catalogue says, or more, and keeps its cause', (t) => {
  const cause = new Error('ENOSPC');
  const plain = new KrakenError('disk-full');
  t.is(plain.message, ERRORS['disk-full'].says);
  t.is(plain.cause, undefined);
  t.deepEqual([plain.name, plain.code, plain.httpStatus, plain.retry], ['KrakenError', 'disk-full', 507, 'later']);
  t.is(plain.entry, ERRORS['disk-full']);
  const more = new KrakenError('disk-full', 'no room', { cause, detail: { bytes: 3 } });
  t.deepEqual([more.message, more.cause, more.detail], ['no room', cause, { bytes: 3 }]);
});

test('errors of another copy of the package are known by their mark, others are not', (t) => {
  const own = new KrakenError('blob-unknown');
  const [mark] = Object.getOwnPropertySymbols(own);
  t.truthy(mark);
  const foreign = Object.assign(new Error('from another copy'), { code: 'blob-unknown', [mark as symbol]: true });
  for (const error of [own, foreign]) {
    t.true(isKrakenError(error));
    t.true(isKrakenError(error, 'blob-unknown'));
    t.false(isKrakenError(error, 'disk-full'));
    t.is(asKrakenError(error, 'internal'), error as KrakenError);
  }
  for (const other of [undefined, null, 'blob-unknown', 7, {}, new Error('x'), { code: 'blob-unknown' }])
    t.false(isKrakenError(other));
});

test('what is thrown without a code gets one and stays the cause', (t) => {
  const cause = new TypeError('x is not a function');
  const coded = asKrakenError(cause, 'internal');
  t.deepEqual([coded.code, coded.message, coded.cause], ['internal', 'x is not a function', cause]);
  t.deepEqual([asKrakenError(7, 'io-error').message, asKrakenError(7, 'io-error').cause], ['7', 7]);
});

test('broken invariants are internal errors', (t) => {
  t.notThrows(() => assert(true, 'holds'));
  t.is(t.throws(() => assert(false, 'does not hold')).message, 'does not hold');
  const error = t.throws(() => unreachable({ kind: 'new' } as never));
  t.true(isKrakenError(error, 'internal'));
  t.regex(error.message, /"kind":"new"/);
});

test('silent ports take everything and say nothing', (t) => {
  for (const level of ['debug', 'info', 'warn', 'error'] as const satisfies readonly (keyof Logger)[])
    t.is(silentLogger[level]({ n: 1 }, 'message'), undefined);
  t.is(silentMetrics.count('n'), undefined);
  t.is(silentMetrics.gauge('n', 1), undefined);
  t.is(silentMetrics.observe('n', 1, { a: 'b' }), undefined);
});
