/** The build-index API, client and replication against bytes that Go produced. */
import { createRemotes, createTagTypes, parseTagName } from '@kraken/core/build-index';
import { parseDigest, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { OriginCluster } from '@kraken/core/ports';
import test, { type ExecutionContext } from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BuildIndexClient,
  createBuildIndexHandler,
  createHttpClient,
  replicateTag,
  TagService,
  TagStore,
  type ReplicatingOrigins,
} from '../dist/index.js';
import { readExchanges } from './capture-file.js';
import { ask, collect, digestOf, managerOf, MemoryBackend, serve, sourceOf, tempFolder } from './origin-fakes.js';

function vectors(file: string): unknown {
  return JSON.parse(readFileSync(new URL(`../test/fixtures/vectors/${file}`, import.meta.url), 'utf8'));
}

interface TagCase {
  readonly kind: string;
  readonly id: string;
  readonly tag_type: string;
  readonly method: string;
  readonly uri: string;
  readonly request_body: string;
  readonly response: { readonly status: number; readonly content_type: string; readonly body: string };
  readonly store_puts?: readonly { tag: string; digest: string }[];
  readonly origin_calls?: readonly { call: string; namespace: string; digest: string }[];
  readonly replication_tasks?: readonly unknown[];
  readonly requests_to_neighbour?: readonly { method: string; request_uri: string; body: string }[];
  readonly backend_calls?: readonly {
    call: string;
    prefix: string;
    paginated: boolean;
    max_keys: number;
    continuation_token: string;
  }[];
}
interface RegistryVectors {
  readonly build_index_setup: {
    readonly manifest: string;
    readonly manifest_digest: string;
    readonly local_origin: string;
    readonly remotes: Record<string, string[]>;
  };
  readonly cases: readonly TagCase[];
}

class FakeOrigins implements OriginCluster, ReplicatingOrigins {
  readonly calls: { call: string; namespace: string; digest: string }[] = [];
  readonly remoteCalls: unknown[] = [];
  readonly blobs = new Map<string, string>();
  readonly missing = new Set<string>();

  stat(namespace: string, digest: Digest): Promise<{ length: number } | undefined> {
    this.calls.push({ call: 'Stat', namespace, digest });
    return Promise.resolve(this.missing.has(digest) ? undefined : { length: 1 });
  }
  download(namespace: string, digest: Digest): Promise<{ length: number; stream: AsyncIterable<Uint8Array> }> {
    this.calls.push({ call: 'DownloadBlob', namespace, digest });
    const text = this.blobs.get(digest);
    if (text === undefined) return Promise.reject(new KrakenError('blob-unknown'));
    return Promise.resolve({ length: text.length, stream: sourceOf(text).open() });
  }
  upload(): Promise<void> {
    return Promise.reject(new KrakenError('internal'));
  }
  checkReady(): Promise<void> {
    return Promise.resolve();
  }
  replicateToRemote(namespace: string, digest: Digest, remote: string): Promise<void> {
    this.remoteCalls.push({ call: 'ReplicateToRemote', namespace, digest, remote });
    return Promise.resolve();
  }
}

/** A malformed request is the client's fault, and a missing dependency is no failure of this server. */
const DIFFERENT: Readonly<Record<string, { status: number; body?: string }>> = {
  'put-replicate-bad-bool': { status: 400 },
  'put-default-type-missing-blob': { status: 400 },
  'put-missing-dependency': { status: 400 },
  'head-error': { status: 503 },
  'list-error': { status: 503 },
  'dup-put-empty': { status: 400 },
  'dup-put-string-delay': {
    status: 400,
    body: 'decode body: json: delay expected integer -9007199254740991..9007199254740991, got string',
  },
  'dup-replicate-bad-dep': { status: 400 },
  'dup-replicate-bad-digest': { status: 400, body: "parse digest: invalid digest: expected '<algo>:<hex>'" },
  // Recorded requests:
  'put missing manifest': { status: 400 },
  'put bad replicate': { status: 400 },
  // This backend pages and knows no error for an unknown repository.
  'list limit': {
    status: 200,
    body: '{"Links":{"next":"","self":"/list/lab/img/_manifests/tags?limit=1"},"size":2,"result":["lab/img:v1","lab/img:v2"]}\n',
  },
  'list missing repo': {
    status: 200,
    body: '{"Links":{"next":"","self":"/repositories/none/tags"},"size":0,"result":null}\n',
  },
};
const LEFT_OUT: Readonly<Record<string, string>> = {
  'get-error': 'a scripted store; an unreadable value on disk is tested in build-index.test',
};

