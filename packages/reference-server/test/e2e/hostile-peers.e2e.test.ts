/** Peers that forge, keep silent, send garbage and hang up, among honest agents; with piece layers, and without. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { request } from 'undici';
import test, { type ExecutionContext } from 'ava';
import { digestHex, type Digest } from '@kraken/core/content';
import { pull, testBlob, uploadToOrigins } from './harness/blobs.js';
import { ProcessCluster } from './harness/clusters.js';
import type { ForgedLine, Harm, HostilePeerOptions } from './harness/hostile-peer.js';
import { startProcess, stopProcess, type StartedProcess } from './harness/processes.js';
import { startStrippingTracker, type StrippingTracker } from './harness/stripping-tracker.js';

const MIB = 2 ** 20;
const AGENTS = 6;
const PIECES = 48;
const NAMESPACE = 'library/hostile';
const HARMS: readonly Harm[] = ['forge', 'silent', 'garbage', 'quit'];
const SCRIPT = new URL('./harness/hostile-peer.js', import.meta.url).pathname;
/** A client that sees its stream break asks again. */
const ATTEMPTS = 20;

interface Stats {
  readonly node: {
    readonly piecesReceived: number;
    readonly piecesProven: number;
    readonly piecesForged: number;
    readonly piecesBlamed: number;
  };
}

async function json(url: string): Promise<unknown> {
  const response = await request(url);
  return response.body.json();
}

function hexOf(id: readonly number[]): string {
  return Buffer.from(id).toString('hex');
}

async function startHostile(harm: Harm, tracker: string, cwd: string, seed: string): Promise<StartedProcess> {
  const options: HostilePeerOptions = { harm, tracker, namespace: NAMESPACE, seed, length: PIECES * MIB };
  const started = startProcess(harm, process.execPath, [SCRIPT, JSON.stringify(options)], { cwd });
  for (let i = 0; i < 400 && !started.output().includes('"ready"'); i++) {
    if (started.child.exitCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (!started.output().includes('"ready"')) throw new Error(`${harm} did not start:\n${started.output()}`);
  return started;
}

function forgeries(forger: StartedProcess): ForgedLine[] {
  return forger
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{"forged"'))
    .map((line) => JSON.parse(line) as ForgedLine);
}

/** Pull until a stream ends well. A stream that ends well must have the right bytes. @returns broken attempts */
async function pullUntilWhole(t: ExecutionContext, url: string, digest: Digest): Promise<number> {
  for (let broken = 0; broken < ATTEMPTS; broken++) {
    try {
      const pulled = await pull(url, { limitMs: 120_000 });
      if (pulled.status === 200) {
        t.is(pulled.length, PIECES * MIB);
        t.is(pulled.digest, digest, 'a stream that ended well');
        return broken;
      }
    } catch {
      // Broken off, as it should when the bytes are wrong.
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  throw new Error(`${url} did not come whole in ${ATTEMPTS} attempts`);
}

async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

/** Run the scene. @returns broken attempts in all, and what each agent counted */
async function scene(
  t: ExecutionContext,
  stripped: boolean,
): Promise<{ broken: number; stats: Map<string, Stats['node']> }> {
  const seed = `hostile ${stripped}`;
  const slow =
    'scheduler: {conn: {bandwidth: {enable: true, egress_bits_per_sec: 134217728, ingress_bits_per_sec: 8589934592}}}';
  let front: StrippingTracker | undefined;
  const hostile: StartedProcess[] = [];
  const cluster = new ProcessCluster({ origins: 1, agents: 0, extra: { origin: slow } });
  let agents: ProcessCluster | undefined;
  try {
    await cluster.start();
    front = stripped ? await startStrippingTracker(cluster.at('tracker')) : undefined;
    const tracker = front?.address ?? cluster.at('tracker');
    agents = await ProcessCluster.agentsOf({ tracker, 'build-index': cluster.at('build-index') }, AGENTS).start();
    const blob = testBlob(seed, PIECES * MIB);
    await uploadToOrigins([cluster.at('origin-1')], NAMESPACE, blob);
    for (const harm of HARMS) hostile.push(await startHostile(harm, tracker, cluster.path(harm), seed));

    const names = Array.from({ length: AGENTS }, (_, i) => `agent-${i + 1}`);
    const { digest } = blob;
    const running = agents;
    const pulls = names.map((name) =>
      pullUntilWhole(t, `http://${running.at(name)}/v2/${NAMESPACE}/blobs/${digest}`, digest),
    );
    const broken = (await Promise.all(pulls)).reduce((sum, one) => sum + one, 0);

    const hex = digestHex(digest);
    for (const name of names) {
      const path = agents.path(name, 'cache', join(hex.slice(0, 2), hex.slice(2, 4), hex, 'data'));
      t.true(existsSync(path), `${name} has committed the blob`);
      t.is(await fileDigest(path), digest, `cache of ${name}`);
    }
    const [forger] = hostile;
    const sent = forger === undefined ? [] : forgeries(forger);
    t.true(sent.length > 0, 'the forger got its chance');
    const forgerId = createHash('sha1').update('hostile forge').digest('hex');
    const stats = new Map<string, Stats['node']>();
    for (const name of names) {
      const api = agents.at(`${name} api`);
      const { node } = (await json(`http://${api}/x/stats`)) as Stats;
      stats.set(name, node);
      const blacklist = ((await json(`http://${api}/x/blacklist`)) ?? []) as readonly { peer_id: readonly number[] }[];
      const self = createHash('sha1')
        .update(`127.0.0.1:${agents.port(`${name} peer`)}`)
        .digest('hex');
      const gotForged = sent.some(({ to }) => to === self);
      const isBanned = blacklist.some((entry) => hexOf(entry.peer_id) === forgerId);
      t.is(isBanned, gotForged, `${name}: forged pieces ${gotForged}, forger banned ${isBanned}`);
    }
    t.log(`${sent.length} forged pieces sent, ${broken} streams broke`);
    return { broken, stats };
  } finally {
    for (const process of hostile) await stopProcess(process, 2000);
    await agents?.stop();
    await front?.close();
    await cluster.stop();
  }
}

test.serial(
  'with a root: every forged piece is found on arrival, the forger banned, and no stream breaks',
  async (t) => {
    t.timeout(240_000);
    const { broken, stats } = await scene(t, false);
    t.is(broken, 0);
    let forged = 0;
    for (const [name, node] of stats) {
      t.true(node.piecesReceived >= PIECES, name);
      t.is(node.piecesProven, node.piecesReceived, `${name}: pieces proved by the layer`);
      t.is(node.piecesBlamed, 0, name);
      forged += node.piecesForged;
    }
    t.true(forged > 0);
  },
);

test.serial(
  'behind a tracker that drops roots: nothing forged is kept or passed off as whole, and all come through',
  async (t) => {
    t.timeout(400_000);
    const { stats } = await scene(t, true);
    let blamed = 0;
    for (const [name, node] of stats) {
      t.is(node.piecesProven, 0, name);
      blamed += node.piecesBlamed;
    }
    t.true(blamed > 0, 'forged pieces were found by comparing them with an origin');
  },
);
