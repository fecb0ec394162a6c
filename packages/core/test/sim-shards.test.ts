import { Worker } from 'node:worker_threads';
import test from 'ava';
import fc from 'fast-check';
import {
  CheckFailed,
  createShardMemory,
  mergeShards,
  percentile,
  ShardAbandoned,
  simOptions,
  Simulation,
  VirtualClock,
  type ShardResult,
  type SimOptions,
  type SimReport,
} from '@kraken/core/sim';
import type { PeerMessage } from '@kraken/core/wire';
import { Outbox } from '../dist/sim/shards/mail.js';
import { Meeting } from '../dist/sim/shards/meeting.js';
import { messageCells, messageFrom, writeMessage } from '../dist/sim/shards/message-cells.js';
import type { ShardWork } from './support/shard-worker.js';

const MiB = 1024 * 1024;
const CHECKERS = ['capacity', 'committed-whole', 'pulls-answered-once'];
const WORKER = new URL('./support/shard-worker.js', import.meta.url);

/** A run in which every kind of record is written: layers of pieces, blobs behind the origins, connections that are swapped. */
const RUN: Partial<SimOptions> = {
  agents: 20,
  origins: 3,
  trackers: 2,
  blobs: 2,
  blobBytes: 80 * MiB,
  pieceBytes: 2 * MiB,
  // Half as many windows to meet at.
  latencyMs: 1,
  blobsIn: 'backend',
  prefetchMs: 3000,
  roots: true,
  streaming: true,
  checkers: CHECKERS,
};

type Outcome = ShardResult | { readonly failed: string };

function runShards(options: Partial<SimOptions>, brokenShard = -1): Promise<Outcome[]> {
  const shards = options.shards ?? 1;
  const memory = createShardMemory(shards);
  const run = (shard: number): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      const workerData: ShardWork = { options, memory, shard, isBroken: shard === brokenShard };
      const worker = new Worker(WORKER, { workerData });
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  return Promise.all(Array.from({ length: shards }, (_, shard) => run(shard)));
}

async function divided(options: Partial<SimOptions>): Promise<SimReport> {
  return mergeShards(options, (await runShards(options)) as ShardResult[]);
}

for (const shards of [2, 3]) {
  test.serial(`${shards} shards finish every pull as one does, and two runs are the same`, async (t) => {
    const whole = new Simulation(RUN).run();
    const [first, second] = [await divided({ ...RUN, shards }), await divided({ ...RUN, shards })];
    t.deepEqual(second, first);
    t.is(first.unfinished, 0);
    t.is(first.failedPulls, 0);
    t.is(first.completionMs.length, 20);
    t.is(first.bytesFromBackend, whole.bytesFromBackend);
    t.is(first.bytesBetweenOrigins, whole.bytesBetweenOrigins);
    t.is(first.counts.pieces, whole.counts.pieces);
    t.is(first.backendReadsMax, 1);
    for (const share of [0.5, 0.99]) {
      const ratio = percentile(first.completionMs, share) / percentile(whole.completionMs, share);
      t.true(ratio > 0.95 && ratio < 1.05, `p${share * 100}: ${ratio} of what one thread says`);
    }
  });
}

test.serial('an objection on one shard ends the run on all', async (t) => {
  const outcomes = await runShards({ ...RUN, shards: 2 }, 1);
  t.deepEqual(
    outcomes.map((outcome) => ('failed' in outcome ? outcome.failed : 'finished')),
    ['abandoned', 'pulls-answered-once'],
  );
});

test('whoever comes to a meeting after another shard has failed is let go', (t) => {
  const memory = createShardMemory(2);
  const [a, b] = [new Meeting(memory, 0), new Meeting(memory, 1)];
  b.abandon();
  t.throws(() => a.meet(1, 1), { instanceOf: ShardAbandoned });
});

test.serial('a connection that is open at one end only is found when results are merged', async (t) => {
  const options = { ...RUN, agents: 6, shards: 2 };
  const [a, b] = (await runShards(options)) as [ShardResult, ShardResult];
  const { digest } = new Simulation(RUN).blobs[0]!;
  const here = { shard: 1, node: 1, theirs: 7, ours: 4, digest };
  const there = { shard: 0, node: 0, theirs: 4, ours: 7, digest };
  t.notThrows(() => mergeShards(options, [b, a]));
  t.notThrows(() =>
    mergeShards(options, [
      { ...a, openFarEnds: [here] },
      { ...b, openFarEnds: [there] },
    ]),
  );
  const error = t.throws(() => mergeShards(options, [{ ...a, openFarEnds: [here] }, b]), { instanceOf: CheckFailed });
  t.is(error.checker, 'capacity');
});

test('a run that cannot be divided says why', (t) => {
  const refuse = (options: Partial<SimOptions>, message: RegExp): void =>
    void t.throws(() => simOptions({ shards: 2, checkers: [], ...options }), { instanceOf: RangeError, message });
  refuse({ faults: 1 }, /no faults/);
  refuse({ lateShare: 0.3 }, /lateShare 0/);
  refuse({ link: 'max-min' }, /token-bucket, got max-min/);
  refuse({ latencyMs: 0 }, /latencyMs > 0/);
  refuse({ checkers: ['rarity'] }, /got rarity/);
  refuse({ shards: 0 }, /shards expected integer ≥ 1/);
  refuse({ shards: 17 }, /shards expected at most 16/);
  t.throws(() => new Simulation({ ...RUN, shards: 2 }), { message: '2 shards expected as many threads' });
});

test('what comes from another shard runs at its time, never in the past', (t) => {
  const clock = new VirtualClock();
  const ran: string[] = [];
  const note = (what: string) => () => void ran.push(`${what} at ${clock.now}`);
  clock.after(5, note('own'));
  clock.inOrder(1, 3, note('first'));
  clock.inOrder(1, 5, note('second'));
  t.is(clock.nextAt, 3);
  t.throws(() => clock.inOrder(1, 4, note('late')), { instanceOf: RangeError });
  while (clock.runNext(10));
  t.deepEqual(ran, ['first at 3', 'own at 5', 'second at 5']);
  t.throws(() => clock.inOrder(1, 4, note('late')), { instanceOf: RangeError });
  t.is(clock.nextAt, Infinity);
  clock.advanceTo(8);
  clock.advanceTo(7);
  t.is(clock.now, 8);
});

test('messages survive the way between shards', (t) => {
  const piece = fc.nat(1e6);
  const message: fc.Arbitrary<PeerMessage> = fc.oneof(
    fc.record({ type: fc.constant('piece-request' as const), piece, offset: fc.nat(), length: fc.nat() }),
    fc.record({ type: fc.constantFrom('announce-piece' as const, 'cancel-piece' as const), piece }),
    fc.constant({ type: 'complete' as const }),
    fc.record({ type: fc.constant('error' as const), piece, code: fc.nat(10), text: fc.string() }),
    fc.record({ type: fc.constant('ignored' as const), says: fc.string() }),
  );
  fc.assert(
    fc.property(message, (given) => {
      const cells = new Float64Array(messageCells(given) + 1);
      writeMessage(cells, 1, given);
      t.deepEqual(messageFrom(cells, 1, cells.length), given);
    }),
  );
});

test('a box that is full is an error, not a loss', (t) => {
  const outbox = new Outbox(new Float64Array(10));
  outbox.record(0, 5, 2);
  t.is(outbox.earliest, 5);
  t.throws(() => outbox.record(0, 5, 2), { instanceOf: RangeError, message: /use fewer shards/ });
  outbox.open(new Float64Array(10));
  t.is(outbox.earliest, Infinity);
});
