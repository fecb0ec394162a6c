/**
 * Disks that fail under running nodes: full, unreadable, emptied. What clients are told, that nothing wrong is served,
 * that the process lives, and that it works again once the cause is gone.
 */
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { request } from 'undici';
import { pull, testBlob, uploadToOrigins, type TestBlob } from './harness/blobs.js';
import { ProcessCluster, type NodeStatsAnswer } from './harness/clusters.js';
import { canMount, makeReadOnly } from './harness/mounts.js';
import { startServer, stopProcess } from './harness/processes.js';
import { haveTools } from './harness/tools.js';

const MIB = 2 ** 20;
const NAMESPACE = 'library/disk';
/** Root passes over modes by two capabilities; without them it is refused as everybody is. */
const MODES_COUNT = ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'];
/** 4 MiB/s, so that things happen in the middle of a pull. */
const SLOW =
  'scheduler: {conn: {bandwidth: {enable: true, egress_bits_per_sec: 33554432, ingress_bits_per_sec: 8589934592}}}';
const ONLY_TRACKER = { shared: ['tracker'], elsewhere: { 'build-index': '127.0.0.1:1' } } as const;

const registryUrl = (cluster: ProcessCluster, agent: string, { digest }: TestBlob): string =>
  `http://${cluster.at(agent)}/v2/${NAMESPACE}/blobs/${digest}`;
const apiUrl = (cluster: ProcessCluster, agent: string, { digest }: TestBlob): string =>
  `http://${cluster.at(`${agent} api`)}/namespace/${encodeURIComponent(NAMESPACE)}/blobs/${digest}`;

async function ask(url: string, method: 'GET' | 'DELETE' = 'GET'): Promise<{ status: number; text: string }> {
  const response = await request(url, { method, headersTimeout: 60_000, bodyTimeout: 60_000 });
  return { status: response.statusCode, text: await response.body.text() };
}

/** Health of a node, and a blob that comes whole. */
async function isWell(t: ExecutionContext, cluster: ProcessCluster, agent: string, blob: TestBlob): Promise<void> {
  t.is((await ask(`http://${cluster.at(`${agent} api`)}/health`)).status, 200, `${agent} is healthy`);
  const pulled = await pull(registryUrl(cluster, agent, blob), { limitMs: 60_000 });
  t.is(pulled.status, 200, `${agent} serves ${blob.digest}`);
  t.is(pulled.digest, blob.digest, agent);
}

/**
 * A pull that cannot succeed: an answer that says why, or a stream that breaks off with no byte wrong.
 * @returns what came: `status text`, or the error of the stream
 */
async function failingPull(t: ExecutionContext, url: string, blob: TestBlob): Promise<string> {
  const response = await request(url, { headersTimeout: 60_000, bodyTimeout: 60_000 });
  if (response.statusCode !== 200) return `${response.statusCode} ${await response.body.text()}`;
  const expected = blob.open();
  let right = Buffer.alloc(0);
  let length = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      while (right.length < chunk.length) {
        const next = await expected.next();
        if (next.done === true) break;
        right = Buffer.concat([right, next.value]);
      }
      if (!right.subarray(0, chunk.length).equals(chunk)) t.fail(`wrong bytes after ${length}`);
      right = right.subarray(chunk.length);
      length += chunk.length;
    }
  } catch (error) {
    return `broken after ${length} bytes: ${String(error)}`;
  }
  t.fail(`the whole blob came from ${url}`);
  return 'whole';
}

test.serial('full disk of an agent: 507 with the reason, and pulls work again once there is room', async (t) => {
  t.timeout(180_000);
  if (!canMount(t)) return;
  const cluster = new ProcessCluster({ origins: 1, agents: 2, ...ONLY_TRACKER, extra: { origin: SLOW } });
  cluster.mount('agent-1', 16);
  try {
    await cluster.start();
    const big = testBlob('too big', 20 * MIB);
    const fitting = testBlob('fitting', 12 * MIB);
    const small = testBlob('small', 3 * MIB);
    const other = testBlob('other', 5 * MIB);
    for (const blob of [big, fitting, small, other]) await uploadToOrigins([cluster.at('origin-1')], NAMESPACE, blob);

    const got = [
      await failingPull(t, registryUrl(cluster, 'agent-1', big), big),
      await failingPull(t, apiUrl(cluster, 'agent-1', big), big),
    ];
    t.log(got);
    t.regex(got[0] ?? '', /^507 .*20971520 bytes are needed/s);
    // Go's agent says 500 for every failure, and so does this door.
    t.regex(got[1] ?? '', /^500 .*20971520 bytes are needed/s);
    await isWell(t, cluster, 'agent-2', big);

    // Room when the pull begins, and none in the middle.
    const filler = cluster.path('agent-1', 'filler');
    const broken = failingPull(t, registryUrl(cluster, 'agent-1', fitting), fitting);
    await untilPieces(cluster, 'agent-1', 3);
    t.throws(() => writeFileSync(filler, Buffer.alloc(32 * MIB)), { code: 'ENOSPC' });
    t.log('filled in the middle of a pull:', await broken);
    t.is((await ask(`http://${cluster.at('agent-1 api')}/health`)).status, 200);
    rmSync(filler);
    await isWell(t, cluster, 'agent-1', fitting);
    t.is((await ask(`http://${cluster.at('agent-1 api')}/blobs/${fitting.digest}`, 'DELETE')).status, 200);

    // No room for anything, not even for the files beside a blob.
    t.throws(() => writeFileSync(filler, Buffer.alloc(32 * MIB)), { code: 'ENOSPC' });
    const full = await failingPull(t, registryUrl(cluster, 'agent-1', small), small);
    t.log(full);
    t.regex(full, /^507 .*3145728 bytes are needed/s);
    t.is((await ask(`http://${cluster.at('agent-1 api')}/health`)).status, 200);
    rmSync(filler);
    await isWell(t, cluster, 'agent-1', small);
    await isWell(t, cluster, 'agent-1', other);
  } finally {
    await cluster.stop();
  }
});

