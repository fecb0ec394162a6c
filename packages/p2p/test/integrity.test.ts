/** Nodes that prove pieces: layers from trackers and from peers, liars of several kinds, wrong roots. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import {
  Bitfield,
  createMetaInfo,
  HASH_BYTES,
  LEAF_BYTES,
  parsePiecesRoot,
  type Digest,
  type MetaInfo,
  type PiecesRoot,
} from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  decodeHandshake,
  decodeMessage,
  encodeHandshake,
  encodeLayerMessage,
  encodePayloadHeader,
} from '@kraken/core/wire';
import { MemoryTracker, putBlob, readAll, startNode, type TestNode } from './client-kit.js';
import { eventually, handshakeOf, rawServer, testBlob, testPeerId, type RawPeer, type TestBlob } from './host-kit.js';
import { blobPath, same } from './store-kit.js';

const PIECE = LEAF_BYTES;

/** A tracker that hands layers out as `give` says; it rejects when there is nothing to give. */
class LayerTracker extends MemoryTracker {
  layers = 0;
  rejected: (readonly PiecesRoot[])[] = [];
  give: (metainfo: MetaInfo) => Uint8Array | undefined = () => undefined;

  async pieceLayer(_namespace: string, metainfo: MetaInfo, check: (layer: Uint8Array) => Promise<void>): Promise<void> {
    this.layers++;
    const layer = this.give(metainfo);
    if (layer === undefined) throw new KrakenError('tracker-unavailable', 'no layer');
    await check(layer);
  }

  override metaInfo(
    namespace: string,
    digest: Digest,
    _signal?: unknown,
    rejected: readonly PiecesRoot[] = [],
  ): Promise<MetaInfo> {
    this.rejected.push(rejected);
    return super.metaInfo(namespace, digest);
  }
}

/** An origin that made the metainfo itself, root and all. */
async function rootedOrigin(
  t: ExecutionContext,
  tracker: MemoryTracker,
  blob: TestBlob,
): Promise<{ origin: TestNode; metainfo: MetaInfo; layer: Uint8Array }> {
  const origin = await startNode(t, { peer: { origin: true } });
  await putBlob(origin.store, blob);
  const metainfo = await origin.store.generateMetaInfo(blob.digest, PIECE);
  tracker.metainfos.set(blob.digest, metainfo);
  const { peerId, ip, port } = origin.node.context;
  tracker.add(blob.digest, { peerId, ip, port, origin: true, complete: true });
  return { origin, metainfo, layer: (await origin.store.pieceLayer(blob.digest)) as Uint8Array };
}

/** A peer out of raw bytes that says that it has everything. */
async function liar(
  t: ExecutionContext,
  tracker: MemoryTracker,
  { blob, metainfo, id, version }: { blob: TestBlob; metainfo: MetaInfo; id: number; version: string },
  answer: (peer: RawPeer, message: ReturnType<typeof decodeMessage>) => void,
): Promise<void> {
  const talk = async (peer: RawPeer): Promise<void> => {
    decodeHandshake(await peer.frame());
    const own = handshakeOf({ ...blob, metainfo }, id, Bitfield.full(metainfo.pieceSums.length));
    peer.write(encodeHandshake({ ...own, version }));
    for (;;) answer(peer, decodeMessage(await peer.frame()));
  };
  const server = await rawServer((peer) => {
    // Ends when the other side hangs up.
    talk(peer).catch(() => undefined);
  });
  t.teardown(() => server.close());
  tracker.add(blob.digest, {
    peerId: testPeerId(id),
    ip: '127.0.0.1',
    port: server.port,
    origin: false,
    complete: true,
  });
}

/** Other bytes with the same CRC-32: the generator, added. */
function forged(piece: Uint8Array): Buffer {
  const bytes = Buffer.from(piece);
  for (let bit = 0; bit <= 32; bit++) {
    if (((0x104c11db7n >> BigInt(32 - bit)) & 1n) === 1n)
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  }
  return bytes;
}

