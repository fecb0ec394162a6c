/** A range of a blob: only the pieces that hold it cross the network. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fetchBlob, seedFile, toReadable } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
const text = Array.from({ length: 500_000 }, (_, i) => `line ${i}\n`).join('');
await writeFile(join(dir, 'file'), text);
const pieceLengthBytes = 65_536;
const { tracker, metainfo, ...seed } = await seedFile({
  path: join(dir, 'file'),
  dir: join(dir, 'seed'),
  pieceLengthBytes,
});

const start = text.indexOf('line 77777\n');
const range = { start, end: start + 'line 77777\n'.length };
const blob = await fetchBlob({ tracker, digest: metainfo.digest, dir: join(dir, 'fetch'), range });
// `toReadable` copies the chunks, as Node's streams need it.
await pipeline(toReadable(blob.stream), process.stdout, { end: false });
await blob.close();

console.log(`${seed.node.stats().piecesSent} of ${metainfo.pieceSums.length} pieces were sent`);
await seed.close();
await rm(dir, { recursive: true });
