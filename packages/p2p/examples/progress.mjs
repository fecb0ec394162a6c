/** Progress: bytes and pieces that are verified, and peers at that moment. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchFile, seedFile } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'original'), Buffer.alloc(4_000_000, 'kraken '));
const pieceLengthBytes = 1_000_000;
const { tracker, metainfo, ...seed } = await seedFile({
  path: join(dir, 'original'),
  dir: join(dir, 'seed'),
  pieceLengthBytes,
});

await fetchFile({
  tracker,
  digest: metainfo.digest,
  dir: join(dir, 'fetch'),
  file: join(dir, 'copy'),
  onProgress: ({ verifiedBytes, totalBytes, verifiedPieces, totalPieces, peers }) =>
    console.log(`${verifiedBytes} of ${totalBytes} bytes, ${verifiedPieces} of ${totalPieces} pieces, ${peers} peers`),
});

await seed.close();
await rm(dir, { recursive: true });
