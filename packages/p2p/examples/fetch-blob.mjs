/** A blob in five lines: its bytes, verified, in order, while they arrive. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchBlob, seedFile } from '@kraken/p2p';

// Somebody has a file.
const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), Buffer.alloc(5_000_000, 'kraken '));
const { tracker, metainfo, ...seed } = await seedFile({ path: join(dir, 'file'), dir: join(dir, 'seed') });

// The five lines.
const hash = createHash('sha256');
const blob = await fetchBlob({ tracker, digest: metainfo.digest, dir: join(dir, 'fetch') });
console.log(`${blob.length} bytes are on their way`);
for await (const chunk of blob.stream) hash.update(chunk); // a chunk is valid until the next one
await blob.close();

console.log(`sha256:${hash.digest('hex')}` === metainfo.digest ? 'the content is right' : 'the content is WRONG');
await seed.close();
await rm(dir, { recursive: true });
