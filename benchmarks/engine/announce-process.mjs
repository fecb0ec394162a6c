// A process that answers HTTP on 127.0.0.1, for measurements with a load generator. Arguments: `tracker` or `bare`.
import { createServer } from 'node:http';
import { PassThrough } from 'node:stream';
import { createTrackerHandler } from '@kraken/p2p';
import { commands, say, usage } from '../lib/events.mjs';
import { announceBody, infoHashOf, PEERS, TORRENTS } from './announces.mjs';

const ANSWER = JSON.stringify({ status: 'ok', peers: [], interval: 3_000_000_000 });

const handler = process.argv[2] === 'tracker' ? await filledTracker() : bare;
const server = createServer(handler);
server.listen(0, '127.0.0.1', () => say('ready', { port: server.address().port, ...usage() }));
commands(() => say('usage', usage()));

function bare(_req, res) {
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(ANSWER) });
  res.end(ANSWER);
}

/** A tracker that knows all peers of all torrents: they announced themselves. */
async function filledTracker() {
  const origins = {
    originPeers: () => Promise.resolve([]),
    metaInfoResponse: () => Promise.resolve({ status: 404, body: '' }),
    checkReady: () => Promise.resolve(),
  };
  const tracker = createTrackerHandler({ origins });
  for (let torrent = 0; torrent < TORRENTS; torrent++) {
    for (let peer = 0; peer < PEERS; peer++) await deliver(tracker, infoHashOf(torrent), announceBody(torrent, peer));
  }
  return tracker;
}

/** One request without a socket, which would take ten times as long. */
function deliver(handle, infoHash, body) {
  return new Promise((resolve, reject) => {
    const req = Object.assign(new PassThrough(), {
      method: 'POST',
      url: `/announce/${infoHash}`,
      headers: {},
      complete: true,
    });
    const res = new PassThrough();
    res.writeHead = (status) => (status === 200 ? res : reject(new Error(`announce: ${status}`)));
    res.end = () => resolve();
    handle(req, res);
    req.end(body);
  });
}
