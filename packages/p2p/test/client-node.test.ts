/** Whole nodes on loopback: real machine, real store, real sockets; only the tracker is in memory. */
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ThrowsExpectation } from 'ava';
import { Bitfield, digestHex, pieceLengthAt, type MetaInfo } from '@kraken/core/content';
import type { ErrorCode } from '@kraken/core/errors';
import { encodeHandshake } from '@kraken/core/wire';
import { createPeerNode, type NodeStore } from '@kraken/p2p';
import { MemoryTracker, putBlob, readAll, startNode, startOrigin } from './client-kit.js';
import { eventually, handshakeOf, MIB, RawPeer, rawServer, testBlob } from './host-kit.js';

const NS = 'lab/test';

const code = (expected: ErrorCode): ThrowsExpectation<Error> => ({ name: 'KrakenError', code: expected });

test('an agent pulls a blob from an origin, streams it while it comes, and keeps it', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(9 * MIB + 321, MIB);
  const origin = await startOrigin(t, tracker, blob);
  const agent = await startNode(t, { tracker });
  const progress: number[] = [];
  const opened = await agent.node.open(blob.digest, {
    namespace: NS,
    onProgress: ({ verifiedBytes, totalBytes }) => {
      progress.push(verifiedBytes);
      t.is(totalBytes, blob.data.length);
    },
  });
  t.is(opened.length, blob.data.length);
  t.true((await readAll(opened.stream())).equals(blob.data));
  await opened.finished;
  t.deepEqual(await agent.store.stat(blob.digest).then((found) => found?.length), blob.data.length);
  t.is(progress.at(-1), blob.data.length);
  t.true(progress.every((bytes, n) => n === 0 || bytes >= (progress[n - 1] as number)));

  const stats = agent.node.statsOf(blob.digest);
  t.is(stats?.piecesReceived, 10);
  t.is(stats?.bytesReceived, blob.data.length);
  const from = stats?.fromPeers.get(origin.node.context.peerId);
  t.is(from?.bytes, blob.data.length);
  t.true(from?.origin);
  t.true(await eventually(() => origin.node.stats().bytesSent === blob.data.length));
  t.is(origin.node.stats().toPeers.get(agent.node.context.peerId)?.pieces, 10);
  t.is(agent.node.status(blob.digest)?.have, 10);

  // Again: from the disk.
  const requests = agent.node.stats().piecesRequested;
  const again = await agent.node.blobs.open(NS, blob.digest, { range: { start: 5, end: 2 * MIB } });
  t.true((await readAll(again.stream({ start: 5, end: 2 * MIB }))).equals(blob.data.subarray(5, 2 * MIB)));
  t.is(agent.node.stats().piecesRequested, requests);
  agent.node.probe();
});

test('the first bytes flow while the rest is still on its way', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(12 * MIB, MIB);
  const origin = await startOrigin(t, tracker, blob, { bandwidth: { egressBytesPerSec: MIB } });
  const agent = await startNode(t, { tracker });
  const opened = await agent.node.open(blob.digest, { namespace: NS });
  const iterator = opened.stream()[Symbol.asyncIterator]();
  const first = await iterator.next();
  t.true(first.done !== true && Buffer.from(first.value).equals(blob.data.subarray(0, first.value.length)));
  const have = agent.node.status(blob.digest)?.have;
  t.true(have !== undefined && have < 12, `have ${have}`);
  t.true(await eventually(() => origin.node.stats().waits.egress > 0));
  origin.node.setBandwidth({});
  let bytes = first.done === true ? 0 : first.value.length;
  for (let chunk = await iterator.next(); chunk.done !== true; chunk = await iterator.next()) {
    t.true(Buffer.from(chunk.value).equals(blob.data.subarray(bytes, bytes + chunk.value.length)));
    bytes += chunk.value.length;
  }
  t.is(bytes, blob.data.length);
});

