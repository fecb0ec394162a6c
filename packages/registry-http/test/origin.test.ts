/** Origins as a cluster over loopback: durable commits, replication, fetches from storage, failover, cleanup. */
import { digestHex, parseMetaInfo } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import test from 'ava';
import { randomBytes } from 'node:crypto';
import { OriginClient, OriginService } from '../dist/index.js';
import {
  ask,
  collect,
  digestOf,
  managerOf,
  MemoryBackend,
  sourceOf,
  startCluster,
  tempFolder,
  until,
  type Node,
} from './origin-fakes.js';

test('an upload is on two origins, then in storage, and the receiver lets go of it', async (t) => {
  const cluster = await startCluster(t);
  const bytes = randomBytes(50_000);
  const digest = digestOf(bytes);
  await cluster.client.upload('lab/a', digest, sourceOf(bytes));
  const [first, second] = cluster.owners(digest);
  t.deepEqual(first?.store.blobs.get(digest)?.bytes, bytes);
  t.deepEqual(second?.store.blobs.get(digest)?.bytes, bytes);
  t.is(cluster.nodes.filter(({ store }) => store.blobs.has(digest)).length, 2);
  t.is((await first?.store.metaInfo(digest))?.length, bytes.length);
  await until(() => cluster.backend.objects.has(digestHex(digest)) && first?.service.backlog.writeBack === 0);
  t.deepEqual(cluster.backend.objects.get(digestHex(digest)), bytes);
  t.false(first?.store.pinned.has(digest));
  t.true(second?.store.pinned.has(digest), 'the replica keeps it until its own, later write-back');
  t.is(second?.service.backlog.writeBack, 1);
  t.is(cluster.backend.calls.filter((call) => call.startsWith('upload')).length, 1);
});

test('a replica that is down does not stop a push when storage takes it; the copy follows later', async (t) => {
  const broken = { on: false };
  const cluster = await startCluster(t, {
    wrap: (listener, index) => (req, res) =>
      broken.on && index === deadIndex ? void req.socket.destroy() : listener(req, res),
  });
  const bytes = randomBytes(5000);
  const digest = digestOf(bytes);
  const [first, second] = cluster.owners(digest);
  const deadIndex = cluster.nodes.findIndex((node) => node === second);
  broken.on = true;
  await new OriginClient({ http: cluster.http, address: first?.address ?? '' }).upload(
    'lab/a',
    digest,
    sourceOf(bytes),
  );
  t.true(cluster.backend.objects.has(digestHex(digest)), 'written back before it was acknowledged');
  t.is(first?.service.backlog.replication, 1);
  t.false(second?.store.blobs.has(digest));

  cluster.backend.down = true;
  const others = [...Array(100).keys()].map((n) => Buffer.from(`other ${n}`));
  const other =
    others.find((candidate) => cluster.owners(digestOf(candidate)).includes(second as Node)) ?? Buffer.alloc(0);
  const lonely = cluster.owners(digestOf(other)).find((node) => node !== second);
  const client = new OriginClient({ http: cluster.http, address: lonely?.address ?? '' });
  for (const attempt of ['kept, but not promised', 'a conflict would be taken for success']) {
    const refused = await t.throwsAsync(client.upload('lab/a', digestOf(other), sourceOf(other)));
    t.regex(refused.message, /503.*exists on 1 of 2 origins/, attempt);
    t.true(lonely?.store.blobs.has(digestOf(other)), attempt);
  }
  cluster.unhealthy.add(second?.address ?? '');
  await client.upload('lab/a', digestOf(other), sourceOf(other));
  cluster.unhealthy.clear();

  broken.on = false;
  await until(() => second?.store.blobs.has(digest) === true && second.store.blobs.has(digestOf(other)));
  await until(() => first?.service.backlog.replication === 0);
});

