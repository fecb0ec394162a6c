// Where the bundle of peer.mjs lies, and how it is made.
import { join } from 'node:path';
import { root, run } from '../../scripts/lib/ensure-built.mjs';

export const PEER = new URL('peer.mjs', import.meta.url).pathname;
/** The directory above the bundle. */
export const PEER_DIST = join(root, 'node_modules/.cache/kraken-bench');
const REHEARSAL = JSON.stringify({ role: 'rehearsal', dir: 'DIRECTORY' });

export function bundlePeer() {
  run('npm', ['run', '--silent', 'bundle', join(PEER_DIST, 'bundle'), PEER, REHEARSAL]);
}
