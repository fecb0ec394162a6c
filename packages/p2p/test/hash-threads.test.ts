/** Hash threads: one where cores are few, two elsewhere; they live as long as somebody uses them. */
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import test from 'ava';
import { LEAF_BYTES, leavesPerPiece } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { BlobHasher } from '../dist/store/blob-hasher.js';
import type { HashThread } from '../dist/store/hash-thread.js';
import { HashThreads } from '../dist/store/hash-threads.js';
import { temporaryDirectory } from './store-kit.js';

for (const [cores, count] of [
  [1, 1],
  [2, 1],
  [3, 2],
] as const) {
  test.serial(`${cores} cores: blobs and pieces are hashed side by side on ${count} of them`, async (t) => {
    const path = join(await temporaryDirectory(t), 'file');
    const pieceLength = 4 * LEAF_BYTES;
    const bytes = randomBytes(3 * pieceLength - 7);
    await writeFile(path, bytes);
    const threads = HashThreads.shared(cores);
    t.teardown(() => threads.release());
    t.is(threads.threads.size, count);

    const follower = threads.blobs.follow(path);
    const feed = threads.pieces.feed(pieceLength, leavesPerPiece(bytes.length, pieceLength));
    const passed = new Promise<Uint8Array | undefined>((resolve, reject) =>
      feed.add(bytes.subarray(0, pieceLength), (error, hash) => {
        if (error === undefined) resolve(hash);
        else reject(error);
      }),
    );
    const [hex, { sums, layer }, sumsOnly, hash] = await Promise.all([
      follower.finish(bytes.length),
      threads.pieces.describe(path, bytes.length, pieceLength),
      threads.pieces.sums(path, bytes.length, pieceLength),
      passed,
    ]);
    t.is(hex, createHash('sha256').update(bytes).digest('hex'));
    t.deepEqual(
      [...sums],
      [0, 1, 2].map((piece) => crc32(bytes.subarray(piece * pieceLength, (piece + 1) * pieceLength))),
    );
    t.deepEqual(sumsOnly, sums);
    t.deepEqual(Buffer.from(layer.subarray(0, 32)), Buffer.from(hash ?? []));
    for (const thread of threads.threads) t.is(thread.jobCount, 0);
  });
}

test.serial('a piece whose beginning died with its thread fails, and is not taken for forged', async (t) => {
  const threads = HashThreads.shared(1);
  t.teardown(() => threads.release());
  const feed = threads.pieces.feed(2 * LEAF_BYTES, 2);
  const added = (bytes: Uint8Array): Promise<string | undefined> =>
    new Promise((resolve) => feed.add(bytes, (error, hash) => resolve(error?.code ?? (hash && 'a hash'))));
  t.is(await added(randomBytes(LEAF_BYTES)), undefined);
  for (const thread of threads.threads) await thread.terminate();
  t.is(await added(randomBytes(LEAF_BYTES)), 'io-error');
});

test('a thread that cannot be started stops nobody who is ahead of time, and is an error for who needs the hash', (t) => {
  const hasher = new BlobHasher({
    jobCount: 0,
    begin: () => {
      throw new KrakenError('io-error', 'start a hash thread');
    },
  } as unknown as HashThread);
  t.is(hasher.followGrown('/file', 2 ** 30), undefined);
  t.is(t.throws(() => hasher.follow('/file'), { instanceOf: KrakenError }).code, 'io-error');
});

test.serial('the threads of a process are shared, and end with their last user', async (t) => {
  const first = HashThreads.shared(4);
  const second = HashThreads.shared(1);
  t.is(second, first, 'who comes later takes what is there');
  const waiting = first.blobs.follow('/nowhere').finish(1);
  await first.release();
  t.is(await waiting.catch((error: unknown) => (error as { code: string }).code), 'io-error', 'no such file');
  await second.release();
  const third = HashThreads.shared(1);
  t.not(third, first);
  await third.release();
});
