/**
 * An agent behind HTTP: `GET /<digest>` streams a blob while the swarm delivers it, `HEAD` costs metadata only.
 *
 *   node serve-over-http.mjs http://tracker:15003 ./blobs [port]
 */
import { createServer } from 'node:http';
import { join } from 'node:path';
import { tryParseDigest } from '@kraken/core/content';
import { isKrakenError } from '@kraken/core/errors';
import { createPassiveRing, createPeerNode, createTrackerClient, DiskStore } from '@kraken/p2p';

const [trackerUrl, dir, httpPort = '0'] = process.argv.slice(2);
if (dir === undefined) {
  console.error('usage: node serve-over-http.mjs <tracker url> <directory> [port]');
  process.exit(2);
}

const hosts = [new URL(trackerUrl).host];
const tracker = createTrackerClient({ ring: createPassiveRing({ hosts: () => hosts }) });
const store = await DiskStore.open({ cacheDir: join(dir, 'cache'), downloadDir: join(dir, 'download') });
const node = await createPeerNode({
  store,
  tracker,
  peer: { ip: '127.0.0.1' },
  bandwidth: { egressBytesPerSec: 200 * 2 ** 20, ingressBytesPerSec: 300 * 2 ** 20 },
});

const server = createServer(async (req, res) => {
  const gone = new AbortController();
  res.on('close', () => gone.abort());
  try {
    const digest = tryParseDigest(req.url.slice(1));
    if (digest === undefined) {
      res.writeHead(400).end();
    } else if (req.method === 'HEAD') {
      const found = await node.blobs.stat('example', digest, gone.signal);
      res.writeHead(found === undefined ? 404 : 200, found && { 'content-length': found.length }).end();
    } else {
      const blob = await node.blobs.open('example', digest, { signal: gone.signal });
      res.writeHead(200, { 'content-length': blob.length });
      for await (const chunk of blob.stream()) {
        // The chunk's memory is used again: the callback says when the socket is done with it.
        await new Promise((resolve, reject) => res.write(chunk, (error) => (error ? reject(error) : resolve())));
      }
      res.end();
    }
  } catch (error) {
    // A stream that fails is a broken connection, never a short body.
    if (res.headersSent) res.destroy();
    else res.writeHead(isKrakenError(error) ? error.httpStatus : 500).end(`${error.message}\n`);
  }
});
server.listen(Number(httpPort), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));

process.once('SIGTERM', async () => {
  server.close();
  server.closeAllConnections();
  await node.close();
  await store.close();
  await tracker.close();
});
