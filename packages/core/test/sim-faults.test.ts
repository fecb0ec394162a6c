import test from 'ava';
import { CHECKERS, drawOptions, FAULTS, Simulation, type SimOptions, type SimReport } from '@kraken/core/sim';

const KiB = 1024;
const ALL_CHECKERS = Object.keys(CHECKERS);

/** A small, quick run that exercises everything. */
const SMALL: Partial<SimOptions> = {
  agents: 8,
  origins: 2,
  blobBytes: 20 * 64 * KiB,
  pieceBytes: 64 * KiB,
  checkers: ALL_CHECKERS,
};

function survive(options: Partial<SimOptions>): SimReport {
  const report = new Simulation(options).run();
  if (report.unfinished > 0)
    throw new Error(`seed ${options.seed}: ${report.unfinished} pulls did not finish after healing`);
  return report;
}

for (const kind of Object.keys(FAULTS)) {
  test(`all pulls finish after faults of kind ${kind}`, (t) => {
    for (let seed = 1; seed <= 5; seed++) {
      const report = survive({
        ...SMALL,
        seed,
        faults: 5,
        faultKinds: [kind],
        faultMs: 500,
        retryMs: 1000,
        horizonMs: 3_600_000,
        agentUpBytesPerSecond: 5e6,
      });
      t.is(report.completionMs.length, 8);
    }
  });
}

test('drawn runs are safe under faults and finish after healing', (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const options = drawOptions(seed, 20);
    t.is(survive(options).completionMs.length, options.agents);
  }
});

// The agents hold a few pieces between them and have filled all their slots with each other: one must make room for the origin.
test('a swarm finds its only origin again that was away for a while', (t) => {
  const report = survive({
    agents: 13,
    origins: 1,
    blobBytes: 28 * 64 * KiB,
    pieceBytes: 64 * KiB,
    startWithinMs: 5,
    originUpBytesPerSecond: 500e3,
    agentUpBytesPerSecond: 2e6,
    agentDownBytesPerSecond: 2e6,
    faults: 2,
    faultKinds: ['origin-loss'],
    faultMs: 3000,
    retryMs: 1000,
    horizonMs: 600_000,
    checkers: ALL_CHECKERS,
  });
  t.is(report.completionMs.length, 13);
});

test('a run with faults repeats exactly', (t) => {
  const options = drawOptions(7, 20);
  const hash = new Simulation(options).run().traceHash;
  t.is(new Simulation(options).run().traceHash, hash);
});

test('200 drawn runs cover every fault, every size and absurdly small limits', (t) => {
  const drawn = Array.from({ length: 200 }, (_, i) => drawOptions(i + 1));
  const counts = new Map<string, number>();
  const add = (what: string, happens = true): void => void counts.set(what, (counts.get(what) ?? 0) + Number(happens));
  for (const options of drawn) {
    const hosts = options.agents + options.origins;
    t.true(hosts >= 5 && hosts <= 200, `seed ${options.seed}: ${hosts} hosts`);
    t.deepEqual(options.checkers, ['all']);
    add(`${hosts > 100 ? 'many' : hosts > 20 ? 'some' : 'few'} hosts`);
    const { agentSwarm, originSwarm } = options;
    add('one connection', agentSwarm.connectionsPerTorrentMax === 1);
    add('one request', agentSwarm.pipelineLimit === 1 && agentSwarm.originPipelineLimit === 1);
    add('one connection of the node', agentSwarm.connectionsMax === 1);
    add('one pull', agentSwarm.pullsMax === 1);
    add('one torrent', agentSwarm.torrentsMax === 1);
    add('origins with one connection', originSwarm.connectionsPerTorrentMax === 1);
    add('handouts of one', options.handoutMax === 1);
    add('roots', options.roots);
    add('cold blobs', options.blobsIn === 'backend');
    add('late agents', options.lateShare > 0);
    add(options.link);
    if (hosts > 20) continue;
    for (const { kind, untilMs } of new Simulation(options).faults) {
      t.true(untilMs <= options.faultMs, `seed ${options.seed}: ${kind} outlasts the safety phase`);
      add(kind);
    }
  }
  for (const kind of Object.keys(FAULTS)) t.true((counts.get(kind) ?? 0) >= 20, `${kind}: ${counts.get(kind)}`);
  for (const [what, count] of counts) t.true(count >= 2, `${what}: ${count}`);
});

test('the swarm may be bounded, and a seed draws the same run each time', (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const options = drawOptions(seed, 12);
    t.true(options.agents + options.origins <= 12);
    t.deepEqual(drawOptions(seed, 12), options);
  }
});

test('links that fail one by one come back in another order, within the window', (t) => {
  let reordered = 0;
  for (let seed = 1; seed <= 50; seed++) {
    const options: Partial<SimOptions> = { seed, agents: 8, faults: 1, faultKinds: ['failing-links'], faultMs: 1000 };
    const { faults } = new Simulation(options);
    const ends = faults.map(({ untilMs }) => untilMs);
    t.true(faults.length >= 1 && faults.length <= 5);
    t.is(new Set(ends).size, ends.length);
    t.true(Math.max(...ends) <= 1000 && Math.min(...ends) >= Math.max(...faults.map(({ atMs }) => atMs)));
    if (ends.some((end, i) => i > 0 && end < (ends[i - 1] ?? 0))) reordered++;
  }
  t.true(reordered > 20);
});

test('a fault that is left out does not change the others', (t) => {
  const options: Partial<SimOptions> = {
    agents: 8,
    faults: 6,
    faultKinds: ['crash', 'stall', 'corrupt'],
    faultMs: 1000,
  };
  const all = new Simulation(options).faults.map(({ says, atMs }) => `${atMs} ${says}`);
  t.is(all.length, 6);
  for (let out = 0; out < 6; out++) {
    const rest = new Simulation({ ...options, faultsLeftOut: [out] }).faults.map(({ says, atMs }) => `${atMs} ${says}`);
    t.is(rest.length, 5);
    t.true(rest.every((fault) => all.includes(fault)));
  }
});
