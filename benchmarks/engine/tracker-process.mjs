// A tracker of ours in a process of its own. Its origins are told to it by command. Arguments: none.
import { createServer } from 'node:http';
import { parseMetaInfo } from '@kraken/core/content';
import { createTrackerHandler } from '@kraken/p2p';
import { commands, say } from '../lib/events.mjs';

/** Metainfo text and origin peers by digest. */
const blobs = new Map();

const origins = {
  originPeers: (digest) => Promise.resolve(blobs.get(digest)?.peers ?? []),
  metaInfoResponse: (_namespace, digest) => {
    const blob = blobs.get(digest);
    return Promise.resolve(
      blob === undefined ? { status: 404, body: 'not found' } : { status: 200, body: blob.metainfo },
    );
  },
  pieceLayer: (_namespace, digest) => {
    const layer = blobs.get(digest)?.layer;
    return Promise.resolve(layer === undefined ? undefined : Buffer.from(layer, 'base64'));
  },
  checkReady: () => Promise.resolve(),
};

const server = createServer(createTrackerHandler({ origins }));
server.listen(0, '127.0.0.1', () => say('ready', { port: server.address().port }));
commands((blob) => {
  blobs.set(parseMetaInfo(blob.metainfo).digest, blob);
  say('known');
});