test('four nodes: agents trade pieces, a thousand readers are one torrent', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(16 * MIB, MIB);
  const origin = await startOrigin(t, tracker, blob, { bandwidth: { egressBytesPerSec: 16 * MIB } });
  const agents = await Promise.all([1, 2, 3].map(() => startNode(t, { tracker })));
  const readers = agents.flatMap(({ node }) =>
    [1, 2, 3].map(async () => {
      const opened = await node.open(blob.digest, { namespace: NS });
      return readAll(opened.stream());
    }),
  );
  for (const content of await Promise.all(readers)) t.true(content.equals(blob.data));
  await Promise.all(agents.map(({ node }) => node.download(blob.digest, { namespace: NS })));
  const received = agents.map(({ node }) => node.statsOf(blob.digest)?.piecesReceived);
  t.deepEqual(received, [16, 16, 16]);
  const sentByOrigin = origin.node.stats().piecesSent;
  const sentByAgents = agents.reduce((sum, { node }) => sum + node.stats().piecesSent, 0);
  t.true(sentByAgents > 0, `origin ${sentByOrigin}, agents ${sentByAgents}`);
});

test('a range up to the end of a blob with a root fetches only its pieces', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(20 * MIB, MIB);
  const origin = await startOrigin(t, tracker, blob);
  const metainfo = await origin.store.generateMetaInfo(blob.digest, MIB);
  tracker.metainfos.set(blob.digest, metainfo);
  const layer = (await origin.store.pieceLayer(blob.digest)) as Uint8Array;
  const withLayers = Object.assign(tracker, {
    pieceLayer: (_namespace: string, _metainfo: MetaInfo, check: (layer: Uint8Array) => Promise<void>) => check(layer),
  });
  const agent = await startNode(t, { tracker: withLayers });
  const range = { start: 18 * MIB + 1, end: 20 * MIB };
  const opened = await agent.node.open(blob.digest, { namespace: NS, range });
  t.true((await readAll(opened.stream())).equals(blob.data.subarray(range.start)));
  await opened.finished;
  t.is(origin.node.stats().piecesSent, 2);
  t.is(await agent.store.stat(blob.digest), undefined);
});

test('a range fetches only its pieces', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(20 * MIB, MIB);
  const origin = await startOrigin(t, tracker, blob);
  const agent = await startNode(t, { tracker });
  const range = { start: 3 * MIB + 7, end: 5 * MIB + 9 };
  const opened = await agent.node.open(blob.digest, { namespace: NS, range });
  t.true((await readAll(opened.stream())).equals(blob.data.subarray(range.start, range.end)));
  await opened.finished;
  t.is(agent.node.statsOf(blob.digest)?.piecesReceived, 3);
  t.is(origin.node.stats().piecesSent, 3);
  t.is(await agent.store.stat(blob.digest), undefined);
  // Without a root, a range up to the end shows its last bytes only after the whole digest was checked.
  const tail = await agent.node.open(blob.digest, { namespace: NS, range: { start: 19 * MIB, end: 20 * MIB } });
  t.true((await readAll(tail.stream())).equals(blob.data.subarray(19 * MIB)));
  t.is((await agent.store.stat(blob.digest))?.length, blob.data.length);
  await t.throwsAsync(
    agent.node.open(blob.digest, { range: { start: 0, end: 21 * MIB } }).then((b) => readAll(b.stream())),
    {
      message: /not within/,
    },
  );
});

test('stat costs no pieces, and says undefined when nobody has the blob', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(3 * MIB, MIB);
  await startOrigin(t, tracker, blob);
  const agent = await startNode(t, { tracker });
  t.deepEqual(await agent.node.blobs.stat(NS, blob.digest), { length: 3 * MIB });
  t.is(agent.node.stats().piecesRequested, 0);
  t.is(agent.node.stats().torrents, 0);
  t.is(await agent.node.blobs.stat(NS, testBlob(10, 10).digest), undefined);
  await t.throwsAsync(agent.node.open(testBlob(10, 10).digest), code('blob-unknown'));
});