test('a layer from the tracker proves every piece, is kept, and is handed to the next peer', async (t) => {
  const blob = testBlob(1200 * PIECE - 5, PIECE);
  const tracker = new LayerTracker();
  const { layer, origin } = await rootedOrigin(t, tracker, blob);
  tracker.give = () => layer;
  const first = await startNode(t, { tracker });
  const pulled = await first.node.open(blob.digest);
  same(t, await readAll(pulled.stream()), blob.data);
  await pulled.finished;
  const stats = first.node.stats();
  t.is(stats.piecesProven, 1200);
  t.is(stats.piecesReceived, 1200);
  t.is(tracker.layers, 1);
  same(t, await readFile(blobPath(first.dir, 'cache', blob.digest, '_piecelayer')), layer);

  // Three parts of up to 512 hashes, out of the first agent alone.
  await origin.node.close();
  tracker.give = () => undefined;
  const second = await startNode(t, { tracker });
  await second.node.download(blob.digest);
  t.is(second.node.stats().piecesProven, 1200);
  t.true(tracker.layers > 1, 'the tracker was asked first');
  same(t, (await second.store.pieceLayer(blob.digest)) as Uint8Array, layer);
});

test('a blob of one piece needs no layer, and no tracker for it', async (t) => {
  const blob = testBlob(PIECE - 7, PIECE);
  const tracker = new LayerTracker();
  await rootedOrigin(t, tracker, blob);
  const agent = await startNode(t, { tracker });
  await agent.node.download(blob.digest);
  t.is(tracker.layers, 0);
  t.is(agent.node.stats().piecesProven, 1);
});

test('a peer that lies about the layer is banned, and the next one is asked', async (t) => {
  const blob = testBlob(20 * PIECE, PIECE);
  const tracker = new LayerTracker();
  tracker.give = () => new Uint8Array(20 * HASH_BYTES);
  const { metainfo } = await rootedOrigin(t, tracker, blob);
  await liar(t, tracker, { blob, metainfo, id: 1, version: 'kraken-ts/1 layer' }, (peer, message) => {
    if (message.type === 'piece-request') {
      const good = blob.data.subarray(message.piece * PIECE, (message.piece + 1) * PIECE);
      peer.write(encodePayloadHeader({ piece: message.piece, length: message.length }), good);
    }
    if (message.type !== 'layer-request') return;
    const hashes = new Uint8Array(HASH_BYTES * message.count).fill(7);
    peer.write(encodeLayerMessage({ type: 'layer-hashes', first: message.first, hashes }));
  });
  const agent = await startNode(t, { tracker });
  await agent.node.download(blob.digest);
  t.is(agent.node.stats().piecesProven, 20);
  // The order of the two peers is drawn: the liar is banned if it was asked.
  const banned = agent.node.blacklist().map(({ peerId }) => peerId);
  t.true(banned.length === 0 || (banned.length === 1 && banned[0] === testPeerId(1)));
});

test('a forged piece with a right CRC-32 is found on arrival: its sender is banned and no reader sees it', async (t) => {
  const blob = testBlob(40 * PIECE, PIECE);
  const tracker = new LayerTracker();
  const { metainfo, layer } = await rootedOrigin(t, tracker, blob);
  tracker.give = () => layer;
  let forgeries = 0;
  await liar(t, tracker, { blob, metainfo, id: 1, version: '' }, (peer, message) => {
    if (message.type !== 'piece-request') return;
    const start = message.piece * PIECE;
    const bad = forged(blob.data.subarray(start, start + PIECE));
    if (crc32(bad) !== metainfo.pieceSums[message.piece]) throw new Error('the forgery shows');
    forgeries++;
    peer.write(encodePayloadHeader({ piece: message.piece, length: message.length }), bad);
  });
  const agent = await startNode(t, { tracker });
  const pulled = await agent.node.open(blob.digest);
  same(t, await readAll(pulled.stream()), blob.data);
  await pulled.finished;
  t.true(forgeries > 0);
  const stats = agent.node.stats();
  t.true(stats.piecesForged > 0);
  t.is(stats.piecesProven, 40);
  t.true(await eventually(() => agent.node.blacklist().some(({ peerId }) => peerId === testPeerId(1))));
});