test.serial('full disk of an origin: a push is refused with 507 and leaves nothing, others work', async (t) => {
  t.timeout(180_000);
  if (!canMount(t)) return;
  const cluster = new ProcessCluster({ origins: 1, agents: 1, ...ONLY_TRACKER });
  cluster.mount('origin-1', 16);
  try {
    await cluster.start();
    const big = testBlob('too big for an origin', 48 * MIB);
    const error = await t.throwsAsync(uploadToOrigins([cluster.at('origin-1')], NAMESPACE, big));
    t.log(String(error));
    t.regex(String(error), /no space left|disk is full/i);
    t.is((await ask(`http://${cluster.at('origin-1')}/health`)).status, 200);
    t.is((await ask(registryUrl(cluster, 'agent-1', big))).status, 404, 'a push that failed is no blob');
    const small = testBlob('small for an origin', 3 * MIB);
    await uploadToOrigins([cluster.at('origin-1')], NAMESPACE, small);
    await isWell(t, cluster, 'agent-1', small);
  } finally {
    await cluster.stop();
  }
});

test.serial('a store that cannot be used: the start stops with exit code 1 and the path', async (t) => {
  t.timeout(120_000);
  if (!haveTools(t, 'setpriv')) return;
  const cluster = new ProcessCluster({ origins: 1, agents: 1, own: { 'agent-1': { under: MODES_COUNT } } });
  try {
    await cluster.start();
    const args = cluster.process('agent-1').child.spawnargs.slice(MODES_COUNT.length + 2);
    await cluster.halt('agent-1');
    const starts = async (): Promise<string> => {
      const started = startServer('agent-1', args, cluster.path('agent-1'), {}, MODES_COUNT);
      // Stopped when it should not have started.
      const timer = setTimeout(() => void stopProcess(started), 20_000);
      const code = await started.exited.finally(() => clearTimeout(timer));
      return `${code} ${started.output()}`;
    };
    for (const directory of ['cache', 'download']) {
      const path = cluster.path('agent-1', directory);
      rmSync(path, { recursive: true });
      writeFileSync(path, 'a file');
      const file = await starts();
      t.regex(file, new RegExp(`^1 .*(EEXIST|ENOTDIR).*${path}`, 's'));
      rmSync(path);
      mkdirSync(path);
      chmodSync(path, 0);
      const unreadable = await starts();
      t.regex(unreadable, new RegExp(`^1 .*EACCES.*${path}`, 's'));
      chmodSync(path, 0o755);
    }
    await cluster.startRole('agent-1');
    const blob = testBlob('usable again', 2 * MIB);
    await uploadToOrigins([cluster.at('origin-1')], NAMESPACE, blob);
    await isWell(t, cluster, 'agent-1', blob);
  } finally {
    await cluster.stop();
  }
});

