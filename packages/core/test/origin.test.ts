/** Decisions of an origin: who gets copies, when a commit may be acknowledged, what a fetch answers. */
import test from 'ava';
import fc from 'fast-check';
import {
  copiesNeeded,
  DEFAULT_WRITE_BACK_STAGGER_MS,
  mayAcknowledge,
  refreshStatus,
  replicaPlan,
} from '../dist/origin/index.js';

test('the other owners get copies in ring order, their write-backs one stagger apart', (t) => {
  t.deepEqual(replicaPlan(['b:1', 'self:1', 'c:1'], 'self:1'), [
    { host: 'b:1', writeBackDelayMs: DEFAULT_WRITE_BACK_STAGGER_MS },
    { host: 'c:1', writeBackDelayMs: 2 * DEFAULT_WRITE_BACK_STAGGER_MS },
  ]);
  t.deepEqual(replicaPlan(['self:1'], 'self:1'), []);
  t.is(DEFAULT_WRITE_BACK_STAGGER_MS, 1_800_000, 'recorded: {"Delay":1800000000000}');
});

test('two copies are needed wherever two machines can hold one', (t) => {
  t.is(copiesNeeded(['self:1'], 'self:1'), 1);
  t.is(copiesNeeded(['self:1', 'b:1'], 'self:1'), 2);
  t.is(copiesNeeded(['a:1', 'b:1', 'c:1'], 'self:1'), 2);
  t.is(copiesNeeded(['b:1'], 'self:1'), 2, 'a receiver that is no owner is a holder too');
});

test('an acknowledged blob survives the loss of any single machine, or is in storage', (t) => {
  const hosts = fc.uniqueArray(fc.constantFrom('a:1', 'b:1', 'c:1', 'd:1'), { minLength: 1 });
  fc.assert(
    fc.property(hosts, fc.nat(4), fc.boolean(), (owners, others, writtenBack) => {
      const reached = Math.min(others, replicaPlan(owners, 'a:1').length);
      const state = { copies: 1 + reached, needed: copiesNeeded(owners, 'a:1'), writtenBack };
      const alone = owners.every((host) => host === 'a:1');
      return mayAcknowledge(state) === (writtenBack || alone || state.copies >= 2);
    }),
  );
  t.pass();
});

test('outcomes of a fetch have the statuses that Go clients know', (t) => {
  const kinds = ['ready', 'pending', 'not-found', 'busy'] as const;
  t.deepEqual(
    kinds.map((kind) => refreshStatus({ kind })),
    [200, 202, 404, 503],
  );
});
