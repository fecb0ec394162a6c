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

test('never more than the limit; of those that are good, only the oldest go for others', (t) => {
  const step = fc.record({ key: fc.nat(30), forMs: fc.nat(20), afterMs: fc.nat(5) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 8 }), (steps, max) => {
      const map = new ExpiringMap<number, number>(max);
      let now = 0;
      /** What was set, the latest last, with its end. */
      let model: { key: number; value: number; untilMs: number }[] = [];
      steps.forEach(({ key, forMs, afterMs }, value) => {
        map.set(key, value, now, now + forMs);
        model = [...model.filter((entry) => entry.key !== key), { key, value, untilMs: now + forMs }];
        t.true(map.size <= max);
        model.forEach((entry, index) => {
          const isGood = now < entry.untilMs;
          const got = map.get(entry.key, now);
          // One of the last `max` that were set has never had to go.
          if (index >= model.length - max) t.is(got, isGood ? entry.value : undefined);
          else t.true(got === undefined || (isGood && got === entry.value));
        });
        now += afterMs;
      });
    }),
  );
});
