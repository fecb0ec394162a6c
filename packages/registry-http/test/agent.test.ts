import { parseInfoHash, parsePeerId } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  createAgentClient,
  createAgentHandler,
  createBackupRegistry,
  createRegistryHandler,
  withAccessLog,
  createDockerPreload,
  createHttpClient,
  listenHttp,
  type AgentClient,
  type AgentHandlerOptions,
} from '@kraken/registry-http';
import test, { type ExecutionContext } from 'ava';
import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCapture } from './support/captures.js';
import { digestOf, memoryCluster, type MemoryCluster } from './support/memory-cluster.js';
import { rawRequest } from './support/raw-http.js';

interface Fixture {
  readonly cluster: MemoryCluster;
  readonly port: number;
  readonly client: AgentClient;
}

async function agent(t: ExecutionContext, more: Partial<AgentHandlerOptions> = {}): Promise<Fixture> {
  const cluster = memoryCluster();
  const handler = createAgentHandler({
    blobs: cluster.blobs,
    tags: cluster.tags,
    remove: (digest) => {
      cluster.held.delete(digest);
      return Promise.resolve();
    },
    probe: () => Promise.resolve(),
    ready: [],
    blacklist: () => [],
    reconfigure: () => Promise.resolve(),
    ...more,
  });
  const server = await listenHttp({ handler, host: '127.0.0.1', port: 0 });
  const http = createHttpClient();
  t.teardown(async () => {
    await http.close();
    await server.close();
  });
  return { cluster, port: server.port, client: createAgentClient(http, `127.0.0.1:${server.port}`) };
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'no error';
  } catch (error) {
    return isKrakenError(error) ? error.code : `not coded: ${String(error)}`;
  }
};

/** Recorded answers that ours improves on: our status. */
const DIFFERENCES: Readonly<Record<string, number>> = { 'blob HEAD': 200, 'blob Range': 206 };

test('the recorded answers of a Go agent', async (t) => {
  const exchanges = readCapture('agent-api.http').filter((exchange) => exchange.port === '18070');
  t.is(exchanges.length, 15);
  const recorded = exchanges.find((exchange) => exchange.title === 'blacklist')?.body ?? '[]';
  const entries = (JSON.parse(recorded) as { peer_id: number[]; info_hash: number[]; remaining: number }[]).map(
    (entry) => ({
      peerId: parsePeerId(Buffer.from(entry.peer_id).toString('hex')),
      infoHash: parseInfoHash(Buffer.from(entry.info_hash).toString('hex')),
      remainingMs: entry.remaining / 1e6,
    }),
  );
  const { cluster, port, client } = await agent(t, { blacklist: () => entries });
  cluster.add('0123456789');
  const tagged = exchanges.find((exchange) => exchange.title === 'tag')?.body ?? '';
  cluster.tagMap.set('lab/img:v1', tagged as never);
  let different = 0;
  for (const exchange of exchanges) {
    const answer = await rawRequest(port, exchange.method, exchange.path, exchange.requestHeaders);
    const ours = DIFFERENCES[exchange.title];
    t.is(answer.status, ours ?? exchange.status, exchange.title);
    if (ours !== undefined) {
      different += 1;
      continue;
    }
    t.is(answer.body, exchange.body, exchange.title);
    t.is(answer.headers['content-length'], exchange.headers['content-length'], exchange.title);
    if (!exchange.title.startsWith('blob'))
      t.is(answer.headers['content-type'], exchange.headers['content-type'], exchange.title);
  }
  t.is(different, Object.keys(DIFFERENCES).length);
  t.deepEqual(await client.blacklist(), entries);
});

