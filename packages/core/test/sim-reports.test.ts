import test from 'ava';
import {
  judge,
  judgeGrowth,
  MEASURES,
  percentile,
  reportLine,
  SCENARIOS,
  simOptions,
  Simulation,
  storeAndForwardSeconds,
  verdictLine,
  type Bounds,
  type SimOptions,
  type SimReport,
} from '@kraken/core/sim';

const MiB = 1024 * 1024;

const simulated = (options: Partial<SimOptions>): { simulation: Simulation; report: SimReport } => {
  const simulation = new Simulation(options);
  return { simulation, report: simulation.run() };
};

/** A small flash crowd. */
const CROWD: Partial<SimOptions> = { agents: 20, blobs: 2, blobBytes: 16 * MiB, pieceBytes: MiB, streaming: true };

test('a bound is kept up to its limit, and every measure can be missed', (t) => {
  const { report } = simulated(CROWD);
  for (const name of Object.keys(MEASURES) as (keyof Bounds)[]) {
    const { of, ...measure } = MEASURES[name];
    const value = of(report);
    t.true(Number.isFinite(value), name);
    const worse = 'atLeast' in measure ? value + 0.001 : value - 0.001;
    t.deepEqual(
      judge(report, { [name]: value }).map(({ ok }) => ok),
      [true],
      name,
    );
    t.deepEqual(
      judge(report, { [name]: worse }).map(({ ok }) => ok),
      [false],
      name,
    );
  }
  t.deepEqual(judge(report, {}), []);
});

test('a run in which nobody finished keeps no bound on time', (t) => {
  const { report } = simulated({ ...CROWD, horizonMs: 5 });
  t.true(report.unfinished > 0);
  const [verdict] = judge(report, { p99Seconds: 1e9 });
  t.false(verdict!.ok);
  t.regex(verdictLine(verdict!), /^FAILED hosts done, p99: NaN s ≤ 1000000000 s$/);
});

test('growth compares the p99 of two sizes', (t) => {
  const reports = [10, 40].map((agents) => simulated({ ...CROWD, agents }).report);
  const ratio = percentile(reports[1]!.completionMs, 0.99) / percentile(reports[0]!.completionMs, 0.99);
  const growth = { fromAgents: 10, toAgents: 40 };
  t.is(judgeGrowth(reports, { ...growth, p99RatioMax: ratio })!.ok, true);
  t.is(judgeGrowth(reports, { ...growth, p99RatioMax: ratio - 0.01 })!.ok, false);
  t.is(judgeGrowth(reports, { ...growth, toAgents: 41, p99RatioMax: 1 }), undefined);
});

test('bounds and growth of scenarios are for runs that they have', (t) => {
  for (const [name, { runs, bounds = {}, growth }] of Object.entries(SCENARIOS)) {
    const links = new Set(runs.map((run) => simOptions(run).link));
    for (const link of Object.keys(bounds)) t.true(links.has(link), `${name}: ${link}`);
    if (growth === undefined) continue;
    const sizes = runs.map(({ agents }) => agents);
    t.true(sizes.includes(growth.fromAgents) && sizes.includes(growth.toAgents), name);
  }
});

test('a report measures each pull: first piece, last piece, commit', (t) => {
  const { simulation, report } = simulated(CROWD);
  for (const { askedAt, firstByteAt, piecesAt, finishedAt } of simulation.wants) {
    t.true(askedAt < firstByteAt!);
    t.true(firstByteAt! < piecesAt!);
    t.true(piecesAt! < finishedAt!);
  }
  for (const samples of [report.blobMs, report.firstByteMs, report.lastByteLagMs]) t.is(samples.length, 40);
  for (const samples of [report.completionMs, report.linkShares]) t.is(samples.length, 20);
  // One worker hashes both blobs of a host, so the lag is at least the hash of one last piece.
  t.true(report.lastByteLagMs[0]! >= (MiB / 1e9) * 560);
  t.true(report.linkShares[0]! > 0 && report.linkShares.at(-1)! <= 1);
  const slowest = report.completionMs.at(-1)!;
  t.true(Math.abs(report.linkShares[0]! - report.imageBytes / slowest / 300e3) < 1e-9);
  t.regex(
    reportLine(report),
    /p99\.9=.*first-byte-p50=.*last-byte-lag-max=.*origin-bytes=\d+.*duplicates=.*dials=.*refusals=/,
  );
});

