/**
 * Fetch a blob of an image from a running cluster into a file, with progress. `npm start` provides the cluster.
 *
 *   node examples/fetch-a-blob.mjs                                  the first layer of the demonstration's image
 *   node examples/fetch-a-blob.mjs TRACKER DIGEST NAMESPACE [FILE]
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { fetchBlob } from '@kraken/p2p';

const [tracker = 'http://127.0.0.1:15003', digest = await sampleLayer(), namespace = 'demo/sample', file = 'blob.bin'] =
  process.argv.slice(2);

const blob = await fetchBlob({ tracker, digest, namespace, dir: '.kraken/example', deadlineMs: 60_000 });
const target = await open(file, 'w');
try {
  const hash = createHash('sha256');
  let written = 0;
  for await (const chunk of blob.stream) {
    // A chunk is valid until the next one is asked for: hash and write it before that.
    hash.update(chunk);
    await target.writeFile(chunk);
    written += chunk.length;
    process.stderr.write(`\r${Math.floor((written / blob.length) * 100)} % of ${blob.length} bytes`);
  }
  console.error(`\n${file}: sha256:${hash.digest('hex')}`);
} finally {
  await target.close();
  await blob.close();
}

/** Digest of the first layer of `demo/sample:latest`, asked of the first agent. */
async function sampleLayer() {
  const answer = await fetch('http://127.0.0.1:16000/v2/demo/sample/manifests/latest');
  if (!answer.ok) throw new Error(`the demonstration's agent answered ${answer.status}; is \`npm start\` running?`);
  const manifest = await answer.json();
  return manifest.layers[0].digest;
}
