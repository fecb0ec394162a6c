/** Close: waiting pulls fail with `shutting-down`, the tracker is told, and nothing keeps the process alive. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPassiveRing, createPeerNode, createTrackerClient, DiskStore, seedFile } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), Buffer.alloc(8_000_000, 'kraken '));
const { tracker, metainfo, ...seed } = await seedFile({
  path: join(dir, 'file'),
  dir: join(dir, 'seed'),
  pieceLengthBytes: 1_000_000,
  bandwidth: { egressBytesPerSec: 1_000_000 },
});

const client = createTrackerClient({ ring: createPassiveRing({ hosts: () => [new URL(tracker).host] }) });
const store = await DiskStore.open({ cacheDir: join(dir, 'cache'), downloadDir: join(dir, 'download') });
const node = await createPeerNode({ store, tracker: client, peer: { ip: '127.0.0.1' } });
const waiting = node.download(metainfo.digest).catch((error) => console.log(`the pull ended: ${error.code}`));

await node.close(); // first the node, which uses the others; at most 5 s
await waiting;
await store.close();
await client.close();
await seed.close();
await rm(dir, { recursive: true });
console.log('closed; the process ends by itself');