test('blobs through the typed client', async (t) => {
  const { cluster, client } = await agent(t);
  const content = Buffer.alloc(30_000, 'abcdefg');
  const digest = cluster.add(content);
  const collect = async (stream: AsyncIterable<Uint8Array>): Promise<Buffer> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    return Buffer.concat(chunks);
  };
  const whole = await client.download('a/b:c', digest);
  t.deepEqual([whole.length, whole.partial], [30_000, false]);
  t.true((await collect(whole.stream)).equals(content));
  t.is(cluster.calls.at(-1), `open a/b:c ${digest}`, 'the namespace survives escaping');
  const part = await client.download('x', digest, { range: { start: 7, end: 9 } });
  t.deepEqual([part.length, part.partial, (await collect(part.stream)).toString()], [2, true, 'ab']);
  t.is(await codeOf(client.download('x', digest, { range: { start: 30_000, end: 30_001 } })), 'upstream-failed');
  t.is(await codeOf(client.download('x', digestOf('none'))), 'blob-unknown');
  await client.remove(digest);
  t.false(cluster.held.has(digest));
  t.is(await codeOf(client.getTag('a:b')), 'tag-unknown');
  cluster.tagMap.set('a/b:c', digest);
  t.is(await client.getTag('a/b:c'), digest);
  t.deepEqual(await client.blacklist(), []);
});

test('pull failures: 404 for nobody has it, Go’s 500 for the rest, 503 for our own limits', async (t) => {
  const { cluster, port } = await agent(t);
  const path = `/namespace/a/blobs/${digestOf('x')}`;
  for (const [code, status, body] of [
    ['blob-unknown', 404, ''],
    ['storage-unavailable', 500, 'download torrent: why'],
    ['pull-stalled', 500, 'download torrent: why'],
    ['too-many-pulls', 503, 'download torrent: why'],
  ] as const) {
    cluster.failure = new KrakenError(code, 'why');
    const answer = await rawRequest(port, 'GET', path);
    t.deepEqual([answer.status, answer.body], [status, body], code);
  }
});

test('health and readiness report every problem, in order', async (t) => {
  const fails = (text: string) => () => Promise.reject(new Error(text));
  const { port, client } = await agent(t, {
    probe: fails('test scheduler error'),
    ready: [fails('build index not ready'), fails('tracker not ready')],
  });
  const ready = await rawRequest(port, 'GET', '/readiness');
  t.deepEqual(
    [ready.status, ready.body],
    [503, 'agent not ready: test scheduler error\nbuild index not ready\ntracker not ready'],
  );
  const health = await rawRequest(port, 'GET', '/health');
  t.deepEqual([health.status, health.body], [500, 'probe torrent client: test scheduler error']);
  t.is(await codeOf(client.checkReady()), 'not-ready');
  t.is(await codeOf(client.checkHealth()), 'upstream-failed');
  const good = await agent(t);
  await good.client.checkReady();
  await good.client.checkHealth();
});

test('reconfiguration', async (t) => {
  const seen: unknown[] = [];
  const { port, client } = await agent(t, {
    reconfigure: (config) => {
      if (config === null) throw new KrakenError('request-invalid', 'expected an object');
      seen.push(config);
      return Promise.resolve();
    },
  });
  await client.reconfigure({ SeederTTI: 1e9 });
  t.deepEqual(seen, [{ SeederTTI: 1e9 }]);
  const bad = await rawRequest(port, 'PATCH', '/x/config/scheduler', {}, '{');
  t.is(bad.status, 400);
  t.true(bad.body.startsWith('json decode: '));
  t.is((await rawRequest(port, 'PATCH', '/x/config/scheduler', {}, 'null')).status, 400);
  t.is((await rawRequest(port, 'PATCH', '/x/config/scheduler', { 'content-length': '2000000' })).status, 413);
});

