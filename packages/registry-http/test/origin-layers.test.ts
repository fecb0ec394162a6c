/** Piece layers as origins serve them, and metainfo that gets its root later. */
import { createHash } from 'node:crypto';
import test from 'ava';
import {
  canHaveRoot,
  createMetaInfo,
  HASH_BYTES,
  parseMetaInfo,
  parsePiecesRoot,
  rootOfLayer,
  withRoot,
  type Digest,
  type MetaInfo,
} from '@kraken/core/content';
import { ask, startCluster, until, type Cluster, type MemoryStore } from './origin-fakes.js';

const PIECE = 16 * 1024;
const layer = new Uint8Array(2 * HASH_BYTES).map((_, i) => i);
const bytes = Buffer.alloc(PIECE + 1, 'x');
const hash = (message: Uint8Array): Uint8Array => createHash('sha256').update(message).digest();
const root = rootOfLayer(layer, bytes.length, PIECE, (message, target, at) => target.set(hash(message), at));

/** Give the stores layers: every blob has the same one. @returns which digests were made anew */
function withLayers(cluster: Cluster): { made: Digest[]; lost: Set<MemoryStore> } {
  const made: Digest[] = [];
  const lost = new Set<MemoryStore>();
  for (const { store } of cluster.nodes) {
    const plain = store.generateMetaInfo.bind(store);
    Object.assign(store, {
      generateMetaInfo: async (digest: Digest, pieceLength: number): Promise<MetaInfo> => {
        made.push(digest);
        lost.delete(store);
        const metainfo = await plain(digest, pieceLength);
        if (!canHaveRoot(metainfo.length, pieceLength)) return metainfo;
        const rooted = withRoot(metainfo, root);
        await store.setMetaInfo(rooted);
        return rooted;
      },
      pieceLayer: (digest: Digest) =>
        Promise.resolve(store.metaInfos.get(digest)?.piecesRoot === undefined || lost.has(store) ? undefined : layer),
    });
  }
  return { made, lost };
}

test('a layer is served under its root, made anew when it was lost, and 404 under another', async (t) => {
  const cluster = await startCluster(t, { size: 1, maxReplica: 1 });
  const { made, lost } = withLayers(cluster);
  const [node] = cluster.nodes;
  if (node === undefined) return t.fail();
  const digest = node.store.put(bytes);
  await node.store.generateMetaInfo(digest, PIECE);
  t.deepEqual(await cluster.client.pieceLayer('ns', digest, root), Buffer.from(layer));
  t.is(await cluster.client.pieceLayer('ns', digest, parsePiecesRoot('11'.repeat(32))), undefined);
  const path = `/internal/namespace/ns/blobs/${digest}/piecelayer`;
  t.is((await ask(node.address, 'GET', path)).status, 400);
  const answer = await ask(node.address, 'GET', `${path}?root=${root}`);
  t.is(answer.status, 200);
  t.is(answer.headers['content-type'], 'application/octet-stream');
  made.length = 0;
  lost.add(node.store);
  t.deepEqual(await cluster.client.pieceLayer('ns', digest, root), Buffer.from(layer));
  t.deepEqual(made, [digest]);
});

test('metainfo without a root is answered as it is and gets its root behind that', async (t) => {
  const cluster = await startCluster(t, { size: 1, maxReplica: 1 });
  const { made } = withLayers(cluster);
  const [node] = cluster.nodes;
  if (node === undefined) return t.fail();
  const digest = node.store.put(bytes);
  const old = createMetaInfo({ digest, length: bytes.length, pieceLength: PIECE, pieceSums: [1, 2] });
  await node.store.setMetaInfo(old);
  const first = await cluster.client.metaInfoResponse('ns', digest);
  t.is(parseMetaInfo(first.body).piecesRoot, undefined);
  await until(() => node.store.metaInfos.get(digest)?.piecesRoot === root);
  t.is(parseMetaInfo((await cluster.client.metaInfoResponse('ns', digest)).body).piecesRoot, root);
  t.deepEqual(made, [digest]);
  // No tree over such pieces: nothing to add.
  const odd = node.store.put('odd');
  await node.store.setMetaInfo(createMetaInfo({ digest: odd, length: 3, pieceLength: 1000, pieceSums: [1] }));
  await cluster.client.metaInfoResponse('ns', odd);
  t.deepEqual(made, [digest]);
});

test('a rejected root is passed on only when every origin names it; a layer comes from the one that has it', async (t) => {
  const cluster = await startCluster(t, { size: 2, maxReplica: 2 });
  withLayers(cluster);
  const digest = cluster.nodes[0]?.store.put(bytes) as Digest;
  const [first, second] = cluster.owners(digest);
  if (first === undefined || second === undefined) return t.fail();
  const other = createMetaInfo({
    digest,
    length: bytes.length,
    pieceLength: PIECE,
    pieceSums: [1, 2],
    piecesRoot: '77'.repeat(32),
  });
  for (const { store } of [first, second]) {
    store.put(bytes);
    await store.setMetaInfo(other);
  }
  const rejected = parsePiecesRoot('77'.repeat(32));
  const stubborn = await cluster.client.metaInfoResponse('ns', digest, undefined, rejected);
  t.is(stubborn.status, 200);
  t.is(parseMetaInfo(stubborn.body).piecesRoot, rejected);
  await second.store.setMetaInfo(withRoot(other, root));
  const changed = await cluster.client.metaInfoResponse('ns', digest, undefined, rejected);
  t.is(parseMetaInfo(changed.body).piecesRoot, root);
  t.deepEqual(await cluster.client.pieceLayer('ns', digest, root), Buffer.from(layer));
});