test('nobody beats the store-and-forward bound', (t) => {
  for (const link of ['token-bucket', 'max-min']) {
    for (const agents of [1, 5, 60]) {
      const { simulation, report } = simulated({ ...CROWD, agents, link, latencyMs: 2 });
      const bound = storeAndForwardSeconds(simulation.options);
      const slowest = report.completionMs.at(-1)! / 1000;
      t.true(slowest >= bound, `${link}, ${agents}: ${slowest} s, bound ${bound} s`);
    }
  }
  const uber = storeAndForwardSeconds(simOptions(SCENARIOS['uber-2600']!.runs[0]!));
  t.is(uber.toFixed(1), '10.2');
  const slowUp = simOptions({ ...CROWD, agents: 100, agentUpBytesPerSecond: 1e6, originUpBytesPerSecond: 1e6 });
  t.true(storeAndForwardSeconds(slowUp) > (100 * 32 * MiB) / 103e6);
});

/** The storage behind the origins is slow enough to be seen. */
const COLD: Partial<SimOptions> = { ...CROWD, blobsIn: 'backend', origins: 3, backendBytesPerSecond: 20e6 };

test('origins read a prefetched blob from the backend once and copy it to each other', (t) => {
  const { simulation, report } = simulated({ ...COLD, prefetchMs: 20_000 });
  t.is(report.completionMs.length, 20);
  t.is(report.backendReadsMax, 1);
  t.is(report.bytesFromBackend, 32 * MiB);
  t.is(report.bytesBetweenOrigins, 2 * 32 * MiB);
  t.true(simulation.wants.every(({ askedAt }) => askedAt >= 20_000));
  t.true(report.completionMs.at(-1)! < 5000);
});

test('the first pulls of a blob that no origin has wait for the backend', (t) => {
  const { report } = simulated(COLD);
  t.is(report.completionMs.length, 20);
  t.is(report.backendReadsMax, 1);
  t.true(report.completionMs[0]! > ((16 * MiB) / 20e6) * 1000);
  const nowhere = simulated({ ...COLD, horizonMs: 500 }).report;
  t.is(nowhere.completionMs.length, 0);
});

test('popular blobs are pulled by many, each agent pulls a blob once and at a time of its own', (t) => {
  const simulation = new Simulation({
    agents: 60,
    blobs: 100,
    blobsPerAgent: 5,
    popularity: 'zipf',
    pullsApart: true,
    startWithinMs: 10_000,
  });
  const pulls = new Map(simulation.blobs.map((blob) => [blob, 0]));
  for (const { metainfo } of simulation.wants) pulls.set(metainfo, pulls.get(metainfo)! + 1);
  const byRank = [...pulls.values()];
  const sum = (ranks: readonly number[]): number => ranks.reduce((total, value) => total + value, 0);
  t.is(sum(byRank), 300);
  t.true(byRank[0]! > 30 && byRank[0]! <= 60, String(byRank[0]));
  t.true(sum(byRank.slice(0, 10)) > sum(byRank.slice(50)));
  t.true(byRank.includes(0));
  for (let node = 0; node < 60; node++) {
    const own = simulation.wants.filter((want) => want.node === node);
    t.is(new Set(own.map(({ metainfo }) => metainfo)).size, 5);
    t.is(new Set(own.map(({ askedAt }) => askedAt)).size, 5);
  }
});

test('unknown names of a workload are refused together', (t) => {
  const error = t.throws(
    () => simOptions({ popularity: 'fame', blobsIn: 'nowhere' } as unknown as Partial<SimOptions>),
    { instanceOf: RangeError },
  );
  t.regex(error.message, /uniform or zipf.*origins or backend/);
});