async function startService(
  t: ExecutionContext,
  options: {
    origins: FakeOrigins;
    backend: MemoryBackend;
    tagType: string;
    neighbours: readonly string[];
    policy?: 'first-write-wins';
  },
): Promise<{ service: TagService; store: TagStore; address: string }> {
  const folder = await tempFolder(t);
  const http = createHttpClient();
  const store = await TagStore.open({ cacheDirectory: join(folder, 'cache'), uploadDirectory: join(folder, 'upload') });
  const service = await TagService.open({
    store,
    backends: managerOf(options.backend),
    origins: options.origins,
    tagTypes: createTagTypes([{ namespace: '.*', type: options.tagType }]),
    remotes: createRemotes({ 'remote-bi:15004': ['^library/'] }),
    remote: (address) => BuildIndexClient.of(address, http),
    neighbours: { hosts: () => options.neighbours },
    neighbour: (address) => BuildIndexClient.of(address, http),
    stateDirectory: folder,
    ...(options.policy === undefined ? {} : { policy: options.policy }),
  });
  t.teardown(async () => {
    await service.close();
    await http.close();
  });
  const { address } = await serve(t, createBuildIndexHandler({ service, originAddress: () => 'kraken-origin:15002' }));
  return { service, store, address };
}

test('every scripted request gets the scripted answer', async (t) => {
  const { build_index_setup: setup, cases } = vectors('registry.json') as RegistryVectors;
  let used = 0;
  let left = 0;
  for (const vector of cases.filter(({ kind }) => kind === 'build_index')) {
    if (LEFT_OUT[vector.id] !== undefined) {
      left++;
      continue;
    }
    used++;
    const origins = new FakeOrigins();
    origins.blobs.set(setup.manifest_digest, setup.manifest);
    const backend = new MemoryBackend();
    const wanted = vector.response.body;
    if (wanted.startsWith('cannot upload')) origins.missing.add(wanted.slice(wanted.indexOf('sha256:')));
    if (vector.method === 'GET' || vector.method === 'HEAD' || vector.uri.startsWith('/remotes/')) {
      for (const tag of ['library/alpine:latest', 'a+b:1', 'other:1']) {
        if (vector.response.status === 200) backend.objects.set(tag, Buffer.from(setup.manifest_digest));
      }
    }
    if (wanted.startsWith('{"Links"')) {
      const listing = JSON.parse(wanted) as { Links: { next: string }; result: string[] | null };
      const names = (listing.result ?? []).map((name) =>
        vector.id.startsWith('repo') ? `library/alpine:${name}` : name,
      );
      const offset = new URL(listing.Links.next, 'http://h').searchParams.get('offset');
      backend.lastPage = { names, ...(offset === null ? {} : { continuation: offset }) };
    }
    if (vector.id.endsWith('-error')) backend.down = true;
    const neighbourSaw: { method: string; request_uri: string; body: string }[] = [];
    const neighbour = await serve(t, (req, res) => {
      void collect(req).then((body) => {
        neighbourSaw.push({ method: req.method ?? '', request_uri: req.url ?? '', body: body.toString('utf8') });
        res.end();
      });
    });
    const { service, store, address } = await startService(t, {
      origins,
      backend,
      tagType: vector.tag_type,
      neighbours: vector.requests_to_neighbour === undefined ? [] : [neighbour.address],
    });
    const answer = await ask(address, vector.method, vector.uri, { body: vector.request_body });
    const expected = { ...vector.response, ...DIFFERENT[vector.id] };
    const { body } = expected;
    t.deepEqual([answer.status, answer.body], [expected.status, vector.method === 'HEAD' ? '' : body], vector.id);
    if (vector.method !== 'HEAD') t.is(answer.headers['content-type'] ?? '', expected.content_type, vector.id);
    for (const put of vector.store_puts ?? []) {
      const stored = await store.read(parseTagName(put.tag));
      t.deepEqual([stored?.digest, stored?.pinned], [parseDigest(put.digest), true], vector.id);
    }
    t.is(service.backlog.writeBack, (vector.store_puts ?? []).length, vector.id);
    t.is(service.backlog.replication, (vector.replication_tasks ?? []).length, vector.id);
    // Ours asks in parallel and does not stop at the first that is missing.
    const sorted = (calls: readonly { call: string; namespace: string; digest: string }[]): string[] =>
      calls.map((call) => JSON.stringify(call)).sort();
    if (!vector.id.startsWith('put-missing'))
      t.deepEqual(sorted(origins.calls), sorted(vector.origin_calls ?? []), vector.id);
    if (vector.requests_to_neighbour !== undefined) {
      const told = vector.requests_to_neighbour.map(({ method, request_uri, body: text }) => ({
        method,
        request_uri,
        body: text,
      }));
      t.deepEqual(
        neighbourSaw.filter(({ method }) => told.some((each) => each.method === method)),
        told,
        vector.id,
      );
    }
    const [call] = vector.backend_calls ?? [];
    if (call?.call === 'List') {
      const limit = call.paginated ? Math.max(call.max_keys, 0) || 250 : 'all';
      t.deepEqual(backend.calls, [`list ${call.prefix} ${limit} ${call.continuation_token}`], vector.id);
    }
  }
  t.is(used, 51);
  t.is(left, 1);
});

