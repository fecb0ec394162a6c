/** Blobs larger than memory should be: separate processes, one origin cluster, several agents. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { request } from 'undici';
import { digestHex } from '@kraken/core/content';
import { pull, testBlob, uploadToOrigins } from './harness/blobs.js';
import { ProcessCluster, type NodeStatsAnswer } from './harness/clusters.js';
import { peakRssBytes } from './harness/processes.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

async function statsOf(cluster: ProcessCluster, name: string): Promise<NodeStatsAnswer> {
  const response = await request(`http://${cluster.at(`${name} api`)}/x/stats`);
  return (await response.body.json()) as NodeStatsAnswer;
}

test.serial('three agents pull 2 GiB at once in bounded memory', async (t) => {
  t.timeout(600_000);
  const cluster = await new ProcessCluster({ origins: 2, agents: 3, pieceLength: '4MB' }).start();
  try {
    const blob = testBlob('2 GiB', 2 * GIB);
    await uploadToOrigins([cluster.at('origin-1'), cluster.at('origin-2')], 'library/big', blob);
    const names = ['agent-1', 'agent-2', 'agent-3'];
    const pulls = await Promise.all(
      names.map(async (name) =>
        pull(`http://${cluster.at(`${name} api`)}/namespace/library%2Fbig/blobs/${blob.digest}`),
      ),
    );
    for (const [i, name] of names.entries()) {
      t.is(pulls[i]?.digest, blob.digest, name);
      const rss = peakRssBytes(cluster.process(name));
      const { process: cost, node } = await statsOf(cluster, name);
      t.log(
        `${name}: ${((pulls[i]?.totalMs ?? 0) / 1000).toFixed(1)} s, peak RSS ${(rss / MIB).toFixed(0)} MiB, loop delay p99 ${cost.eventLoopDelayMs.p99} ms, max ${cost.eventLoopDelayMs.max} ms, duplicates ${node.piecesDuplicate}`,
      );
      t.true(rss <= 200 * MIB, `${name} peak RSS ${(rss / MIB).toFixed(0)} MiB`);
    }
  } finally {
    await cluster.stop();
  }
});

test.serial('an agent that is killed in the middle of a pull fetches again at most what was in flight', async (t) => {
  t.timeout(300_000);
  const limit =
    'scheduler: {conn: {bandwidth: {enable: true, egress_bits_per_sec: 419430400, ingress_bits_per_sec: 8589934592}}}';
  const cluster = await new ProcessCluster({
    origins: 1,
    agents: 1,
    pieceLength: '1MB',
    extra: { origin: limit },
  }).start();
  try {
    const blob = testBlob('killed', 256 * MIB);
    await uploadToOrigins([cluster.at('origin-1')], 'library/killed', blob);
    const url = (): string => `http://${cluster.at('agent-1 api')}/namespace/library%2Fkilled/blobs/${blob.digest}`;
    const broken = t.throwsAsync(pull(url()));
    let before = 0;
    let requested = 0;
    for (let i = 0; i < 400 && before < 60; i++) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      const { node } = await statsOf(cluster, 'agent-1');
      before = node.piecesReceived;
      requested = Number(node['piecesRequested']);
    }
    t.true(before >= 60 && before < 256, `killed after ${before} pieces`);
    cluster.process('agent-1').child.kill('SIGKILL');
    await cluster.process('agent-1').exited;
    await broken;
    await cluster.startRole('agent-1');
    const again = await pull(url());
    t.is(again.digest, blob.digest);
    const { node } = await statsOf(cluster, 'agent-1');
    const inFlight = Math.max(0, requested - before);
    t.log(
      `stored ${before} of 256 pieces, about ${inFlight} in flight; ${node.piecesReceived} fetched after the restart`,
    );
    // Between the last reading and the kill further pieces may have come, never fewer.
    t.true(node.piecesReceived <= 256 - before, `${node.piecesReceived} fetched, ${256 - before} were missing`);
  } finally {
    await cluster.stop();
  }
});

test.serial('the first byte of a cold 1 GiB blob comes before 5 % of it is on disk', async (t) => {
  t.timeout(300_000);
  const limit =
    'scheduler: {conn: {bandwidth: {enable: true, egress_bits_per_sec: 1677721600, ingress_bits_per_sec: 8589934592}}}';
  const cluster = await new ProcessCluster({
    origins: 1,
    agents: 1,
    pieceLength: '4MB',
    extra: { origin: limit },
  }).start();
  try {
    const blob = testBlob('cold', GIB);
    await uploadToOrigins([cluster.at('origin-1')], 'library/cold', blob);
    let bytesAtFirst = -1;
    const pulled = await pull(`http://${cluster.at('agent-1')}/v2/library/cold/blobs/${blob.digest}`, {
      onFirstByte: () => {
        bytesAtFirst = allocatedBytes(cluster.path('agent-1', 'download'), digestHex(blob.digest));
      },
    });
    t.is(pulled.digest, blob.digest);
    t.log(
      `first byte after ${pulled.firstByteMs.toFixed(0)} ms with ${(bytesAtFirst / MIB).toFixed(1)} MiB on disk, last after ${(pulled.totalMs / 1000).toFixed(1)} s`,
    );
    t.true(bytesAtFirst >= 0 && bytesAtFirst < 0.05 * GIB);
  } finally {
    await cluster.stop();
  }
});

/** Bytes that a sparse file really holds. */
function allocatedBytes(directory: string, hex: string): number {
  const folder = join(directory, hex.slice(0, 2), hex.slice(2, 4), hex);
  return readdirSync(folder).includes('data') ? statSync(join(folder, 'data')).blocks * 512 : 0;
}