test('a crash before the blob is published leaves a task that is dropped, a crash after it one that writes the blob', async (t) => {
  const cluster = await startCluster(t, { size: 1, start: false });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  const { store, service, folder } = node;
  const reopened = (): Promise<OriginService> =>
    OriginService.open({
      store,
      backends: managerOf(cluster.backend),
      ring: { self: 'a:1', locations: () => ['a:1'], owners: () => ['a:1'] },
      peer: () => {
        throw new Error('no peers');
      },
      stateDirectory: folder,
      pieceLengthFor: () => 1024,
    });
  // Die inside the commit: the promise never settles.
  const lost = Buffer.from('lost');
  let dying = false;
  store.beforeCommit = () => {
    dying = true;
    return new Promise<void>(() => undefined);
  };
  const lostId = await service.startUpload('lab/a', digestOf(lost));
  await service.writeChunk('lab/a', digestOf(lost), lostId, { start: 0, end: 4 }, sourceOf(lost).open());
  void service.commitUpload('lab/a', digestOf(lost), lostId);
  await until(() => dying);
  // Die between publication and pin.
  const kept = Buffer.from('kept');
  store.beforeCommit = () => undefined;
  store.setPinned = () => new Promise<void>(() => undefined);
  const keptId = await service.startUpload('lab/a', digestOf(kept));
  await service.writeChunk('lab/a', digestOf(kept), keptId, { start: 0, end: 4 }, sourceOf(kept).open());
  void service.commitUpload('lab/a', digestOf(kept), keptId);
  await until(() => store.blobs.has(digestOf(kept)));
  Reflect.deleteProperty(store, 'setPinned');

  const next = await reopened();
  t.is(next.backlog.writeBack, 2);
  t.true(store.pinned.has(digestOf(kept)), 'pinned before anything can evict it');
  next.start();
  await until(() => next.backlog.writeBack === 0);
  t.deepEqual([...cluster.backend.objects.keys()], [digestHex(digestOf(kept))]);
  t.false(store.pinned.has(digestOf(kept)));
  await next.close();
});

test('write-back is tried until storage is back; a blob of two namespaces stays pinned until both are written', async (t) => {
  const backend = new MemoryBackend();
  backend.down = true;
  const cluster = await startCluster(t, { size: 1, backend });
  const [node] = cluster.nodes;
  const bytes = Buffer.from('content');
  const digest = digestOf(bytes);
  await cluster.client.upload('ns/one', digest, sourceOf(bytes));
  await cluster.client.upload('ns/two', digest, sourceOf(bytes));
  t.is(node?.service.backlog.writeBack, 2);
  t.true(
    isKrakenError(
      await t.throwsAsync(new OriginClient({ http: cluster.http, address: node?.address ?? '' }).delete(digest)),
      'blob-pinned',
    ),
  );
  backend.calls.length = 0;
  backend.down = false;
  await until(() => node?.service.backlog.writeBack === 0);
  t.is(backend.calls.filter((call) => call.startsWith('upload')).length, 1, 'the second finds it there');
  t.false(node?.store.pinned.has(digest));
});

test('an object of the wrong length in storage is written again', async (t) => {
  const cluster = await startCluster(t, { size: 1 });
  const bytes = Buffer.from('whole content');
  cluster.backend.objects.set(digestHex(digestOf(bytes)), Buffer.from('whole'));
  await cluster.client.upload('ns', digestOf(bytes), sourceOf(bytes));
  await until(() => cluster.nodes[0]?.service.backlog.writeBack === 0);
  t.deepEqual(cluster.backend.objects.get(digestHex(digestOf(bytes))), bytes);
});

test('uploads are refused for namespaces without storage; read-only storage gets no task; no storage at all pins', async (t) => {
  const cluster = await startCluster(t, { size: 1 });
  const bytes = Buffer.from('x');
  const refused = await t.throwsAsync(cluster.client.upload('nowhere/x', digestOf(bytes), sourceOf(bytes)));
  t.regex(refused.message, /500: backend manager: no matches for namespace/);
  t.is(cluster.nodes[0]?.store.sessions.size, 0);

  Object.assign(cluster.backend.can, { upload: false });
  await cluster.client.upload('ns', digestOf(bytes), sourceOf(bytes));
  t.is(cluster.nodes[0]?.service.backlog.writeBack, 0);
  t.is(cluster.nodes[0]?.store.pinned.size, 0);

  const alone = await startCluster(t, { size: 1, withoutBackends: true });
  await alone.client.upload('nowhere', digestOf(bytes), sourceOf(bytes));
  t.is(alone.nodes[0]?.store.pinned.size, 1);
  await new OriginClient({ http: alone.http, address: alone.nodes[0]?.address ?? '' }).delete(digestOf(bytes));
  t.is(alone.nodes[0]?.store.blobs.size, 0);
  t.is(await alone.client.stat('nowhere', digestOf(bytes)), undefined);
});

