/** An agent behind HTTP: `GET /<digest>` streams a blob while the swarm delivers it, `HEAD` costs metadata only. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  createPassiveRing,
  createPeerNode,
  createTrackerClient,
  DiskStore,
  isKrakenError,
  parseDigest,
  seedFile,
  toReadable,
} from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), Buffer.alloc(5_000_000, 'kraken '));
const { tracker: url, metainfo, ...seed } = await seedFile({ path: join(dir, 'file'), dir: join(dir, 'seed') });

const tracker = createTrackerClient({ ring: createPassiveRing({ hosts: () => [new URL(url).host] }) });
const store = await DiskStore.open({ cacheDir: join(dir, 'cache'), downloadDir: join(dir, 'download') });
const node = await createPeerNode({ store, tracker, peer: { ip: '127.0.0.1' } });

const server = createServer(async (req, res) => {
  const gone = new AbortController();
  res.on('close', () => gone.abort());
  try {
    const digest = parseDigest(req.url.slice(1));
    if (req.method === 'HEAD') {
      const found = await node.blobs.stat('example', digest, gone.signal);
      res.writeHead(found === undefined ? 404 : 200, found && { 'content-length': found.length }).end();
    } else {
      const blob = await node.blobs.open('example', digest, { signal: gone.signal });
      res.writeHead(200, { 'content-length': blob.length });
      await pipeline(toReadable(blob.stream()), res);
    }
  } catch (error) {
    // A stream that fails is a broken connection, never a short body.
    if (res.headersSent) res.destroy();
    else res.writeHead(isKrakenError(error) ? error.httpStatus : 500).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const at = (digest) => `http://127.0.0.1:${server.address().port}/${digest}`;
const head = await fetch(at(metainfo.digest), { method: 'HEAD' });
console.log(
  `HEAD: ${head.status}, ${head.headers.get('content-length')} bytes, ${node.stats().piecesReceived} pieces fetched`,
);
const got = await fetch(at(metainfo.digest));
console.log(`GET: ${got.status}, ${(await got.arrayBuffer()).byteLength} bytes`);
console.log(
  `unknown: ${(await fetch(at(`sha256:${'0'.repeat(64)}`))).status}, nonsense: ${(await fetch(at('x'))).status}`,
);

server.close();
server.closeAllConnections();
await node.close();
await store.close();
await tracker.close();
await seed.close();
await rm(dir, { recursive: true });