test.serial(
  'a store that becomes read-only or unreadable under a running agent: pulls fail with the reason',
  async (t) => {
    t.timeout(180_000);
    if (!canMount(t) || !haveTools(t, 'setpriv')) return;
    const cluster = new ProcessCluster({
      origins: 1,
      agents: 1,
      ...ONLY_TRACKER,
      own: { 'agent-1': { under: MODES_COUNT } },
    });
    try {
      await cluster.start();
      const blobs = ['first', 'second', 'third', 'fourth'].map((seed) => testBlob(`unreadable ${seed}`, 3 * MIB));
      const [held, second, third, fourth] = blobs as [TestBlob, TestBlob, TestBlob, TestBlob];
      for (const blob of blobs) await uploadToOrigins([cluster.at('origin-1')], NAMESPACE, blob);
      await isWell(t, cluster, 'agent-1', held);

      const undo = makeReadOnly(cluster.path('agent-1'));
      const readOnly = await failingPull(t, registryUrl(cluster, 'agent-1', second), second);
      t.log(readOnly);
      // Paths are nobody's business but the log's.
      t.regex(readOnly, /^500 .*The local disk failed/s);
      await untilLogged(t, cluster, /EROFS/);
      await isWell(t, cluster, 'agent-1', held);
      undo();
      await isWell(t, cluster, 'agent-1', second);

      for (const directory of ['download', 'cache']) {
        chmodSync(cluster.path('agent-1', directory), 0);
        const unreadable = await failingPull(t, registryUrl(cluster, 'agent-1', third), third);
        t.log(directory, unreadable);
        t.regex(unreadable, /^500 .*The local disk failed/s);
        await untilLogged(t, cluster, new RegExp(`EACCES.*${cluster.path('agent-1', directory)}`));
        t.is((await ask(`http://${cluster.at('agent-1 api')}/health`)).status, 200);
        chmodSync(cluster.path('agent-1', directory), 0o755);
        await isWell(t, cluster, 'agent-1', held);
      }
      await isWell(t, cluster, 'agent-1', third);
      await isWell(t, cluster, 'agent-1', fourth);
    } finally {
      await cluster.stop();
    }
  },
);

test.serial('stores emptied under running nodes: nothing false is served, everything comes again', async (t) => {
  t.timeout(240_000);
  const cluster = new ProcessCluster({ origins: 1, agents: 2, ...ONLY_TRACKER, extra: { origin: SLOW } });
  const empty = (name: string): void => {
    for (const directory of ['cache', 'download', 'upload']) {
      const path = cluster.path(name, directory);
      rmSync(path, { recursive: true, force: true });
      if (directory !== 'download' || name === 'agent-1') mkdirSync(path, { recursive: true });
    }
  };
  try {
    await cluster.start();
    const held = testBlob('held', 6 * MIB);
    const late = testBlob('late', 4 * MIB);
    const going = testBlob('going', 24 * MIB);
    for (const blob of [held, late, going]) await uploadToOrigins([cluster.at('origin-1')], NAMESPACE, blob);
    await isWell(t, cluster, 'agent-1', held);

    // A blob that the agent has and serves to others: the other agent still gets it, right.
    empty('agent-1');
    await isWell(t, cluster, 'agent-2', held);
    const again = await pull(registryUrl(cluster, 'agent-1', held), { limitMs: 60_000 }).catch(String);
    t.log(typeof again === 'string' ? again : `served again: ${again.status}`);
    await isWell(t, cluster, 'agent-1', held);
    await isWell(t, cluster, 'agent-1', late);

    // In the middle of a pull, directories and all.
    const broken = failingPull(t, registryUrl(cluster, 'agent-1', going), going).catch(String);
    await untilPieces(cluster, 'agent-1', 14);
    empty('agent-1');
    t.log('in the middle of a pull:', await broken);
    await isWell(t, cluster, 'agent-1', going);
    t.true(readdirSync(cluster.path('agent-1', 'cache')).length > 0);

    // The origin's: it has written everything back, and fetches it from storage.
    t.is((await ask(`http://${cluster.at('agent-2 api')}/blobs/${held.digest}`, 'DELETE')).status, 200);
    t.is((await ask(`http://${cluster.at('agent-1 api')}/blobs/${held.digest}`, 'DELETE')).status, 200);
    empty('origin-1');
    const fromStorage = await pull(registryUrl(cluster, 'agent-2', held), { limitMs: 60_000 }).catch(String);
    t.log(typeof fromStorage === 'string' ? fromStorage : `from storage: ${fromStorage.status}`);
    t.is((await ask(`http://${cluster.at('origin-1')}/health`)).status, 200);
    await isWell(t, cluster, 'agent-2', held);
    await isWell(t, cluster, 'agent-2', late);
  } finally {
    await cluster.stop();
  }
});

async function untilPieces(cluster: ProcessCluster, agent: string, pieces: number): Promise<void> {
  for (let i = 0; i < 400; i++) {
    const response = await request(`http://${cluster.at(`${agent} api`)}/x/stats`);
    const { node } = (await response.body.json()) as NodeStatsAnswer;
    if (node.piecesReceived >= pieces) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${agent} has not received ${pieces} pieces`);
}

/** A log line may come after the answer that it belongs to. */
async function untilLogged(t: ExecutionContext, cluster: ProcessCluster, expected: RegExp): Promise<void> {
  const agent = cluster.process('agent-1');
  for (let i = 0; i < 100 && !expected.test(agent.output()); i++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  t.regex(agent.output(), expected);
}