test('a wrong digest is refused and leaves no task; a session serves one blob and its announced size', async (t) => {
  const cluster = await startCluster(t, { size: 1 });
  const [node] = cluster.nodes;
  const address = node?.address ?? '';
  const right = digestOf('12345678');
  const wrong = digestOf('something else');
  await t.throwsAsync(cluster.client.upload('ns', wrong, sourceOf('12345678')), {
    message: /doesn't match expected value/,
  });
  t.is(node?.service.backlog.writeBack, 0);

  const start = await ask(address, 'POST', `/namespace/ns/blobs/${right}/uploads?size=8`);
  const id = start.headers.location ?? '';
  const path = `/namespace/ns/blobs/${right}/uploads/${id}`;
  t.is(
    (await ask(address, 'PATCH', path.replace(right, wrong), { headers: { 'content-range': '0-8' }, body: '12345678' }))
      .status,
    404,
  );
  t.is((await ask(address, 'PATCH', path, { headers: { 'content-range': '4-9' }, body: '56789' })).status, 400);
  t.is(
    (await ask(address, 'PATCH', path, { headers: { 'content-range': '4-8' }, body: '5678' })).status,
    200,
    'any order',
  );
  t.is((await ask(address, 'PATCH', path, { headers: { 'content-range': '0-4' }, body: '1234' })).status, 200);
  t.is((await ask(address, 'PATCH', path, { headers: { 'content-range': '3-3' }, body: '' })).status, 200);
  t.is((await ask(address, 'PUT', path)).status, 200);
  t.is((await ask(address, 'PUT', path)).status, 404);
});

test('a blob in storage: 202 while it is fetched once, then its bytes, its metainfo and copies on its owners', async (t) => {
  const cluster = await startCluster(t);
  const bytes = randomBytes(3000);
  const digest = digestOf(bytes);
  cluster.backend.objects.set(digestHex(digest), bytes);
  let open = (): void => undefined;
  cluster.backend.gate = new Promise((resolve) => (open = resolve));
  const [first, second] = cluster.owners(digest);
  const address = first?.address ?? '';
  const path = `/namespace/lab%2Fx/blobs/${digest}`;
  const answers = await Promise.all([
    ask(address, 'GET', path),
    ask(address, 'POST', `${path}/prefetch`),
    ask(address, 'GET', `/internal${path}/metainfo`),
  ]);
  t.deepEqual(
    answers.map(({ status }) => status),
    [202, 202, 202],
  );
  t.is(cluster.backend.calls.filter((call) => call.startsWith('stat')).length, 1, 'storage is asked once');
  open();
  const downloaded = await cluster.client.download('lab/x', digest);
  t.is(downloaded.length, 3000);
  t.deepEqual(await collect(downloaded.stream), bytes);
  t.is(cluster.backend.calls.filter((call) => call.startsWith('download')).length, 1);
  const metainfo = await cluster.client.metaInfoResponse('lab/x', digest);
  t.is(metainfo.status, 200);
  t.is(parseMetaInfo(metainfo.body).length, 3000);
  await until(() => second?.store.blobs.has(digest) === true);
  t.is(second?.service.backlog.writeBack, 0, 'storage has it: nothing to write back');
});

test('peers that ask every owner for a cold blob cost one read of storage; the next owner reads when the first is gone', async (t) => {
  const cluster = await startCluster(t);
  const bytes = randomBytes(3000);
  const digest = digestOf(bytes);
  cluster.backend.objects.set(digestHex(digest), bytes);
  const owners = cluster.owners(digest);
  t.true(owners.length > 1);
  await Promise.all(owners.map(({ service }) => service.fetchForPeer('lab/x', digest)));
  await until(() => owners.every(({ store }) => store.blobs.has(digest)));
  const reads = (): number => cluster.backend.calls.filter((call) => call.startsWith('download')).length;
  t.is(reads(), 1);

  const other = randomBytes(3000);
  const otherDigest = digestOf(other);
  cluster.backend.objects.set(digestHex(otherDigest), other);
  const [first, second] = cluster.owners(otherDigest);
  await first?.stop();
  await second?.service.fetchForPeer('lab/x', otherDigest);
  await until(() => second?.store.blobs.has(otherDigest) === true);
  t.is(reads(), 2);
});

