/** A blob into a file: under its name there is the whole blob or nothing, never half of it. */
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchFile, seedFile } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'original'), Buffer.alloc(5_000_000, 'kraken '));
const { tracker, metainfo, ...seed } = await seedFile({ path: join(dir, 'original'), dir: join(dir, 'seed') });

const file = join(dir, 'copy');
const { length } = await fetchFile({ tracker, digest: metainfo.digest, dir: join(dir, 'fetch'), file });

console.log(`fetched ${length} bytes; the file has ${(await stat(file)).size}`);
console.log(`beside it: ${(await readdir(dir)).filter((name) => name.endsWith('.part')).length} temporary files`);
await seed.close();
await rm(dir, { recursive: true });
