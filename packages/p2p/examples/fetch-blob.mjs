/**
 * Fetch one blob from a running Kraken cluster and write it to standard output.
 *
 *   node fetch-blob.mjs http://tracker:15003 sha256:… ./blobs [namespace] > blob
 */
import { once } from 'node:events';
import { fetchBlob } from '@kraken/p2p';

const [tracker, digest, dir, namespace] = process.argv.slice(2);
if (dir === undefined) {
  console.error('usage: node fetch-blob.mjs <tracker url> <digest> <directory> [namespace] > blob');
  process.exit(2);
}

const blob = await fetchBlob({ tracker, digest, dir, deadlineMs: 60_000, ...(namespace && { namespace }) });
try {
  for await (const chunk of blob.stream) {
    // A chunk is valid until the next one is asked for: wait until it is written.
    if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
  }
  console.error(`${blob.length} bytes, all verified`);
} finally {
  await blob.close();
}
