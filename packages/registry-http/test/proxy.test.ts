import { KrakenError } from '@kraken/core/errors';
import type { Digest } from '@kraken/core/content';
import {
  createOriginBlobSource,
  createOriginWriter,
  createProxyHandler,
  createRateLimiter,
  listenHttp,
  type ProxyHandlerOptions,
} from '@kraken/registry-http';
import test, { type ExecutionContext } from 'ava';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCapture } from './support/captures.js';
import { digestOf, memoryCluster, type MemoryCluster } from './support/memory-cluster.js';
import { rawRequest } from './support/raw-http.js';

interface Fixture {
  readonly cluster: MemoryCluster;
  readonly port: number;
  readonly prefetched: string[];
}

async function proxy(
  t: ExecutionContext,
  more: Partial<ProxyHandlerOptions> = {},
  cluster = memoryCluster(),
): Promise<Fixture> {
  const prefetched: string[] = [];
  const { handler, close } = createProxyHandler({
    blobs: createOriginBlobSource({ origins: cluster.origins, store: cluster.store }),
    tags: cluster.tags,
    writer: createOriginWriter({ store: cluster.store, origins: cluster.origins }),
    ready: [],
    prefetchBlob: (namespace, digest) => {
      prefetched.push(`${namespace} ${digest}`);
      return Promise.resolve();
    },
    ...more,
  });
  const server = await listenHttp({ handler, host: '127.0.0.1', port: 0 });
  t.teardown(() => {
    close();
    return server.close();
  });
  return { cluster, port: server.port, prefetched };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

/** Recorded answers that are defects: ours. */
const DIFFERENCES: Readonly<Record<string, number>> = {
  readiness: 200,
  'catalog n': 200,
  'tags list none': 404,
  'notifications via nginx': 200,
  // A tag that moves: Go answers 201 and keeps the old value. What happens here is build-index's policy, not ours.
  'manifest after': 200,
};

test('the recorded answers of a Go proxy, except where they are defects', async (t) => {
  const exchanges = readCapture('proxy-api.http');
  t.is(exchanges.length, 18);
  const { cluster, port } = await proxy(t);
  const layers = ['{}', 'layer one', 'other one'];
  for (const content of layers) cluster.add(content);
  const manifest = readCapture('agent-api.http').find((exchange) => exchange.title === 'reg manifest tag')?.body ?? '';
  for (const tag of ['v1', 'v2', 'v4']) cluster.tagMap.set(`lab/img:${tag}`, cluster.add(manifest));
  // The recorded bodies name content that is not recorded; lookups of what the Go cluster had must succeed here.
  const lookup = cluster.blobs.stat.bind(cluster.blobs);
  const had = new Set(['44136fa3', 'f191e625', '77c7ed05'].map((start) => `sha256:${start}`));
  cluster.origins.stat = (namespace, digest) =>
    had.has(digest.slice(0, 15)) ? Promise.resolve({ length: 9 }) : lookup(namespace, digest);
  let different = 0;
  for (const exchange of exchanges) {
    const headers: Record<string, string> = { ...exchange.requestHeaders };
    delete headers['content-length'];
    const answer = await rawRequest(port, exchange.method, exchange.path, headers, exchange.requestBody);
    const ours = DIFFERENCES[exchange.title];
    t.is(answer.status, ours ?? exchange.status, exchange.title);
    if (ours !== undefined) {
      different += 1;
      continue;
    }
    // The catalog is JSON and says so; error texts are our own.
    if (exchange.title === 'catalog') t.is(answer.headers['content-type'], 'application/json');
    else t.is(answer.headers['content-type'], exchange.headers['content-type'], exchange.title);
    if (exchange.status < 300) t.is(answer.body, exchange.body, exchange.title);
    for (const name of ['docker-content-digest', 'etag'])
      t.is(answer.headers[name], exchange.headers[name], exchange.title);
  }
  t.is(different, Object.keys(DIFFERENCES).length);
});

test('health, readiness and the root; paths of neither half', async (t) => {
  const { port } = await proxy(t, { ready: [() => Promise.reject(new Error('origins: none'))] });
  t.is((await rawRequest(port, 'GET', '/')).status, 200);
  t.is((await rawRequest(port, 'GET', '/health')).body, 'OK\n');
  const ready = await rawRequest(port, 'GET', '/readiness');
  t.deepEqual([ready.status, ready.body], [503, 'not ready to serve traffic: origins: none']);
  t.is((await rawRequest(port, 'GET', '/v2')).body, '{}');
  t.is((await rawRequest(port, 'GET', '/v2x')).status, 404);
  t.is((await rawRequest(port, 'PATCH', '/proxy/v2/registry/prefetch')).status, 405);
});

interface ProxyCase {
  readonly kind: 'proxy';
  readonly id: string;
  readonly uri: string;
  readonly request_body: string;
  readonly min_blob_size: number;
  readonly max_blob_size: number;
  readonly build_index_answer: { readonly digest: string; readonly error: string | null };
  readonly origin_calls: readonly { readonly call: string; readonly namespace: string; readonly digest: string }[];
  readonly response: { readonly status: number; readonly body?: string };
}

const vectors = JSON.parse(
  readFileSync(new URL('../test/fixtures/vectors/replication.json', import.meta.url), 'utf8'),
) as {
  readonly proxy_manifest: string;
  readonly proxy_manifest_list: string;
  readonly cases: readonly (ProxyCase | { readonly kind: 'other' })[];
};
const proxyCases = vectors.cases.filter((entry): entry is ProxyCase => entry.kind === 'proxy');

/** Our status where Go's says 500 for everything. */
const STATUS: Readonly<Record<string, number>> = {
  'v2-deeper-path-truncated': 404,
  'v2-manifest-missing': 404,
  'v2-manifest-bad': 404,
  'v2-prefetch-fails': 503,
  'v2-tag-html': 400,
  'notification-no-target': 200,
  'notification-bad-json': 400,
};

test('prefetch and notifications ask the origins for the blobs that Go asks for', async (t) => {
  t.is(proxyCases.length, 23);
  for (const entry of proxyCases) {
    const isFailing = entry.id === 'v2-prefetch-fails';
    const cluster = memoryCluster();
    cluster.add(vectors.proxy_manifest);
    cluster.add(vectors.proxy_manifest_list);
    const { port, prefetched } = await proxy(
      t,
      {
        prefetch: { blobBytesMin: entry.min_blob_size, blobBytesMax: entry.max_blob_size },
        ...(isFailing
          ? { prefetchBlob: () => Promise.reject(new KrakenError('origin-unavailable', 'all origins unavailable')) }
          : {}),
      },
      cluster,
    );
    const { digest, error } = entry.build_index_answer;
    cluster.tags.get = () =>
      error !== null || digest === ''
        ? Promise.reject(new KrakenError('tag-unknown', error ?? ''))
        : Promise.resolve(digest as Digest);
    const answer = await rawRequest(port, 'POST', entry.uri, {}, entry.request_body);
    t.is(answer.status, STATUS[entry.id] ?? entry.response.status, entry.id);
    if (entry.uri.startsWith('/proxy')) {
      const ours = JSON.parse(answer.body) as Record<string, unknown>;
      const go = JSON.parse(entry.response.body ?? '') as Record<string, unknown>;
      t.deepEqual(Object.keys(ours), Object.keys(go), entry.id);
      t.deepEqual(
        [ours['prefetched'], ours['trace_id'], ours['tag']],
        [go['prefetched'], go['trace_id'], go['tag']],
        entry.id,
      );
      if (answer.status === 200) t.is(answer.body, entry.response.body ?? '', entry.id);
    }
    if (isFailing) continue;
    // Go's version 1 downloads what version 2 prefetches; manifests that are only read do not count.
    const wanted = entry.origin_calls.slice(1).filter(({ call }) => call !== 'DownloadBlob' || entry.id === 'v1');
    const digests = [...new Set(wanted.map((call) => call.digest))].sort();
    await until(() => new Set(prefetched).size >= digests.length);
    t.deepEqual([...new Set(prefetched.map((call) => call.split(' ')[1]))].sort(), digests, entry.id);
  }
});

test('prefetch of a repository of any depth, under its own namespace', async (t) => {
  const { cluster, port, prefetched } = await proxy(t);
  cluster.tagMap.set('a/b/c:1', cluster.add(vectors.proxy_manifest));
  const answer = await rawRequest(port, 'POST', '/proxy/v2/registry/prefetch', {}, '{"tag":"host:5000/a/b/c:1"}');
  t.is(answer.status, 200);
  t.true(answer.body.includes('"tag":"c:1"'));
  t.is(prefetched.length, 4);
  t.true(prefetched.every((call) => call.startsWith('a/b/c ')));
});

test('a notification that comes before the manifest is readable is tried again', async (t) => {
  const { cluster, port, prefetched } = await proxy(t);
  const digest = digestOf(vectors.proxy_manifest);
  const event = {
    action: 'push',
    target: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, repository: 'r' },
  };
  t.is(
    (await rawRequest(port, 'POST', '/registry/notifications', {}, JSON.stringify({ events: [event] }))).status,
    200,
  );
  await until(() => cluster.calls.some((call) => call.startsWith('open r')));
  cluster.add(vectors.proxy_manifest);
  await until(() => prefetched.length === 3);
  t.pass();
});

