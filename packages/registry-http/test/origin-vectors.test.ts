/** The origin's API and client against bytes that Go produced. */
import { parseDigest, parsePeerId, type Digest } from '@kraken/core/content';
import test from 'ava';
import { readFileSync } from 'node:fs';
import { createHttpClient, createOriginHandler, OriginClient, OriginService } from '../dist/index.js';
import { readExchanges } from './capture-file.js';
import { ask, collect, managerOf, MemoryBackend, MemoryStore, serve, sourceOf, tempFolder } from './origin-fakes.js';

/** Where we answer otherwise on purpose. */
const DIFFERENT: Readonly<Record<string, { status: number; body?: string; why: string }>> = {
  'patch short body': {
    status: 400,
    body: 'Content-Range says 99 bytes, Content-Length 20',
    why: 'a short body is the client’s fault',
  },
  'mismatch commit': { status: 400, why: 'content that does not match its digest is the client’s fault' },
  'delete persisted (write-back pending)': { status: 409, why: 'the state stands in the way; the text is the same' },
};
/** What this test cannot know. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  'backend-only metainfo 1 (202)': 'the content of the blob is not recorded; origin.test covers 202 and 200',
  'backend-only metainfo 2 (200)': 'as above',
};

test('every recorded request gets the recorded answer', async (t) => {
  const store = new MemoryStore();
  store.put('0123456789');
  await store.generateMetaInfo([...store.blobs.keys()][0] as Digest, 4194304);
  const locations = ['127.0.0.1:18040', '127.0.0.1:18042'];
  const service = await OriginService.open({
    store,
    backends: managerOf(new MemoryBackend()),
    ring: { self: '127.0.0.1:18040', locations: () => locations, owners: () => ['127.0.0.1:18042'] },
    // Copies are not what is compared here: every peer says yes.
    peer: () => ({
      statLocal: () => Promise.resolve({ length: 1 }),
      prefetch: () => Promise.resolve('ready' as const),
      transfer: () => Promise.resolve(),
      duplicateUpload: () => Promise.resolve(),
    }),
    stateDirectory: await tempFolder(t),
    pieceLengthFor: () => 4194304,
  });
  service.start();
  t.teardown(() => service.close());
  const peerId = parsePeerId(
    Buffer.from([104, 90, 117, 143, 49, 251, 14, 33, 46, 117, 197, 162, 234, 250, 128, 135, 179, 192, 4, 162]).toString(
      'hex',
    ),
  );
  const peerContext = { ip: '127.0.0.1', port: 18050, peerId, zone: '', cluster: '', origin: true };
  const { address } = await serve(t, createOriginHandler({ service, peerContext }));

  const ids = new Map<string, string>();
  let used = 0;
  let left = 0;
  for (const exchange of readExchanges('origin-api-goprocess.http')) {
    if (LEFT_OUT[exchange.name] !== undefined) {
      left++;
      continue;
    }
    used++;
    let path = exchange.path;
    for (const [recorded, ours] of ids) path = path.replace(recorded, ours);
    const headers = Object.fromEntries(
      Object.entries(exchange.headers).filter(([name]) => name.startsWith('content-')),
    );
    const answer = await ask(address, exchange.method, path, { headers, body: exchange.body });
    const expected = { ...exchange.response, ...DIFFERENT[exchange.name] };
    t.is(answer.status, expected.status, exchange.name);
    if (expected.headers.location !== undefined) ids.set(expected.headers.location, answer.headers.location ?? '');
    t.is(answer.headers.location === undefined, expected.headers.location === undefined, exchange.name);
    t.is(answer.headers['origin-locations'], expected.headers['origin-locations'], exchange.name);
    if (exchange.name === 'forcecleanup') {
      // Which blobs are old or foreign differs: here none is owned.
      const report = JSON.parse(answer.body) as { deleted: string[]; errors: string[] };
      t.true(report.deleted.length > 0 && answer.body.endsWith('}\n'));
      continue;
    }
    t.is(answer.body, expected.body, exchange.name);
    if (exchange.method === 'HEAD')
      t.is(
        answer.headers['content-length'],
        expected.headers['content-length'] ?? (expected.status === 404 ? '0' : undefined),
        exchange.name,
      );
    const type = exchange.name === 'download present' ? 'application/octet-stream' : expected.headers['content-type'];
    t.is(answer.headers['content-type'], type, exchange.name);
  }
  t.is(used, 45);
  t.is(left, Object.keys(LEFT_OUT).length);
});

interface RecordedRequest {
  readonly method: string;
  readonly request_uri: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
interface ClientCase {
  readonly kind: string;
  readonly id: string;
  readonly namespace?: string;
  readonly remote?: string;
  readonly chunk_size?: number;
  readonly blob?: string;
  readonly delay_ns?: number;
  readonly requests: readonly RecordedRequest[];
}

test('the client sends what Go sends', async (t) => {
  const vectors = JSON.parse(
    readFileSync(new URL('../test/fixtures/vectors/replication.json', import.meta.url), 'utf8'),
  ) as { cases: ClientCase[] };
  const cases = vectors.cases.filter(({ kind }) => kind === 'blobclient');
  t.is(cases.length, 62);
  const seen: {
    method: string;
    request_uri: string;
    contentLength: string | undefined;
    contentRange: string | undefined;
    body: string;
  }[] = [];
  const { address } = await serve(t, (req, res) => {
    void collect(req).then((body) => {
      seen.push({
        method: req.method ?? '',
        request_uri: req.url ?? '',
        contentLength: req.headers['content-length'],
        contentRange: req.headers['content-range'],
        body: body.toString('utf8'),
      });
      const digest = 'a'.repeat(64);
      if (req.method === 'DELETE') res.statusCode = 202;
      if (req.url?.includes('/uploads?') === true) res.setHeader('location', '3a5e4d2c-0000-4000-8000-000000000001');
      if (req.url?.endsWith('/locations') === true) res.setHeader('origin-locations', 'a:1,b:2');
      if (req.url?.endsWith('/metainfo') === true)
        res.end(`{"Info":{"PieceLength":1,"PieceSums":[1],"Name":"${digest}","Length":1}}`);
      else if (req.url?.endsWith('/peercontext') === true)
        res.end(`{"ip":"h","port":1,"peer_id":[${Array(20).fill(1).join()}],"zone":"","cluster":"","origin":true}\n`);
      else res.end();
    });
  });
  const http = createHttpClient();
  t.teardown(() => http.close());
  for (const vector of cases) {
    seen.length = 0;
    const client = new OriginClient({
      http,
      address,
      ...(vector.chunk_size === undefined ? {} : { chunkBytes: vector.chunk_size }),
    });
    const digest = parseDigest(
      /sha256:[0-9a-f]{64}/.exec(vector.requests[0]?.request_uri ?? '')?.[0] ?? `sha256:${'0'.repeat(64)}`,
    );
    const namespace = vector.namespace ?? '';
    const source = sourceOf(vector.blob ?? 'hello world!', 3);
    const run: Readonly<Record<string, () => Promise<unknown>>> = {
      upload: () => client.upload(namespace, digest, source),
      'upload-empty': () => client.upload(namespace, digest, source),
      'duplicate-upload': () => client.duplicateUpload(namespace, digest, source, (vector.delay_ns ?? 0) / 1e6),
      transfer: () => client.transfer(digest, source),
      download: async () => collect((await client.download(namespace, digest)).stream),
      prefetch: () => client.prefetch(namespace, digest),
      'replicate-to-remote': () => client.replicateToRemote(namespace, digest, vector.remote ?? ''),
      metainfo: () => client.metaInfo(namespace, digest),
      stat: () => client.stat(namespace, digest),
      'stat-local': () => client.statLocal(namespace, digest),
      locations: () => client.locations(digest),
      delete: () => client.delete(digest),
      peercontext: () => client.peerContext(),
      readiness: () => client.checkReady(),
      'overwrite-metainfo': () =>
        client.overwriteMetaInfo(digest, Number(/piece_length=(\d+)/.exec(vector.requests[0]?.request_uri ?? '')?.[1])),
      'force-cleanup': () =>
        client.forceCleanup(Number(/ttl_hr=(\d+)/.exec(vector.requests[0]?.request_uri ?? '')?.[1]) * 3_600_000),
    };
    const name = Object.keys(run).find((key) => vector.id === key || vector.id.startsWith(`${key} `));
    const call = name === undefined ? undefined : run[name];
    if (call === undefined) {
      t.fail(`no call for ${vector.id}`);
      continue;
    }
    await call();
    const expected = vector.requests.map((request) => ({
      method: request.method,
      request_uri: request.request_uri,
      contentLength: request.headers['Content-Length'],
      contentRange: request.headers['Content-Range'],
      body: request.body,
    }));
    t.deepEqual(seen, expected, vector.id);
  }
});
