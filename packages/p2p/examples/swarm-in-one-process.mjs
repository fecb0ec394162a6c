/** A whole swarm in one process: one that has a file, three agents that pull it at the same time and trade pieces. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPassiveRing, createPeerNode, createTrackerClient, DiskStore, seedFile } from '@kraken/p2p';

const MIB = 2 ** 20;
const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), randomBytes(32 * MIB));
const { tracker, metainfo, ...seed } = await seedFile({
  path: join(dir, 'file'),
  dir: join(dir, 'seed'),
  pieceLengthBytes: MIB,
  // So that the agents have a reason to ask each other.
  bandwidth: { egressBytesPerSec: 32 * MIB },
});
const { digest } = metainfo;

const agents = await Promise.all(
  ['a', 'b', 'c'].map(async (name) => {
    const store = await DiskStore.open({
      cacheDir: join(dir, name, 'cache'),
      downloadDir: join(dir, name, 'download'),
    });
    const client = createTrackerClient({ ring: createPassiveRing({ hosts: () => [new URL(tracker).host] }) });
    const node = await createPeerNode({ store, tracker: client, peer: { ip: '127.0.0.1' } });
    return { name, store, client, node };
  }),
);

await Promise.all(
  agents.map(async ({ name, node }) => {
    await node.download(digest);
    const sources = [...node.statsOf(digest).fromPeers.values()];
    const mib = (from) => from.reduce((sum, { bytes }) => sum + bytes, 0) / MIB;
    const origin = mib(sources.filter((source) => source.origin));
    const others = mib(sources.filter((source) => !source.origin));
    console.log(`agent ${name}: ${origin} MiB from the origin, ${others} MiB from other agents`);
  }),
);

for (const { node, store, client } of agents) {
  await node.close();
  await store.close();
  await client.close();
}
await seed.close();
await rm(dir, { recursive: true });
