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