test('a pull without peers fails at its deadline; a cancelled one at once', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(3 * MIB, MIB);
  tracker.metainfos.set(blob.digest, blob.metainfo);
  const agent = await startNode(t, { tracker });
  const opened = await agent.node.open(blob.digest, { deadlineMs: 1000 });
  await t.throwsAsync(readAll(opened.stream()), code('pull-timeout'));
  await t.throwsAsync(opened.finished, code('pull-timeout'));
  await t.throwsAsync(agent.node.download(blob.digest, { deadlineMs: 200 }), code('pull-timeout'));

  const controller = new AbortController();
  const waiting = await agent.node.open(blob.digest, { signal: controller.signal });
  const reading = readAll(waiting.stream());
  setTimeout(() => controller.abort(), 20);
  await t.throwsAsync(reading, code('cancelled'));
  await t.throwsAsync(waiting.finished, code('cancelled'));
  t.is(agent.node.status(blob.digest)?.waitingPulls ?? 0, 0);
});

test('a reader that stops early cancels its pull', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(8 * MIB, MIB);
  await startOrigin(t, tracker, blob, { bandwidth: { egressBytesPerSec: 4 * MIB } });
  const agent = await startNode(t, { tracker });
  const opened = await agent.node.open(blob.digest, { namespace: NS });
  for await (const chunk of opened.stream()) {
    t.true(chunk.length > 0);
    break;
  }
  await t.throwsAsync(opened.finished, code('cancelled'));
  opened.close();
});

test('a truncated file at the only source: nothing bad is stored, the pull fails by its deadline, the origin lives', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(4 * MIB, MIB);
  const origin = await startOrigin(t, tracker, blob);
  const hex = digestHex(blob.digest);
  truncateSync(join(origin.dir, 'cache', hex.slice(0, 2), hex.slice(2, 4), hex, 'data'), 2 * MIB + 5);
  const agent = await startNode(t, { tracker, swarm: { blacklistMs: 100 } });
  await t.throwsAsync(agent.node.download(blob.digest, { deadlineMs: 1500 }), code('pull-timeout'));
  t.true((agent.node.status(blob.digest)?.have ?? 0) <= 2);
  origin.node.probe();
});

test('an origin is asked for a blob that it lacks: the peer is refused and the origin told', async (t) => {
  const missing: string[] = [];
  const blob = testBlob(MIB, MIB);
  const origin = await startNode(t, {
    peer: { origin: true },
    lookupMissing: (namespace, digest) => missing.push(`${namespace} ${digest}`),
  });
  const peer = await RawPeer.dial(origin.node.port);
  peer.write(encodeHandshake(handshakeOf(blob, 5, new Bitfield(1), NS)));
  t.is((await peer.end()).length, 0);
  t.deepEqual(missing, [`${NS} ${blob.digest}`]);
  await t.throwsAsync(origin.node.seed(blob.digest, NS), code('blob-unknown'));
});

test('seed, remove, reconfigure, blacklist', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(2 * MIB, MIB);
  tracker.metainfos.set(blob.digest, blob.metainfo);
  const seeder = await startNode(t, { tracker });
  await putBlob(seeder.store, blob);
  await seeder.node.seed(blob.digest, NS);
  t.true(await eventually(() => tracker.announces.some(({ peer }) => peer.complete)));
  const agent = await startNode(t, { tracker });
  await agent.node.download(blob.digest, { namespace: NS });
  t.is(agent.node.statsOf(blob.digest)?.fromPeers.get(seeder.node.context.peerId)?.bytes, 2 * MIB);
  await agent.node.remove(blob.digest);
  t.is(await agent.store.stat(blob.digest), undefined);
  t.is(agent.node.status(blob.digest), undefined);
  agent.node.reconfigure({ connectionsPerTorrentMax: 3, blacklistMs: 60_000 });
  t.is(agent.node.swarm.connectionsPerTorrentMax, 3);

  // A peer that accepts and says nothing ends on the blacklist.
  const silent = await rawServer(() => undefined);
  t.teardown(() => silent.close());
  const other = testBlob(MIB, MIB);
  tracker.metainfos.set(other.digest, other.metainfo);
  const peerId = handshakeOf(other, 77, new Bitfield(1)).peerId;
  tracker.add(other.digest, { peerId, ip: '127.0.0.1', port: silent.port, origin: false, complete: true });
  agent.node.reconfigure({ handshakeTimeoutMs: 50 });
  const opened = await agent.node.open(other.digest);
  t.true(await eventually(() => agent.node.blacklist().some((entry) => entry.peerId === peerId)));
  opened.close();
});