test('preload: Go’s refusals, and a Docker daemon that pulls', async (t) => {
  const bare = await agent(t);
  for (const [path, status, body] of [
    ['/preload/tags/a%2Fb', 500, 'failed to parse docker image tag'],
    ['/preload/tags/h:5000%2Fa:b', 500, 'failed to parse docker image tag'],
    ['/preload/tags/a:b?runtime=x', 500, 'unsupported container runtime'],
    ['/preload/tags/a:b', 501, 'preloading into a container runtime is not configured on this agent'],
  ] as const) {
    const answer = await rawRequest(bare.port, 'GET', path);
    t.deepEqual([answer.status, answer.body], [status, body], path);
  }

  const directory = await mkdtemp(join(tmpdir(), 'kraken-preload-'));
  const asked: string[] = [];
  const daemon = createServer((req, res) => {
    asked.push(`${String(req.method)} ${String(req.url)} ${JSON.stringify(req.headers['x-registry-auth'])}`);
    if (req.url?.includes('missing') === true) res.writeHead(404).end('no such image');
    else if (req.url?.includes('broken') === true)
      res.end('{"status":"Pulling"}\n{"errorDetail":{},"error":"manifest unknown"}\n');
    else res.end('{"status":"Pulling"}\n{"status":"Done"}\n');
  });
  const socket = join(directory, 'docker.sock');
  await new Promise<void>((resolve) => daemon.listen(socket, resolve));
  t.teardown(async () => {
    daemon.closeAllConnections();
    await new Promise((resolve) => daemon.close(resolve));
    await rm(directory, { recursive: true });
  });
  const { port } = await agent(t, {
    preload: createDockerPreload({ dockerHost: `unix://${socket}`, registry: '127.0.0.1:5055' }),
  });
  t.is((await rawRequest(port, 'GET', '/preload/tags/a%2Fb:c')).status, 200);
  t.deepEqual(asked, ['POST /v1.21/images/create?fromImage=127.0.0.1%3A5055%2Fa%2Fb&tag=c ""']);
  const missing = await rawRequest(port, 'GET', '/preload/tags/missing:c?runtime=docker');
  t.deepEqual(
    [missing.status, missing.body],
    [500, 'docker pull: error posting to /images/create: code 404, err: no such image'],
  );
  t.is((await rawRequest(port, 'GET', '/preload/tags/broken:c')).body, 'docker pull: manifest unknown');
  t.is((await rawRequest(port, 'GET', '/preload/tags/a:c?runtime=containerd')).status, 500);
  for (const host of ['x', 'ssh://h']) t.throws(() => createDockerPreload({ dockerHost: host, registry: 'r' }));
});

test('a backup registry answers pulls that fail here, and only those', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const other = memoryCluster();
  const log = (fields: object): number => lines.push(fields as Record<string, unknown>);
  const logger = { debug: log, info: log, warn: log, error: log };
  const backupHandler = withAccessLog(createRegistryHandler({ blobs: other.blobs, tags: other.tags }), logger);
  const backup = await listenHttp({ handler: backupHandler, host: '127.0.0.1', port: 0 });
  const http = createHttpClient();
  const cluster = memoryCluster();
  const handler = createRegistryHandler({
    blobs: cluster.blobs,
    tags: cluster.tags,
    backup: createBackupRegistry(http, `127.0.0.1:${backup.port}`),
  });
  const server = await listenHttp({ handler, host: '127.0.0.1', port: 0 });
  t.teardown(async () => {
    await http.close();
    await Promise.all([server.close(), backup.close()]);
  });
  const digest = other.add('0123456789');
  const path = `/v2/a/blobs/${digest}`;
  const whole = await rawRequest(server.port, 'GET', path);
  t.deepEqual([whole.status, whole.body, whole.headers['etag']], [200, '0123456789', `"${digest}"`]);
  const part = await rawRequest(server.port, 'GET', path, { range: 'bytes=2-3' });
  t.deepEqual([part.status, part.body, part.headers['content-range']], [206, '23', 'bytes 2-3/10']);
  const head = await rawRequest(server.port, 'HEAD', path);
  t.deepEqual([head.status, head.headers['content-length'], head.body], [200, '10', '']);
  cluster.failure = new KrakenError('storage-unavailable', 'ours');
  t.is((await rawRequest(server.port, 'GET', path)).status, 200);
  t.is(lines.length, 4);
  t.like(lines[1], { verb: 'GET', path, status: 206, responseLength: 2 });

  const neither = await rawRequest(server.port, 'GET', `/v2/a/blobs/${digestOf('x')}`);
  t.deepEqual([neither.status, neither.body.includes('ours')], [503, true], 'our own failure is reported');
  lines.length = 0;
  t.is((await rawRequest(server.port, 'GET', '/v2/a/blobs/zz')).status, 400);
  t.is((await rawRequest(server.port, 'DELETE', path)).status, 405);
  t.is(lines.length, 0, 'mistakes are not passed on');
  await backup.close();
  t.is((await rawRequest(server.port, 'GET', path)).status, 503);
});