test('what storage says becomes 404, 503 with the reason, or 500; answers are remembered for a moment', async (t) => {
  const cluster = await startCluster(t, { size: 1 });
  const address = cluster.nodes[0]?.address ?? '';
  const digest = digestOf('absent');
  const path = `/namespace/lab/blobs/${digest}`;
  t.deepEqual([(await ask(address, 'GET', path)).status, (await ask(address, 'GET', path)).status], [404, 404]);
  t.is(cluster.backend.calls.length, 1);
  t.is((await cluster.client.metaInfoResponse('lab', digest)).status, 404);
  t.true(isKrakenError(await t.throwsAsync(cluster.client.download('lab', digest)), 'blob-unknown'));
  t.true(isKrakenError(await t.throwsAsync(cluster.client.prefetch('lab', digest)), 'blob-unknown'));
  t.is((await ask(address, 'GET', path.replace('lab', 'nowhere'))).status, 500);

  cluster.backend.down = true;
  const down = await ask(address, 'GET', path.replace('lab', 'lab2'));
  t.is(down.status, 503);
  t.is(down.body, 'memory backend is down');
  t.true(isKrakenError(await t.throwsAsync(cluster.client.download('lab2', digest)), 'storage-unavailable'));
  cluster.backend.down = false;

  // Storage holds other bytes: never served, never 400.
  const corrupt = digestOf('right');
  cluster.backend.objects.set(digestHex(corrupt), Buffer.from('wrong'));
  t.is((await ask(address, 'GET', `/namespace/lab/blobs/${corrupt}`)).status, 202);
  await until(() => cluster.nodes[0]?.service.backlog.refresh === 0);
  t.is((await ask(address, 'GET', `/namespace/lab/blobs/${corrupt}`)).status, 503);
  t.is(cluster.nodes[0]?.store.sessions.size, 0);
  t.false(cluster.nodes[0]?.store.blobs.has(corrupt));
});

test('fetches are bounded: beyond workers and waiting the answer is 503; blobs over the limit are refused', async (t) => {
  const backend = new MemoryBackend();
  let open = (): void => undefined;
  backend.gate = new Promise((resolve) => (open = resolve));
  const cluster = await startCluster(t, { size: 1, backend });
  const store = cluster.nodes[0]?.store;
  if (store === undefined) throw new Error('no store');
  const service = await OriginService.open({
    store,
    backends: managerOf(backend),
    ring: { self: 'a:1', locations: () => ['a:1'], owners: () => ['a:1'] },
    peer: () => {
      throw new Error('no peers');
    },
    stateDirectory: await tempFolder(t),
    pieceLengthFor: () => 1024,
    refresh: { workers: 1, waiting: 1, sizeLimitBytes: 10 },
  });
  t.teardown(() => service.close());
  const digests = ['one', 'two', 'three', 'far too long'].map((text) => {
    backend.objects.set(digestHex(digestOf(text)), Buffer.from(text));
    return digestOf(text);
  });
  const kinds: string[] = [];
  for (const digest of digests.slice(0, 3)) kinds.push((await service.prefetch('ns', digest)).kind);
  t.deepEqual(kinds, ['pending', 'pending', 'busy']);
  const refused = await t.throwsAsync(service.prefetch('ns', digests[3] as never));
  t.is(refused.message, '12B blob exceeds size limit of 10B');
  open();
  await until(() => service.backlog.refresh === 0);
  t.true(store.blobs.has(digestOf('one')) && store.blobs.has(digestOf('two')));
  t.is((await service.prefetch('ns', digests[2] as never)).kind, 'pending');
});

test('ranges are served and resumed, a stream that breaks goes on elsewhere, wrong bytes never end well', async (t) => {
  const cluster = await startCluster(t);
  const bytes = randomBytes(20_000);
  const digest = digestOf(bytes);
  await cluster.client.upload('ns', digest, sourceOf(bytes));
  const [first, second] = cluster.owners(digest);
  const path = `/namespace/ns/blobs/${digest}`;
  const part = await ask(first?.address ?? '', 'GET', path, { headers: { range: 'bytes=5-9' } });
  t.is(part.status, 206);
  t.is(part.headers['content-range'], 'bytes 5-9/20000');
  t.is((await ask(first?.address ?? '', 'GET', path, { headers: { range: 'bytes=20000-' } })).status, 416);
  const ranged = await cluster.client.download('ns', digest, { range: { start: 19_000, end: 30_000 } });
  t.deepEqual(await collect(ranged.stream), bytes.subarray(19_000));

  if (first === undefined || second === undefined) throw new Error('two owners expected');
  first.store.breakAfter = 7000;
  await t.throwsAsync(ask(first.address, 'GET', path), undefined, 'a failed stream is a broken connection');
  t.deepEqual(await collect((await cluster.client.download('ns', digest)).stream), bytes);
  second.store.breakAfter = 7000;
  t.deepEqual(
    await collect((await cluster.client.download('ns', digest)).stream),
    bytes,
    'three pieces from two broken origins',
  );
  first.store.breakAfter = second.store.breakAfter = 0;
  await t.throwsAsync(async () => collect((await cluster.client.download('ns', digest)).stream), undefined, 'gives up');

  first.store.breakAfter = second.store.breakAfter = undefined;
  const tampered = Buffer.from(bytes);
  tampered.writeUInt8(tampered.readUInt8(3) ^ 1, 3);
  first.store.blobs.set(digest, { bytes: tampered, committedAtMs: 0 });
  const { stream } = await cluster.client.download('ns', digest);
  let seen = 0;
  const error = await t.throwsAsync(async () => {
    for await (const chunk of stream) seen += chunk.length;
  });
  t.true(isKrakenError(error, 'digest-mismatch'));
  t.true(seen < bytes.length);
});

