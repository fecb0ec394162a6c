// `npm run soak -- --minutes N [--blobs N] [--seed N] [--save]`: a tracker, two origins and three agents in processes of their own, blobs of
// mixed size, clients that pull until they have everything, and kills and restarts drawn from the seed. Ends with the slopes of memory and
// descriptors and a verdict; exit code 1 when a bound is missed. `--save` writes benchmarks/results/YYYY-MM-DD-soak.md and .json.
//
// Processes run with the settings of memory that docs/OPERATING.md advises. Every half a minute each collects the garbage of its main
// thread and its memory is read: a leak is what stays.
//
// The load is closed (lib/soak/load.mjs): a machine that cannot carry it takes longer, and the report says how far it fell behind and how long
// processes waited for a core.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { forgetNodeVariables } from '../benchmarks/lib/environment.mjs';
import { describeMachine } from '../benchmarks/lib/machine.mjs';
import { saveResult } from '../benchmarks/lib/results.mjs';
import { ensureBuilt } from './lib/ensure-built.mjs';

const HELP = 'usage: npm run soak -- [--minutes N] [--processes N] [--blobs N] [--seed N] [--save]';
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    processes: { type: 'string', default: '6' },
    blobs: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    save: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
const processes = Number(values.processes);
// The product's load of 2,000 blobs in 20 minutes, for any length.
const blobs = Number(values.blobs ?? Math.ceil(minutes * 100));
const seed = Number(values.seed);
if (
  values.help ||
  !(minutes > 0) ||
  !(processes >= 4) ||
  !Number.isInteger(processes) ||
  !Number.isInteger(blobs) ||
  !Number.isInteger(seed)
) {
  console.error(HELP);
  process.exit(values.help ? 0 : 2);
}
ensureBuilt();
const { ProcessCluster } = await import('../packages/reference-server/dist-test/e2e/harness/clusters.js');
const { drawPlan } = await import('./lib/soak/plan.mjs');
const { Kills } = await import('./lib/soak/kills.mjs');
const { CLIENTS_MAX, Load } = await import('./lib/soak/load.mjs');
const { BOUNDS, JUDGED_MINUTES, judge } = await import('./lib/soak/report.mjs');
const { Samples } = await import('./lib/soak/samples.mjs');

const ORIGINS = 2;
const MIB = 2 ** 20;
const SAY_EVERY_MS = 60_000;
/** Caches let go of what nobody used for so long, so that blobs come back from storage too and the disk does not fill. */
const CLEAN_UP = 'cache_cleanup: {interval: 5s, tti: 30s}';
/** Torrents, connections and peers of swarms come and go many times in a run: what they leave behind shows. */
const SCHEDULER = 'scheduler: {seeder_tti: 20s, conn_tti: 10s}';
const PEERS = 'peerstore: {local: {ttl: 30s}}';
const PIECE_LENGTH = '1MB';
/** A copy on another origin is pinned until it has seen to its write-back, in half an hour by default: no cache would let go of it here. */
const WRITE_BACK = 'blobserver: {duplicate_write_back_stagger: 10s}';
/** As docs/OPERATING.md advises, this and the size of V8's semi-spaces. */
const MALLOC = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '131072' };
const COLLECT = fileURLToPath(new URL('lib/soak/collect-on-signal.cjs', import.meta.url));

const agentCount = processes - 1 - ORIGINS;
const origins = Array.from({ length: ORIGINS }, (_, i) => `origin-${i + 1}`);
const agents = Array.from({ length: agentCount }, (_, i) => `agent-${i + 1}`);
const durationMs = minutes * 60_000;
// One of each role that is there more than once is killed to the end; the others live through the second half.
const steady = ['tracker', origins[0], ...agents.slice(0, -1)];
const plan = drawPlan({ seed, durationMs, blobs, agents, origins, names: ['tracker', ...origins, ...agents], steady });

