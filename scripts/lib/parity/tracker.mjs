// The tracker of the real side of the parity run: the shipping handler on HTTP, and an origin directory that is told.
import { createServer } from 'node:http';
import { createTrackerHandler } from '../../../packages/p2p/dist/index.js';

let server;

const commands = {
  /** `blobs`: digest, metainfo as text, piece layer in base64 (empty: none). */
  async start({ origin, blobs, announceIntervalMs, announceLimit, peerOrder }) {
    const byDigest = new Map(blobs.map((blob) => [blob.digest, blob]));
    const origins = {
      originPeers: async () => [origin],
      metaInfoResponse: async (_namespace, digest) => {
        const blob = byDigest.get(digest);
        return blob === undefined ? { status: 404, body: 'not found' } : { status: 200, body: blob.metainfo };
      },
      pieceLayer: async (_namespace, digest) => {
        const layer = byDigest.get(digest)?.layer ?? '';
        return layer === '' ? undefined : Buffer.from(layer, 'base64');
      },
      checkReady: async () => undefined,
    };
    server = createServer(createTrackerHandler({ origins, announceIntervalMs, announceLimit, peerOrder }));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { port: server.address().port };
  },

  async stop() {
    server?.close();
    server?.closeAllConnections();
    return {};
  },
};

process.on('message', async ({ id, command, ...input }) => {
  try {
    process.send({ id, result: await commands[command](input) });
  } catch (error) {
    process.send({ id, error: error instanceof Error ? error.stack : String(error) });
  }
  if (command === 'stop') process.disconnect();
});
process.on('disconnect', () => process.exit());
