// `npm run soak -- --minutes N [--blobs N] [--seed N]`: a tracker, two origins and three agents in processes of their own, blobs of mixed
// size, clients that pull until they have everything, and kills and restarts drawn from the seed. Ends with the slopes of memory and
// descriptors and a verdict; exit code 1 when a bound is missed.
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './lib/ensure-built.mjs';

const HELP = 'usage: npm run soak -- [--minutes N] [--processes N] [--blobs N] [--seed N]';
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    processes: { type: 'string', default: '6' },
    blobs: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
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
const { Load } = await import('./lib/soak/load.mjs');
const { BOUNDS, judge } = await import('./lib/soak/report.mjs');
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

const agentCount = processes - 1 - ORIGINS;
const origins = Array.from({ length: ORIGINS }, (_, i) => `origin-${i + 1}`);
const agents = Array.from({ length: agentCount }, (_, i) => `agent-${i + 1}`);
const durationMs = minutes * 60_000;
// One of each role that is there more than once is killed to the end; the others live through the second half.
const steady = ['tracker', origins[0], ...agents.slice(0, -1)];
const plan = drawPlan({ seed, durationMs, blobs, agents, origins, names: ['tracker', ...origins, ...agents], steady });

const mib = (bytes) => `${Math.round(bytes / MIB)} MiB`;
const total = plan.blobs.reduce((sum, { length }) => sum + length, 0);
console.log(
  `soak, seed ${seed}: ${processes} processes (tracker, ${ORIGINS} origins, ${agentCount} agents), ${minutes} min, ${blobs} blobs of ${mib(total)} in all, ${plan.blobs.reduce((sum, blob) => sum + blob.pulls.length, 0)} pulls, ${plan.ends.length} ends of processes`,
);
const cluster = await new ProcessCluster({
  origins: ORIGINS,
  agents: agentCount,
  pieceLength: PIECE_LENGTH,
  shared: ['tracker'],
  // Blobs are asked for by digest: nothing listens here, and nothing needs it.
  elsewhere: { 'build-index': '127.0.0.1:1' },
  extra: { agent: SCHEDULER, origin: SCHEDULER, tracker: PEERS },
  stores: CLEAN_UP,
}).start();
const startedAt = performance.now();
const now = () => performance.now() - startedAt;
const kills = new Kills(cluster, now);
const load = new Load(cluster, now);
const samples = new Samples(() => kills.alive(), now);
let peakDiskBytes = 0;
const timer = setInterval(say, SAY_EVERY_MS);
let failed;
try {
  const [, loaded] = await Promise.all([kills.run(plan.ends), load.run(plan.blobs).then(() => now())]);
  samples.stop();
  kills.check();
  say();
  failed = report(loaded);
} finally {
  clearInterval(timer);
  samples.stop();
  await cluster.stop();
}
process.exit(failed ? 1 : 0);

function say() {
  kills.check();
  const diskBytes = diskUse();
  peakDiskBytes = Math.max(peakDiskBytes, diskBytes);
  const { pushes, pulls, bytesPulled, retriedPulls } = load.totals;
  console.log(
    `${(now() / 60_000).toFixed(1).padStart(5)} min: ${pushes} pushed, ${pulls} pulled (${mib(bytesPulled)}, ${retriedPulls} with retries), ${load.underWay} under way, ${kills.kills} killed, ${kills.stops} stopped, disk ${mib(diskBytes)}`,
  );
}

/** @returns whether anything failed */
function report(loadedMs) {
  const { pushes, pulls, bytesPulled, deletes, retriedPushes, retriedPulls, attempts } = load.totals;
  console.log(
    `\n${pushes} pushes (${retriedPushes} with retries), ${pulls} pulls of ${mib(bytesPulled)} (${retriedPulls} with retries, longest ${(load.longestPullMs / 1000).toFixed(1)} s), ${deletes} deletes, ${attempts} attempts; done after ${(loadedMs / 60_000).toFixed(1)} min; most on disk ${mib(peakDiskBytes)}`,
  );
  for (const [reason, count] of load.failures().slice(0, 20)) console.log(`  ${String(count).padStart(5)} × ${reason}`);
  console.log(
    `\nsecond half, least squares ± standard error; bounds: growth of ${BOUNDS.rssMiBPerHour} MiB/h and ${BOUNDS.descriptorsPerHour} descriptors/h where it is more than twice its error and 5 minutes of one life were seen, peaks of ${BOUNDS.rssMiB} MiB and ${BOUNDS.descriptors} descriptors`,
  );
  const rows = judge(samples.byName, { durationMs, restarts: kills.restarts });
  for (const { text } of rows) console.log(text);
  const problems = [
    ...load.lost.map((text) => `lost: ${text}`),
    ...load.wrong.map((text) => `wrong: ${text}`),
    ...kills.broken,
    ...(pushes < plan.blobs.length ? [`${plan.blobs.length - pushes} blobs were not pushed`] : []),
  ];
  for (const problem of problems.slice(0, 20)) console.log(problem);
  const bad = problems.length > 0 || rows.some((row) => row.failed);
  console.log(
    `\n${bad ? 'FAILED' : 'ok'}: ${load.lost.length} lost, ${load.wrong.length} wrong, ${kills.broken.length} broken processes, ${rows.filter((row) => row.failed).length} of ${rows.length} processes out of bounds`,
  );
  return bad;
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