const startedOn = new Date();
const printed = [];
const mib = (bytes) => `${Math.round(bytes / MIB)} MiB`;
const total = plan.blobs.reduce((sum, { length }) => sum + length, 0);
print(
  `soak, seed ${seed}: ${processes} processes (tracker, ${ORIGINS} origins, ${agentCount} agents), ${minutes} min, ${blobs} blobs of ${mib(total)} in all, ${plan.blobs.reduce((sum, blob) => sum + blob.pulls.length, 0)} pulls by ${CLIENTS_MAX} clients, ${plan.ends.length} ends of processes`,
);
forgetNodeVariables();
const heaps = mkdtempSync(join(tmpdir(), 'kraken-soak-'));
Object.assign(process.env, MALLOC, {
  NODE_OPTIONS: `--max-semi-space-size=4 --require=${JSON.stringify(COLLECT)}`,
  KRAKEN_SOAK_HEAPS: heaps,
});
const cluster = new ProcessCluster({
  origins: ORIGINS,
  agents: agentCount,
  pieceLength: PIECE_LENGTH,
  shared: ['tracker'],
  // Blobs are asked for by digest: nothing listens here, and nothing needs it.
  elsewhere: { 'build-index': '127.0.0.1:1' },
  extra: { agent: SCHEDULER, origin: `${SCHEDULER}\n${WRITE_BACK}`, tracker: PEERS },
  stores: CLEAN_UP,
});
// Also when nobody waits for the orderly end.
process.once('exit', () => {
  cluster.abandon();
  rmSync(heaps, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => process.exit(128 + constants.signals[signal]));
await cluster.start();
const startedAt = performance.now();
const now = () => performance.now() - startedAt;
const kills = new Kills(cluster, now);
const load = new Load(cluster, now);
const samples = new Samples(() => kills.alive(), now, heaps);
let peakDiskBytes = 0;
const timer = setInterval(say, SAY_EVERY_MS);
let failed;
try {
  const [, loaded] = await Promise.all([kills.run(plan.ends), load.run(plan.blobs).then(() => now())]);
  samples.stop();
  kills.check();
  say();
  failed = report(Math.max(durationMs, loaded));
} finally {
  clearInterval(timer);
  samples.stop();
  await cluster.stop();
}
process.exit(failed ? 1 : 0);

function print(text) {
  console.log(text);
  printed.push(text);
}

function say() {
  kills.check();
  const diskBytes = diskUse();
  peakDiskBytes = Math.max(peakDiskBytes, diskBytes);
  const { pushes, pulls, bytesPulled, retriedPulls } = load.totals;
  print(
    `${(now() / 60_000).toFixed(1).padStart(5)} min: ${pushes} pushed, ${pulls} pulled (${mib(bytesPulled)}, ${retriedPulls} with retries), ${load.underWay} under way, ${kills.kills} killed, ${kills.stops} stopped, disk ${mib(diskBytes)}`,
  );
}

/** @returns whether anything failed */
function report(endMs) {
  const { pushes, pulls, bytesPulled, deletes, retriedPushes, retriedPulls, attempts } = load.totals;
  print(
    `\n${pushes} pushes (${retriedPushes} with retries), ${pulls} pulls of ${mib(bytesPulled)} (${retriedPulls} with retries, longest ${(load.longestPullMs / 1000).toFixed(1)} s), ${deletes} deletes, ${attempts} attempts; done after ${(endMs / 60_000).toFixed(1)} min; most on disk ${mib(peakDiskBytes)}`,
  );
  const { ranSec, waitedSec } = samples.scheduled;
  print(
    `a push was late by ${(load.latestMs / 1000).toFixed(1)} s at most; main threads of processes ran ${ranSec.toFixed(0)} s and waited ${waitedSec.toFixed(0)} s for a core`,
  );
  for (const [reason, count] of load.failures().slice(0, 20)) print(`  ${String(count).padStart(5)} × ${reason}`);
  print(
    `\nsecond half, least squares ± standard error; bounds: growth after collections of ${BOUNDS.keptMiBPerHour} MiB/h and ${BOUNDS.descriptorsPerHour} descriptors/h where it is more than twice its error and ${JUDGED_MINUTES} minutes of one life were seen, peaks of ${BOUNDS.rssMiB} MiB and ${BOUNDS.descriptors} descriptors`,
  );
  const rows = judge(samples, { endMs, restarts: kills.restarts });
  for (const { text } of rows) print(text);
  const problems = [
    ...load.lost.map((text) => `lost: ${text}`),
    ...load.wrong.map((text) => `wrong: ${text}`),
    ...kills.broken,
    ...(pushes < plan.blobs.length ? [`${plan.blobs.length - pushes} blobs were not pushed`] : []),
  ];
  for (const problem of problems.slice(0, 20)) print(problem);
  const bad = problems.length > 0 || rows.some((row) => row.failed);
  print(
    `\n${bad ? 'FAILED' : 'ok'}: ${load.lost.length} lost, ${load.wrong.length} wrong, ${kills.broken.length} broken processes, ${rows.filter((row) => row.failed).length} of ${rows.length} processes out of bounds`,
  );
  if (values.save) save({ endMs, rows, problems });
  return bad;
}

function save({ endMs, rows, problems }) {
  const began = startedOn.toISOString();
  const machine = describeMachine();
  const result = {
    startedAt: began,
    machine,
    options: { minutes, processes, blobs, seed },
    tookMs: Math.round(endMs),
    ...load.totals,
    longestPullMs: Math.round(load.longestPullMs),
    latestPushMs: Math.round(load.latestMs),
    kills: kills.kills,
    stops: kills.stops,
    lost: load.lost.length,
    wrong: load.wrong.length,
    failures: Object.fromEntries(load.failures()),
    mainThreads: samples.scheduled,
    bounds: BOUNDS,
    processes: rows,
    problems,
    /** By process: [at in s, life, RSS in MiB, descriptors]. */
    readings: Object.fromEntries([...samples.byName].map(([name, all]) => [name, all.map(compact)])),
    /** The same after collections, and MiB that JavaScript can reach. */
    collected: Object.fromEntries([...samples.collectedByName].map(([name, all]) => [name, all.map(compact)])),
  };
  saveResult(
    began,
    'soak',
    `${JSON.stringify(result)}\n`,
    `# Soak, ${began.slice(0, 10)}\n\n\`npm run soak -- --minutes ${minutes} --seed ${seed} --save\` on ${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}.\n\n\`\`\`text\n${printed.join('\n')}\n\`\`\`\n`,
  );
}

function compact({ atMs, life, rssMiB, descriptors, heapMiB }) {
  const heap = heapMiB === undefined ? [] : [Number(heapMiB.toFixed(2))];
  return [Math.round(atMs / 1000), life, Number(rssMiB.toFixed(1)), descriptors, ...heap];
}

/** Of all processes and of storage. Files may go meanwhile, which `du` says with an exit code. */
function diskUse() {
  try {
    return Number(
      execFileSync('du', ['-s', '-B1', cluster.directory], {
        stdio: ['ignore', 'pipe', 'ignore'],
        encoding: 'utf8',
      }).split('\t')[0],
    );
  } catch (error) {
    return Number(String(error.stdout).split('\t')[0]) || 0;
  }
}