test('an origin that dies is passed over by every call of the cluster client', async (t) => {
  const cluster = await startCluster(t);
  const bytes = Buffer.from('content');
  const digest = digestOf(bytes);
  await cluster.client.upload('ns', digest, sourceOf(bytes));
  t.is((await cluster.client.originPeers(digest)).length, 2);
  const [first] = cluster.owners(digest);
  await first?.stop();
  t.deepEqual(await collect((await cluster.client.download('ns', digest)).stream), bytes);
  t.is((await cluster.client.metaInfoResponse('ns', digest)).status, 200);
  t.deepEqual(await cluster.client.stat('ns', digest), { length: 7 });
  await cluster.client.prefetch('ns', digest);
  const gone = new OriginClient({ http: cluster.http, address: first?.address ?? '' });
  t.true(isKrakenError(await t.throwsAsync(gone.checkReady()), 'network-error'));
  const next = Buffer.from('pushed while one is dead');
  cluster.unhealthy.add(first?.address ?? '');
  await cluster.client.upload('ns', digestOf(next), sourceOf(next));
  t.true(cluster.nodes.some(({ store }) => store.blobs.has(digestOf(next))));
});

test('blobs go to another cluster, but only to one that is allowed', async (t) => {
  const remote = await startCluster(t, { size: 2 });
  const local = await startCluster(t, { size: 1, remoteCluster: () => remote.client });
  const bytes = Buffer.from('to be copied');
  local.backend.objects.set(digestHex(digestOf(bytes)), bytes);
  await local.client.replicateToRemote('lab:1', digestOf(bytes), remote.nodes[0]?.address ?? '');
  t.deepEqual(await collect((await remote.client.download('lab:1', digestOf(bytes))).stream), bytes);
  const answer = await ask(
    local.nodes[0]?.address ?? '',
    'POST',
    `/namespace/lab/blobs/${digestOf(bytes)}/remote/evil.example:80`,
  );
  t.is(answer.status, 403);
});

test('force cleanup deletes what is old or foreign, after it was written back', async (t) => {
  const cluster = await startCluster(t);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  const owned = [...Array(40).keys()]
    .map((n) => `blob ${n}`)
    .filter((text) => cluster.owners(digestOf(text)).includes(node));
  const foreign = [...Array(40).keys()]
    .map((n) => `blob ${n}`)
    .filter((text) => !cluster.owners(digestOf(text)).includes(node));
  node.store.put(foreign[0] ?? '');
  node.store.put(owned[0] ?? '', Date.now() - 3 * 3_600_000);
  const young = node.store.put(owned[1] ?? '');
  const client = new OriginClient({ http: cluster.http, address: node.address });
  await client.forceCleanup(2 * 3_600_000);
  t.deepEqual([...node.store.blobs.keys()], [young]);
  node.store.put(foreign[1] ?? '');
  node.store.pinned.add(digestOf(foreign[1] ?? ''));
  const answer = await ask(node.address, 'POST', '/forcecleanup?ttl_hr=2');
  t.is(
    answer.body,
    `{"deleted":null,"errors":["${digestHex(digestOf(foreign[1] ?? ''))}: ${new KrakenError('blob-pinned').message}"]}\n`,
  );
  t.is((await ask(node.address, 'POST', '/forcecleanup?ttl_hr=-1')).status, 400);
});

test('many uploads of one blob at once: one is stored, all succeed', async (t) => {
  const cluster = await startCluster(t);
  const bytes = randomBytes(9000);
  const digest = digestOf(bytes);
  await Promise.all(
    Array.from({ length: 8 }, (_, n) => cluster.client.upload(`ns/${n % 2}`, digest, sourceOf(bytes, 500 + n))),
  );
  await until(() => cluster.owners(digest)[0]?.service.backlog.writeBack === 0);
  t.true(cluster.backend.objects.has(digestHex(digest)));
  t.false(cluster.owners(digest)[0]?.store.pinned.has(digest));
  t.is(cluster.owners(digest)[0]?.store.sessions.size, 0, 'no session is left');
});
