/** A tracker in your own HTTP server, an origin that seeds what its store has, an agent that pulls: the parts, one by one. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createLocalOrigins,
  createPassiveRing,
  createPeerNode,
  createTrackerClient,
  createTrackerHandler,
  DiskStore,
  importFile,
} from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), Buffer.alloc(2_000_000, 'kraken '));

// An origin: a node without a tracker of its own.
const originStore = await DiskStore.open({ cacheDir: join(dir, 'origin'), uploadDir: join(dir, 'uploads') });
const { digest } = await importFile(originStore, join(dir, 'file'));
const origin = await createPeerNode({ store: originStore, peer: { ip: '127.0.0.1', origin: true } });

// The tracker is a request handler. Your routes come first.
const tracker = createTrackerHandler({ origins: createLocalOrigins([{ node: origin, store: originStore }]) });
const server = createServer((req, res) => (req.url === '/hello' ? res.end('hello') : tracker(req, res)));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const host = `127.0.0.1:${server.address().port}`;

// An agent.
const client = createTrackerClient({ ring: createPassiveRing({ hosts: () => [host] }) });
const store = await DiskStore.open({ cacheDir: join(dir, 'cache'), downloadDir: join(dir, 'download') });
const agent = await createPeerNode({ store, tracker: client, peer: { ip: '127.0.0.1' } });
await agent.download(digest, { namespace: 'library/redis' });
console.log(`the agent has ${(await store.stat(digest)).length} bytes`);
console.log(`${await (await fetch(`http://${host}/hello`)).text()} from the same server`);

// Close: nodes before their stores, then what is left.
for (const node of [agent, origin]) await node.close();
for (const one of [store, originStore]) await one.close();
await client.close();
server.close();
server.closeAllConnections();
await rm(dir, { recursive: true });
