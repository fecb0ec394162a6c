/**
 * A whole swarm in one process: an origin that has a blob, a tracker over HTTP, three agents that pull it at the same time
 * and trade pieces. Shows what plugs into what.
 *
 *   node swarm-in-one-process.mjs
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDigest, serializeMetaInfo } from '@kraken/core/content';
import { createPassiveRing, createPeerNode, createTrackerClient, createTrackerHandler, DiskStore } from '@kraken/p2p';

const MIB = 2 ** 20;
const root = await mkdtemp(join(tmpdir(), 'kraken-swarm-'));
const openStore = (name) =>
  DiskStore.open({
    cacheDir: join(root, name, 'cache'),
    downloadDir: join(root, name, 'download'),
    uploadDir: join(root, name, 'upload'),
  });

// An origin: a store with a committed blob, and a node without a tracker that seeds whatever its store has.
const content = randomBytes(32 * MIB);
const digest = parseDigest(`sha256:${createHash('sha256').update(content).digest('hex')}`);
const originStore = await openStore('origin');
const upload = await originStore.uploads.create();
await originStore.uploads.write(
  upload,
  0,
  (async function* () {
    yield content;
  })(),
  content.length,
);
await originStore.uploads.commit(upload, digest);
const metainfo = await originStore.generateMetaInfo(digest, MIB);
const listen = { host: '127.0.0.1', port: 0 };
const origin = await createPeerNode({ store: originStore, peer: { ip: '127.0.0.1', origin: true }, listen });

// A tracker: it asks origins for metainfo and hands peers to peers.
const { peerId, ip, port } = origin.context;
const server = createServer(
  createTrackerHandler({
    origins: {
      originPeers: async () => [{ peerId, ip, port, origin: true, complete: true }],
      metaInfoResponse: async (_namespace, asked) =>
        asked === digest ? { status: 200, body: serializeMetaInfo(metainfo) } : { status: 404, body: '' },
      checkReady: async () => undefined,
    },
  }),
);
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const hosts = [`127.0.0.1:${server.address().port}`];

// Three agents.
const agents = await Promise.all(
  ['a', 'b', 'c'].map(async (name) => {
    const store = await openStore(name);
    const tracker = createTrackerClient({ ring: createPassiveRing({ hosts: () => hosts }) });
    const node = await createPeerNode({ store, tracker, peer: { ip: '127.0.0.1' }, listen });
    return { name, store, tracker, node };
  }),
);
await Promise.all(
  agents.map(async ({ name, node }) => {
    const blob = await node.open(digest, { namespace: 'example' });
    const hash = createHash('sha256');
    for await (const chunk of blob.stream()) hash.update(chunk);
    await blob.finished;
    const sources = [...node.statsOf(digest).fromPeers.values()];
    const mib = (traffic) => traffic.reduce((sum, { bytes }) => sum + bytes, 0) / MIB;
    console.log(
      `agent ${name}: ${hash.digest('hex') === digest.slice(7) ? 'right' : 'WRONG'} content,`,
      `${mib(sources.filter((source) => source.origin))} MiB from the origin,`,
      `${mib(sources.filter((source) => !source.origin))} MiB from other agents`,
    );
  }),
);

for (const { node, store, tracker } of agents) {
  await node.close();
  await store.close();
  await tracker.close();
}
await origin.close();
await originStore.close();
server.close();
await rm(root, { recursive: true });
