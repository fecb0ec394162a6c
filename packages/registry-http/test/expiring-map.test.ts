import test from 'ava';
import fc from 'fast-check';
import { ExpiringMap } from '../dist/expiring-map.js';

test('a value is good until its time and not at it', (t) => {
  const map = new ExpiringMap<string, number>(10);
  map.set('a', 1, 0, 5);
  t.is(map.get('a', 4), 1);
  t.is(map.get('a', 5), undefined);
  map.set('a', 2, 5, Infinity);
  t.is(map.get('a', 1e15), 2);
  map.delete('a');
  t.is(map.get('a', 0), undefined);
});

test('expired entries go as others come, so that what stays is what was asked for lately', (t) => {
  const map = new ExpiringMap<number, number>(100_000);
  for (let n = 0; n < 10_000; n++) map.set(n, n, n, n + 50);
  t.true(map.size <= 51, `${map.size} entries`);
  t.is(map.get(9_999, 10_000), 9_999);
});

test('never more than the limit; the oldest go first', (t) => {
  const step = fc.record({ key: fc.nat(30), forMs: fc.nat(20), afterMs: fc.nat(5) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 8 }), (steps, max) => {
      const map = new ExpiringMap<number, number>(max);
      let now = 0;
      steps.forEach(({ key, forMs, afterMs }, index) => {
        map.set(key, index, now, now + forMs);
        t.true(map.size <= max);
        t.is(map.get(key, now), forMs > 0 ? index : undefined);
        now += afterMs;
      });
    }),
  );
});
