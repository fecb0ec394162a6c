/** A peer order of your own is an object: agents dial from the front of what the tracker hands out. */
import { createPassiveRing, createTrackerClient, serveTracker } from '@kraken/p2p';

// Peers of the own rack first; here, those with an even port.
const rack = { rank: (peer) => (peer.port % 2 === 0 ? 0 : 1) };
const nobody = {
  originPeers: async () => [],
  metaInfoResponse: async () => ({ status: 404, body: '' }),
  checkReady: async () => undefined,
};
const tracker = await serveTracker({ origins: nobody, peerOrders: { rack }, peerOrder: 'rack' });

const client = createTrackerClient({ ring: createPassiveRing({ hosts: () => [new URL(tracker.url).host] }) });
const announce = async (n) => {
  const peer = { peerId: String(n).padStart(40, '0'), ip: '10.0.0.1', port: n, origin: false, complete: false };
  return client.announce({ namespace: 'example', digest: `sha256:${'a'.repeat(64)}`, infoHash: 'b'.repeat(40), peer });
};
for (const port of [1001, 1002, 1003, 1004]) await announce(port);
const { peers } = await announce(1000);
console.log(`handed out: ${peers.map(({ port }) => (port % 2 === 0 ? 'own rack' : 'other rack')).join(', ')}`);

await client.close();
await tracker.close();