test('the prefetch rate of one client is limited', async (t) => {
  const { port } = await proxy(t, { prefetch: { perSecond: 0.001, burst: 1 } });
  const statuses: number[] = [];
  for (let index = 0; index < 3; index += 1)
    statuses.push((await rawRequest(port, 'POST', '/proxy/v2/registry/prefetch', {}, '{')).status);
  t.deepEqual(statuses, [400, 400, 429]);

  let now = 0;
  const isWithin = createRateLimiter({ perSecond: 10, burst: 1, clientsMax: 2, now: () => now });
  t.deepEqual([isWithin('a'), isWithin('a'), isWithin('a'), isWithin('b')], [true, true, false, true]);
  now = 100;
  t.deepEqual([isWithin('a'), isWithin('a')], [true, false]);
});

test('blobs of a proxy: the local store first, ranges, abandoned streams', async (t) => {
  const cluster = memoryCluster();
  const source = createOriginBlobSource({ origins: cluster.origins, store: cluster.store });
  const read = async (stream: AsyncIterable<Uint8Array>): Promise<string> => {
    let text = '';
    for await (const chunk of stream) text += Buffer.from(chunk).toString();
    return text;
  };
  const digest = cluster.add('0123456789');
  const whole = await source.open('n', digest);
  t.deepEqual([whole.length, await read(whole.stream())], [10, '0123456789']);
  const range = { start: 2, end: 4 };
  const part = await source.open('n', digest, { range });
  t.deepEqual([part.length, await read(part.stream(range))], [10, '23']);
  t.throws(() => whole.stream(range));
  part.close();
  part.close();
  await t.throwsAsync(source.open('n', digestOf('none'), { range }));
  t.is(await source.stat('n', digestOf('none')), undefined);

  const id = await cluster.uploads.create();
  await cluster.uploads.write(id, 0, (await source.open('n', digest)).stream(), 10);
  await cluster.uploads.commit(id, digest);
  cluster.failure = new KrakenError('origin-unavailable');
  t.is(await read((await source.open('n', digest)).stream()), '0123456789');
  t.deepEqual(await source.stat('n', digest), { length: 10 });
});