test('without a root the same forgery costs a second copy of what agents sent, and the forger is banned', async (t) => {
  const blob = testBlob(40 * PIECE, PIECE);
  const tracker = new MemoryTracker();
  const origin = await startNode(t, { peer: { origin: true }, bandwidth: { egressBytesPerSec: 10 * PIECE } });
  await putBlob(origin.store, blob);
  tracker.metainfos.set(blob.digest, blob.metainfo);
  const { peerId, ip, port } = origin.node.context;
  tracker.add(blob.digest, { peerId, ip, port, origin: true, complete: true });
  let forgeries = 0;
  await liar(t, tracker, { blob, metainfo: blob.metainfo, id: 1, version: '' }, (peer, message) => {
    if (message.type !== 'piece-request') return;
    const good = blob.data.subarray(message.piece * PIECE, (message.piece + 1) * PIECE);
    const bad = forgeries++ === 0;
    peer.write(encodePayloadHeader({ piece: message.piece, length: message.length }), bad ? forged(good) : good);
  });
  const agent = await startNode(t, { tracker });
  await agent.node.download(blob.digest);
  t.true(forgeries > 0);
  same(t, await readAll((await agent.node.open(blob.digest)).stream()), blob.data);
  const stats = agent.node.stats();
  t.is(stats.piecesProven, 0);
  t.is(stats.piecesBlamed, 1);
  t.deepEqual(
    agent.node.blacklist().map((entry) => entry.peerId),
    [testPeerId(1)],
  );
});

test('a root that the blob does not fit commits nothing, and is not taken a second time', async (t) => {
  const blob = testBlob(4 * PIECE, PIECE);
  const other = testBlob(4 * PIECE, PIECE, randomBytes(4 * PIECE));
  const tracker = new LayerTracker();
  // An origin that describes other content under this digest, and serves it.
  const { layer, metainfo } = await rootedOrigin(t, tracker, other);
  const lying = createMetaInfo({
    ...metainfo,
    digest: blob.digest,
    pieceSums: [...metainfo.pieceSums],
    piecesRoot: metainfo.piecesRoot ?? '',
  });
  tracker.metainfos.set(blob.digest, lying);
  tracker.give = () => layer;
  await liar(t, tracker, { blob, metainfo: lying, id: 1, version: '' }, (peer, message) => {
    if (message.type !== 'piece-request') return;
    const start = message.piece * PIECE;
    peer.write(encodePayloadHeader({ piece: message.piece, length: PIECE }), other.data.subarray(start, start + PIECE));
  });
  const agent = await startNode(t, { tracker });
  const failure = await t.throwsAsync(agent.node.download(blob.digest));
  t.true(isKrakenError(failure, 'root-mismatch'), String(failure));
  t.is(await agent.store.stat(blob.digest), undefined);
  t.deepEqual(agent.node.blacklist(), [], 'no peer is to blame');
  tracker.metainfos.set(blob.digest, blob.metainfo);
  const again = agent.node.download(blob.digest, { deadlineMs: 300 });
  await t.throwsAsync(again);
  t.deepEqual(tracker.rejected, [[], [parsePiecesRoot(lying.piecesRoot ?? '')]]);
});

test('a download that was cut off goes on with what its layer proves', async (t) => {
  const blob = testBlob(30 * PIECE, PIECE);
  const tracker = new LayerTracker();
  const { layer } = await rootedOrigin(t, tracker, blob);
  tracker.give = () => layer;
  const agent = await startNode(t, { tracker });
  await agent.node.download(blob.digest, { range: { start: 0, end: 10 * PIECE } });
  await agent.node.close();
  await agent.store.close();
  // One of the pieces is spoilt, and the status claims one that never came.
  const data = blobPath(agent.dir, 'download', blob.digest);
  const spoilt = await readFile(data);
  forged(spoilt.subarray(2 * PIECE, 3 * PIECE)).copy(spoilt, 2 * PIECE);
  await writeFile(data, spoilt);
  const status = blobPath(agent.dir, 'download', blob.digest, '_status');
  const bytes = await readFile(status);
  const claimed = bytes.filter((byte) => byte === 1).length;
  bytes[29] = 1;
  await writeFile(status, bytes);
  const again = await startNode(t, { tracker, dir: agent.dir });
  await again.node.download(blob.digest);
  t.is(again.node.stats().piecesReceived, 30 - (claimed - 1));
  t.is(tracker.layers, 1, 'the layer was on disk');
  same(t, await readAll((await again.node.open(blob.digest)).stream()), blob.data);
  await rm(data, { force: true });
});

test('a node that is told to ignores roots', async (t) => {
  const blob = testBlob(5 * PIECE, PIECE);
  const tracker = new LayerTracker();
  await rootedOrigin(t, tracker, blob);
  const agent = await startNode(t, { tracker, pieceLayer: false });
  await agent.node.download(blob.digest);
  t.is(tracker.layers, 0);
  t.is(agent.node.stats().piecesProven, 0);
  t.is((await agent.store.metaInfo(blob.digest))?.piecesRoot, undefined);
});