test('a disk that hangs over one blob holds up neither other blobs nor the probe', async (t) => {
  const tracker = new MemoryTracker();
  const [stuck, free] = [testBlob(MIB, MIB), testBlob(3 * MIB, MIB)];
  await startOrigin(t, tracker, stuck);
  await startOrigin(t, tracker, free);
  const real = (await startNode(t)).store;
  const never = new Promise<never>(() => undefined);
  const store: NodeStore = {
    lookup: (digest) => (digest === stuck.digest ? never : real.lookup(digest)),
    create: (metainfo) => (metainfo.digest === stuck.digest ? never : real.create(metainfo)),
    remove: () => never,
  };
  const node = await createPeerNode({ store, tracker, peer: { ip: '127.0.0.1' }, listen: { host: '127.0.0.1' } });
  t.teardown(() => node.close());
  const hanging = [node.open(stuck.digest, { namespace: NS }), node.remove(stuck.digest)];
  for (const work of hanging) work.catch(() => undefined);
  await node.download(free.digest, { namespace: NS });
  t.is(node.statsOf(free.digest)?.piecesReceived, 3);
  t.notThrows(() => node.probe());
});

test('why a connection ended is logged and counted', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(2 * MIB, MIB);
  const lines: [string, object][] = [];
  const counted: string[] = [];
  const line = (fields: object, message: string): void => void lines.push([message, fields]);
  const logger = { debug: line, info: line, warn: line, error: line };
  const metrics = {
    count: (name: string, _value?: number, labels?: Readonly<Record<string, string>>) =>
      void counted.push(`${name} ${labels?.['reason'] ?? ''}`),
    gauge: () => undefined,
    observe: () => undefined,
  };
  const origin = await startOrigin(t, tracker, blob, { logger, metrics });
  const agent = await startNode(t, { tracker });
  await agent.node.download(blob.digest, { namespace: NS });
  const dropped = (reason: string): boolean =>
    lines.some(
      ([message, fields]) => message === 'connection dropped' && 'reason' in fields && fields.reason === reason,
    );
  t.true(await eventually(() => dropped('remote-closed') || dropped('both-complete')));
  t.true(counted.some((metric) => /^connections_dropped (?:remote-closed|both-complete)$/.test(metric)));
  const peer = await RawPeer.dial(origin.node.port);
  peer.write(encodeHandshake(handshakeOf(blob, 5, new Bitfield(2), NS)));
  await peer.frame();
  peer.write(Buffer.from('ffffffff', 'hex'));
  await peer.end();
  t.true(await eventually(() => dropped('protocol-error')));
});

test('close fails pulls, says good-bye and refuses new work', async (t) => {
  const tracker = new MemoryTracker();
  const blob = testBlob(2 * MIB, MIB);
  tracker.metainfos.set(blob.digest, blob.metainfo);
  const agent = await startNode(t, { tracker });
  const opened = await agent.node.open(blob.digest, { namespace: NS });
  const reading = readAll(opened.stream());
  t.true(await eventually(() => tracker.announces.length > 0));
  const failed = t.throwsAsync(reading, code('shutting-down'));
  await agent.node.close();
  await failed;
  t.is(tracker.announces.at(-1)?.event, 'stopped');
  await t.throwsAsync(agent.node.open(blob.digest), code('shutting-down'));
  t.throws(() => agent.node.probe(), code('shutting-down'));
});

test('an empty blob and a blob of one byte', async (t) => {
  const tracker = new MemoryTracker();
  for (const length of [0, 1]) {
    const blob = testBlob(length, 4 * MIB);
    await startOrigin(t, tracker, blob);
    const agent = await startNode(t, { tracker });
    const opened = await agent.node.open(blob.digest);
    t.is(opened.length, length);
    t.true((await readAll(opened.stream())).equals(blob.data));
    await opened.finished;
    t.is(pieceLengthAt(blob.metainfo, 0), length);
  }
});
