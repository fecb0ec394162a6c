/** What an operator can do to a running agent through its API: look, remove, reload the scheduler under load. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { request } from 'undici';
import { addrHash } from '@kraken/p2p';
import { silentLogger } from '@kraken/core/ports';
import { startCluster } from '../dist/cluster/embedded-cluster.js';
import { pull, testBlob, uploadToOrigins, type TestBlob } from './e2e/harness/blobs.js';

const MIB = 2 ** 20;

interface Levers {
  readonly ask: (
    method: 'GET' | 'DELETE' | 'PATCH',
    path: string,
    body?: string,
  ) => Promise<{ status: number; text: string }>;
  readonly blobUrl: (blob: TestBlob) => string;
  readonly upload: (blob: TestBlob) => Promise<void>;
  readonly cluster: Awaited<ReturnType<typeof startCluster>>;
}

async function levers(t: ExecutionContext, originEgressBytesPerSec?: number): Promise<Levers> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'kraken-levers-'));
  const cluster = await startCluster({
    dataDirectory,
    agents: 1,
    origins: 1,
    pieceLengthBytes: 64 * 1024,
    ports: 'any',
    logger: silentLogger,
    ...(originEgressBytesPerSec === undefined ? {} : { originEgressBytesPerSec }),
  });
  t.teardown(async () => {
    await cluster.close(0);
    rmSync(dataDirectory, { recursive: true, force: true });
  });
  const api = `http://${cluster.host}:${cluster.agents[0]?.ports['agent api'] ?? 0}`;
  return {
    cluster,
    ask: async (method, path, body) => {
      const response = await request(`${api}${path}`, { method, ...(body === undefined ? {} : { body }) });
      return { status: response.statusCode, text: await response.body.text() };
    },
    blobUrl: (blob) => `${api}/namespace/library%2Flevers/blobs/${blob.digest}`,
    upload: (blob) =>
      uploadToOrigins([`${cluster.host}:${cluster.origins[0]?.ports['blob server'] ?? 0}`], 'library/levers', blob),
  };
}

/** A whole scheduler configuration, as Go's `reload` sends it. */
const scheduler = (changes: object): string => JSON.stringify({ ConnTTI: 30e9, ...changes });

test('PATCH /x/config/scheduler changes a running download and drops neither it nor its connection', async (t) => {
  const { cluster, ask, blobUrl, upload } = await levers(t, 256 * 1024);
  const node = cluster.agents[0]?.node;
  const origin = cluster.origins[0]?.node;
  const blob = testBlob('levers', 3 * MIB + 11);
  await upload(blob);
  let patched: Promise<{ status: number; text: string }> | undefined;
  const got = await pull(blobUrl(blob), {
    onFirstByte: () => {
      patched = ask(
        'PATCH',
        '/x/config/scheduler',
        scheduler({
          Dispatch: { AgentPipelineLimit: 1, OriginPipelineLimit: 7 },
          ConnState: { MaxOpenConnectionsPerTorrent: 4 },
        }),
      ).then((answer) => {
        // As the origin's own route would.
        origin?.setBandwidth({});
        return answer;
      });
    },
  });
  t.like(got, { status: 200, digest: blob.digest, length: blob.length });
  t.is((await patched)?.status, 200);
  t.like(node?.swarm, { pipelineLimit: 1, originPipelineLimit: 7, connectionsPerTorrentMax: 4 });
  t.is(node?.stats().host.dialled, 1, 'one connection, to the end');
  t.is((await ask('PATCH', '/x/config/scheduler', '{"ConnTTI":"30s"}')).status, 400, 'durations are nanoseconds');
  t.is(node?.swarm.pipelineLimit, 1, 'a refused body changes nothing');
});

test('probe, remove and a second download', async (t) => {
  const { cluster, ask, blobUrl, upload } = await levers(t);
  const node = cluster.agents[0]?.node;
  t.deepEqual(await ask('GET', '/health'), { status: 200, text: 'OK' });
  t.deepEqual(await ask('GET', '/readiness'), { status: 200, text: 'OK' });
  const blob = testBlob('levers-remove', MIB);
  await upload(blob);
  t.is((await pull(blobUrl(blob))).digest, blob.digest);
  t.truthy(node?.status(blob.digest));
  t.is((await ask('DELETE', `/blobs/${blob.digest}`)).status, 200);
  t.is(node?.status(blob.digest), undefined);
  t.is((await ask('DELETE', `/blobs/${blob.digest}`)).status, 200, 'nothing to remove is no error');
  t.is((await pull(blobUrl(blob))).digest, blob.digest, 'it can be had again');
  await node?.close();
  t.is((await ask('GET', '/health')).status, 500, 'a node that does not answer');
});

test('GET /x/blacklist names the peers that are left alone, with Go’s fields; null when there are none', async (t) => {
  const { cluster, ask, blobUrl, upload } = await levers(t);
  t.deepEqual(await ask('GET', '/x/blacklist'), { status: 200, text: 'null\n' });
  const blob = testBlob('levers-blacklist', MIB);
  await upload(blob);
  const tracker = cluster.roles.find(({ name }) => name === 'tracker')?.role.ports['tracker'] ?? 0;
  // Somebody who takes connections and answers nonsense.
  const liar = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void liar.close());
  const { port } = liar.address() as { port: number };
  const peerId = addrHash('127.0.0.1', port);
  const infoHash = (await cluster.origins[0]?.node.open(blob.digest))?.metainfo.infoHash ?? '';
  const bytes = (hex: string): number[] => [...Buffer.from(hex, 'hex')];
  const announced = await request(`http://${cluster.host}:${tracker}/announce/${infoHash}`, {
    method: 'POST',
    body: JSON.stringify({
      name: blob.digest.slice('sha256:'.length),
      digest: blob.digest,
      info_hash: bytes(infoHash),
      peer: { peer_id: bytes(peerId), ip: '127.0.0.1', port, origin: false, complete: true },
    }),
  });
  t.is(announced.statusCode, 200, await announced.body.text());
  t.is((await pull(blobUrl(blob))).digest, blob.digest);
  interface Entry {
    readonly peer_id: readonly number[];
    readonly info_hash: readonly number[];
    readonly remaining: number;
  }
  const listed = JSON.parse((await ask('GET', '/x/blacklist')).text) as Entry[] | null;
  const entry = listed?.find(({ peer_id: id }) => Buffer.from(id).toString('hex') === peerId);
  t.truthy(entry, JSON.stringify(listed));
  t.deepEqual(entry?.info_hash, bytes(infoHash));
  t.true((entry?.remaining ?? 0) > 1e9, 'nanoseconds');
});
