/** Give up: an `AbortSignal` ends a fetch wherever it is. What was verified stays on the disk for the next try. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchFile, isKrakenError, seedFile } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'original'), Buffer.alloc(8_000_000, 'kraken '));
const { tracker, metainfo, ...seed } = await seedFile({
  path: join(dir, 'original'),
  dir: join(dir, 'seed'),
  pieceLengthBytes: 1_000_000,
  bandwidth: { egressBytesPerSec: 4_000_000 },
});
const wish = { tracker, digest: metainfo.digest, dir: join(dir, 'fetch'), file: join(dir, 'copy') };

const controller = new AbortController();
const giveUp = ({ verifiedPieces }) => verifiedPieces === 3 && controller.abort();
try {
  await fetchFile({ ...wish, signal: controller.signal, onProgress: giveUp });
} catch (error) {
  if (!isKrakenError(error, 'cancelled')) throw error;
  console.log('cancelled after 3 pieces');
}

seed.node.setBandwidth({});
let first;
await fetchFile({ ...wish, onProgress: (progress) => (first ??= progress) });
console.log(`the second try began with ${first.verifiedPieces >= 3 ? 'what the first had' : 'NOTHING'}`);
await seed.close();
await rm(dir, { recursive: true });
