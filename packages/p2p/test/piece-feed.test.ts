/** Pieces that are hashed while they pass: any cut of the bytes gives the hash that the file gives, and nothing is left behind. */
import { createHash, randomBytes } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { LEAF_BYTES, leavesPerPiece } from '@kraken/core/content';
import { HashThreads } from '../dist/store/hash-threads.js';
import type { PieceHasher } from '../dist/store/piece-hasher.js';

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** By the book (BEP 52): leaves of 16 KiB, zero hashes up to the width, pairs up to one. */
function pieceHashOf(piece: Uint8Array, width: number): string {
  let hashes: Buffer[] = [];
  for (let at = 0; at < piece.length; at += LEAF_BYTES) hashes.push(sha256(piece.subarray(at, at + LEAF_BYTES)));
  while (hashes.length < width) hashes.push(Buffer.alloc(32));
  while (hashes.length > 1) {
    hashes = hashes.flatMap((hash, n) => (n % 2 === 0 ? [sha256(Buffer.concat([hash, hashes[n + 1] ?? hash]))] : []));
  }
  return hashes[0]?.toString('hex') ?? '';
}

/** Feed `piece` in chunks that end at `cuts`. */
function fed(hasher: PieceHasher, piece: Uint8Array, cuts: readonly number[], width: number): Promise<string> {
  const feed = hasher.feed(piece.length, width);
  const ends = [...new Set([...cuts.filter((cut) => cut > 0 && cut < piece.length), piece.length])].sort(
    (a, b) => a - b,
  );
  return new Promise((resolve, reject) => {
    let taken = 0;
    let at = 0;
    for (const end of ends) {
      feed.add(piece.subarray(at, end), (error, hash) => {
        taken++;
        if (error !== undefined) reject(error);
        else if (hash !== undefined && taken !== ends.length) reject(new Error('a hash before the last bytes'));
        else if (hash !== undefined) resolve(Buffer.from(hash).toString('hex'));
      });
      at = end;
    }
  });
}

function sharedCopy(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

test('property: any cut of a piece, in shared memory or not', async (t) => {
  const threads = HashThreads.shared();
  t.teardown(() => threads.release());
  const hasher = threads.pieces;
  const pieceLength = 8 * LEAF_BYTES;
  const width = leavesPerPiece(3 * pieceLength, pieceLength);
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.constantFrom(1, LEAF_BYTES, LEAF_BYTES + 1, pieceLength), fc.integer({ min: 1, max: pieceLength })),
      fc.array(fc.oneof(fc.nat(pieceLength), fc.constantFrom(LEAF_BYTES, 2 * LEAF_BYTES)), { maxLength: 6 }),
      fc.boolean(),
      async (length, cuts, isShared) => {
        const piece = randomBytes(length);
        t.is(await fed(hasher, isShared ? sharedCopy(piece) : piece, cuts, width), pieceHashOf(piece, width));
      },
    ),
    { numRuns: 60 },
  );
});

test('pieces that pass at the same time do not mix, and one that is given up leaves the others alone', async (t) => {
  const threads = HashThreads.shared();
  t.teardown(() => threads.release());
  const hasher = threads.pieces;
  const width = 8;
  const pieces = [1, 2, 3, 4].map(() => randomBytes(8 * LEAF_BYTES));
  const half = 4 * LEAF_BYTES + 5;
  const givenUp = hasher.feed(8 * LEAF_BYTES, width);
  const taken = new Promise<void>((resolve) =>
    givenUp.add(pieces[0]?.subarray(0, half) ?? Buffer.alloc(0), () => resolve()),
  );
  givenUp.cancel();
  const hashes = await Promise.all(pieces.map((piece) => fed(hasher, sharedCopy(piece), [half], width)));
  t.deepEqual(
    hashes,
    pieces.map((piece) => pieceHashOf(piece, width)),
  );
  await taken;
});

test('who waits when the thread ends is told', async (t) => {
  const threads = HashThreads.shared();
  const hasher = threads.pieces;
  const feed = hasher.feed(2 * LEAF_BYTES, 2);
  const outcome = new Promise<string | undefined>((resolve) =>
    feed.add(randomBytes(LEAF_BYTES), (error) => resolve(error?.code)),
  );
  await threads.release();
  // The bytes were taken before, or they never will be.
  t.true([undefined, 'io-error'].includes(await outcome));
});