test('every recorded request gets the recorded answer', async (t) => {
  const origins = new FakeOrigins();
  const backend = new MemoryBackend();
  const v1 = 'sha256:5bbe8aabf9037c6e7648e15eeb85fb2b9390eb42ba76579dbf90d75d055fcf63';
  const v2 = 'sha256:43e7e74dcfd4a7b53e8b43c8619195810d792b2640a15c475e825e3bca3b9c4b';
  const manifest = `{"schemaVersion":2,"config":{"digest":"${digestOf('c')}","size":1},"layers":[]}`;
  for (const digest of [v1, v2]) origins.blobs.set(digest, manifest);
  const { address, service } = await startService(t, {
    origins,
    backend,
    tagType: 'docker',
    neighbours: [],
    policy: 'first-write-wins',
  });
  service.start();
  let used = 0;
  for (const exchange of readExchanges('build-index-api-goprocess.http')) {
    used++;
    // What was listed had been written back a moment before.
    if (exchange.name === 'get tag')
      while (service.backlog.writeBack > 0) await new Promise((resolve) => setTimeout(resolve, 2));
    const answer = await ask(address, exchange.method, exchange.path, { body: exchange.body });
    const expected = { ...exchange.response, ...DIFFERENT[exchange.name] };
    const body = exchange.name === 'origin' ? 'kraken-origin:15002' : expected.body;
    t.deepEqual([answer.status, answer.body], [expected.status, exchange.method === 'HEAD' ? '' : body], exchange.name);
  }
  t.is(used, 25);
});

interface ClientCase {
  readonly kind: string;
  readonly id: string;
  readonly tag?: string;
  readonly digest: string;
  readonly repo?: string;
  readonly prefix?: string;
  readonly result?: readonly string[];
  readonly delay_ns?: number;
  readonly dependencies?: readonly string[];
  readonly config?: Record<string, string[]>;
  readonly matches_sorted?: readonly string[];
  readonly requests?: readonly { method: string; request_uri: string; headers: Record<string, string>; body: string }[];
  readonly requests_to_remote_build_index?: readonly { method: string; request_uri: string; body: string }[];
  readonly calls_to_local_origin_cluster?: readonly unknown[];
}

