// Starts peer.mjs, out of a bundle if there is one: as the server is shipped.
import { loadCommand } from '../../packages/reference-server/bin/entry.js';
import { PEER, PEER_DIST } from './peer-bundle.mjs';

const { main } = await loadCommand(PEER_DIST, PEER);
await main(process.argv.slice(2));
