/** A piece choice of your own is a function: it gets the candidates and answers one of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchBlob, seedFile } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), Buffer.alloc(6_000_000, 'kraken '));
const pieceLengthBytes = 1_000_000;
const { tracker, metainfo, ...seed } = await seedFile({
  path: join(dir, 'file'),
  dir: join(dir, 'seed'),
  pieceLengthBytes,
});

// From the last piece to the first. A call looks at whole words of 32 pieces: quick also for blobs of many pieces.
const order = [];
const backwards = (question) => {
  for (let w = question.words - 1; w >= 0; w--) {
    const mask = question.candidates(w);
    if (mask === 0) continue;
    const piece = 32 * w + 31 - Math.clz32(mask);
    order.push(piece);
    return piece;
  }
  return -1;
};

const blob = await fetchBlob({
  tracker,
  digest: metainfo.digest,
  dir: join(dir, 'fetch'),
  pieceChoices: { backwards },
  swarm: { pieceChoice: 'backwards', readerShare: 0 },
});
await blob.finished;
console.log(`pieces were asked for in the order ${order.join(' ')}`);
await blob.close();
await seed.close();
await rm(dir, { recursive: true });
