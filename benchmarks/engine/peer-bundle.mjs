// Where the bundle of peer.mjs lies, and how it is made.
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { root, run } from '../../scripts/lib/ensure-built.mjs';

export const PEER = new URL('peer.mjs', import.meta.url);
/** Of the directory above the bundle. */
export const PEER_DIST = pathToFileURL(join(root, 'node_modules/.cache/kraken-bench/'));

export function bundlePeer() {
  run('npm', ['run', '--silent', 'bundle', fileURLToPath(new URL('bundle', PEER_DIST)), fileURLToPath(PEER)]);
}