test('the client sends what Go sends', async (t) => {
  const { cases } = vectors('replication.json') as { cases: readonly ClientCase[] };
  const seen: { method: string; request_uri: string; contentLength: string | undefined; body: string }[] = [];
  const d = digestOf('manifest');
  const e = digestOf('layer');
  const { address } = await serve(t, (req, res) => {
    void collect(req).then((body) => {
      seen.push({
        method: req.method ?? '',
        request_uri: req.url ?? '',
        contentLength: req.headers['content-length'],
        body: body.toString('utf8'),
      });
      if (req.url?.startsWith('/list') === true || req.url?.startsWith('/repositories') === true) {
        const next = req.url.includes('?') ? '' : `${req.url}?offset=tok%2F1`;
        res.end(`{"Links":{"next":"${next}","self":""},"size":1,"result":["${next === '' ? 'b:2' : 'a:1'}"]}\n`);
      } else
        res.end(req.url?.startsWith('/tags') === true && req.method === 'GET' ? d : req.url === '/origin' ? 'o:1' : '');
    });
  });
  const http = createHttpClient();
  t.teardown(() => http.close());
  const client = BuildIndexClient.of(address, http);
  const counted = { used: 0, left: 0 };
  for (const vector of cases.filter(({ kind }) => kind === 'tagclient')) {
    const [name = ''] = vector.id.split(' ');
    const delayMs = (vector.delay_ns ?? 0) / 1e6;
    const tag = vector.tag ?? 'a:1';
    const dependencies = vector.id.endsWith('empty deps') ? [] : [e, d];
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      put: () => client.putOnly(tag, d),
      'put-and-replicate': () => client.put(tag, d),
      get: () => client.get(tag),
      has: () => client.has(tag),
      replicate: () => client.replicate(tag),
      'duplicate-replicate': () => client.duplicateReplicate(tag, d, dependencies, delayMs),
      'duplicate-put': () => client.duplicatePut(tag, d, { delayMs, replaces: 'nothing', putAtMs: 1 }),
      origin: () => client.origin(),
      readiness: () => client.checkReady(),
      'list-repository': async () => t.deepEqual(await client.listRepository(vector.repo ?? ''), vector.result),
      'list-paginated': () => client.list('x', { limit: 5, offset: 'o/ff&set=' }),
      list: async () => {
        const prefix = vector.prefix ?? '';
        const first = await client.list(prefix);
        const second = await client.list(prefix, { offset: first.offset ?? '' });
        t.deepEqual([...first.names, ...second.names], vector.result);
      },
    };
    const call = calls[name];
    // Ours has no null list: an empty one means the same.
    if (call === undefined || vector.id === 'duplicate-replicate nil deps') {
      counted.left++;
      continue;
    }
    counted.used++;
    seen.length = 0;
    await call();
    const expected = (vector.requests ?? []).map(({ method, request_uri, headers, body }) => ({
      method,
      request_uri,
      contentLength: headers['Content-Length'],
      body,
    }));
    t.deepEqual(seen, expected, vector.id);
  }
  t.deepEqual(counted, { used: 84, left: 1 });
});

test('remotes match and one replication asks what Go asks', async (t) => {
  const { cases } = vectors('replication.json') as { cases: readonly ClientCase[] };
  const matches = cases.filter(({ kind }) => kind === 'remotes_match');
  t.is(matches.length, 5);
  for (const { config, tag, matches_sorted: expected, id } of matches) {
    // Ours names a remote once, however many of its patterns match.
    t.deepEqual(createRemotes(config ?? {}).matching(tag ?? ''), [...new Set(expected)], id);
  }
  const executions = cases.filter(({ kind }) => kind === 'replication_executor');
  t.is(executions.length, 3);
  for (const vector of executions) {
    const status = Number(/\d+$/.exec(vector.id)?.[0]);
    const seen: { method: string; request_uri: string; body: string }[] = [];
    const { address } = await serve(t, (req, res) => {
      void collect(req).then((body) => {
        seen.push({ method: req.method ?? '', request_uri: req.url ?? '', body: body.toString('utf8') });
        if (req.method === 'HEAD') res.statusCode = status;
        res.end(req.url === '/origin' ? 'remote-origin.example:15002' : '');
      });
    });
    const remoteOrigin = (vector.calls_to_local_origin_cluster?.[0] as { remote?: string } | undefined)?.remote;
    const http = createHttpClient();
    t.teardown(() => http.close());
    const origins = new FakeOrigins();
    const remote = BuildIndexClient.of(address, http);
    const scripted = {
      has: remote.has.bind(remote),
      get: remote.get.bind(remote),
      put: remote.put.bind(remote),
      origin: async () => (await remote.origin()) && (remoteOrigin ?? ''),
    };
    const task = {
      tag: parseTagName(vector.tag ?? ''),
      digest: parseDigest(vector.digest),
      dependencies: (vector.dependencies ?? []).map(parseDigest),
      destination: address,
    };
    await replicateTag(task, { remote: () => scripted, origins, policy: 'first-write-wins' });
    const expected = (vector.requests_to_remote_build_index ?? []).map(({ method, request_uri, body }) => ({
      method,
      request_uri,
      body,
    }));
    t.deepEqual(seen, expected, vector.id);
    t.deepEqual(origins.remoteCalls, vector.calls_to_local_origin_cluster, vector.id);
  }
  // The storage of Go's retry tables ('sqlite', 1 case) is not ours: tasks live in a journal. 'proxy' and 'catalog' belong to the proxy.
  t.is(cases.filter(({ kind }) => kind === 'sqlite').length, 1);
});
