/** The hash of a blob goes on with pieces as they pass, where it can, and is right whatever passes in which order. */
import { createHash, randomBytes } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { HASH_BYTES, LEAF_BYTES, leavesPerPiece } from '@kraken/core/content';
import type { HashFollower } from '../dist/store/blob-hasher.js';
import { HashThreads } from '../dist/store/hash-threads.js';
import type { PieceHasher } from '../dist/store/piece-hasher.js';
import { temporaryDirectory } from './store-kit.js';

const PIECE = 4 * LEAF_BYTES;

const hexOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A blob whose pieces pass by hand. */
class PassingBlob {
  readonly bytes: Buffer;
  readonly count: number;
  readonly #hasher: PieceHasher;
  readonly #follower: HashFollower;
  readonly #layer: Uint8Array;

  constructor(hasher: PieceHasher, follower: HashFollower, bytes: Buffer, layer: Uint8Array) {
    this.#hasher = hasher;
    this.#follower = follower;
    this.bytes = bytes;
    this.count = Math.ceil(bytes.length / PIECE);
    this.#layer = layer;
  }

  pieceAt(n: number): Buffer {
    return this.bytes.subarray(n * PIECE, (n + 1) * PIECE);
  }

  /** Begin to pass `bytes` as piece `n`, in chunks. */
  pass(n: number, bytes: Uint8Array, chunk = LEAF_BYTES): PassingChunks {
    const expected = this.#layer.slice(n * HASH_BYTES, (n + 1) * HASH_BYTES);
    const passing = { blob: this.#follower, start: n * PIECE, expected };
    const feed = this.#hasher.feed(bytes.length, leavesPerPiece(this.bytes.length, PIECE), passing);
    return new PassingChunks(feed, bytes, chunk, expected);
  }
}

class PassingChunks {
  readonly #feed: ReturnType<PieceHasher['feed']>;
  readonly #bytes: Uint8Array;
  readonly #chunk: number;
  readonly #expected: Uint8Array;
  #at = 0;

  constructor(feed: ReturnType<PieceHasher['feed']>, bytes: Uint8Array, chunk: number, expected: Uint8Array) {
    this.#feed = feed;
    this.#bytes = bytes;
    this.#chunk = chunk;
    this.#expected = expected;
  }

  /** The next chunk. @returns whether the piece proved right, after its last one */
  next(): Promise<boolean | undefined> {
    const bytes = this.#bytes.subarray(this.#at, (this.#at += this.#chunk));
    return new Promise((resolve, reject) =>
      this.#feed.add(bytes, (error, hash) => {
        if (error !== undefined) reject(error);
        else resolve(hash === undefined ? undefined : Buffer.compare(hash, this.#expected) === 0);
      }),
    );
  }

  /** All that is left. */
  async all(): Promise<boolean> {
    for (;;) {
      const proves = await this.next();
      if (proves !== undefined) return proves;
    }
  }

  cancel(): void {
    this.#feed.cancel();
  }
}

/** The layer by way of a file that has everything. */
async function layerOf(threads: HashThreads, dir: string, bytes: Buffer): Promise<Uint8Array> {
  const path = join(dir, 'whole');
  const file = await open(path, 'w');
  await file.write(bytes);
  await file.close();
  return (await threads.pieces.describe(path, bytes.length, PIECE)).layer;
}

test.serial('pieces that pass in order are not read again, whoever forges or gives up one in between', async (t) => {
  const threads = HashThreads.shared(2);
  t.teardown(() => threads.release());
  const bytes = randomBytes(5 * PIECE - 9);
  const layer = await layerOf(threads, await temporaryDirectory(t), bytes);
  const follower = threads.followPassing('/nowhere');
  if (follower === undefined) return t.fail('one thread for both, and no follower');
  const blob = new PassingBlob(threads.pieces, follower, bytes, layer);

  t.true(await blob.pass(0, blob.pieceAt(0)).all());
  t.false(await blob.pass(1, randomBytes(PIECE)).all(), 'forged');
  const givenUp = blob.pass(1, blob.pieceAt(1));
  await givenUp.next();
  givenUp.cancel();
  t.false(await blob.pass(2, randomBytes(PIECE)).all(), 'forged, and ahead of the hash');
  t.true(await blob.pass(1, blob.pieceAt(1)).all());
  t.true(await blob.pass(0, blob.pieceAt(0)).all(), 'once more, behind the hash');
  for (const n of [2, 3, 4]) t.true(await blob.pass(n, blob.pieceAt(n), 3 * LEAF_BYTES).all());
  t.is(await follower.finish(bytes.length), hexOf(bytes));
});

test.serial('of pieces that overlap the first passes, the others are read from the file', async (t) => {
  const threads = HashThreads.shared(2);
  t.teardown(() => threads.release());
  const dir = await temporaryDirectory(t);
  const bytes = randomBytes(4 * PIECE);
  const layer = await layerOf(threads, dir, bytes);
  // The first piece is not in the file.
  const path = join(dir, 'others');
  const file = await open(path, 'w');
  await file.write(bytes, PIECE, 3 * PIECE, PIECE);
  await file.close();
  const follower = threads.followPassing(path);
  if (follower === undefined) return t.fail('one thread for both, and no follower');
  const blob = new PassingBlob(threads.pieces, follower, bytes, layer);

  const first = blob.pass(0, blob.pieceAt(0));
  const again = blob.pass(0, blob.pieceAt(0));
  const second = blob.pass(1, blob.pieceAt(1));
  await Promise.all([first.next(), again.next(), second.next()]);
  t.true(await first.all());
  t.true(await second.all(), 'begun before the first one proved right');
  t.true(await again.all());
  for (const n of [2, 3]) t.true(await blob.pass(n, blob.pieceAt(n)).all());
  t.is(await follower.finish(bytes.length), hexOf(bytes));
});

test.serial('with threads of their own, the blob is hashed from the file', async (t) => {
  const threads = HashThreads.shared(4);
  t.teardown(() => threads.release());
  t.is(threads.followPassing('/nowhere'), undefined);
  const bytes = randomBytes(2 * PIECE);
  const layer = await layerOf(threads, await temporaryDirectory(t), bytes);
  const follower = threads.blobs.follow('/nowhere');
  const blob = new PassingBlob(threads.pieces, follower, bytes, layer);
  t.true(await blob.pass(0, blob.pieceAt(0)).all());
  const error = await t.throwsAsync(follower.finish(bytes.length));
  t.like(error, { code: 'io-error' });
});

type Step = { readonly lane: number; readonly kind: 'right' | 'forged' | 'cancelled'; readonly pick: number };

test.serial('property: pieces of several senders, in any order, forged and given up ones among them', async (t) => {
  const threads = HashThreads.shared(2);
  t.teardown(() => threads.release());
  const [thread] = threads.threads;
  if (thread === undefined) return t.fail('no thread');
  const dir = await temporaryDirectory(t);
  let run = 0;
  const steps = fc.array(
    fc.record<Step>({
      lane: fc.nat(2),
      kind: fc.constantFrom('right', 'right', 'right', 'forged', 'cancelled'),
      pick: fc.oneof(fc.constant(0), fc.nat(20)),
    }),
    { maxLength: 80 },
  );
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 6 * PIECE }), steps, async (length, plan) => {
      const bytes = randomBytes(length);
      const layer = await layerOf(threads, dir, bytes);
      const path = join(dir, `blob-${run++}`);
      const file = await open(path, 'w');
      try {
        await file.truncate(length);
        const follower = threads.followPassing(path);
        if (follower === undefined) return t.fail('one thread for both, and no follower');
        // Smaller steps than a download's, so that the thread reads while other pieces pass.
        const grown = (end: number): void => {
          const job = follower.jobOn(thread);
          if (job !== undefined) thread.post({ type: 'extend', job, end, last: false });
        };
        await passAll(new PassingBlob(threads.pieces, follower, bytes, layer), file, plan, grown);
        t.is(await follower.finish(length), hexOf(bytes));
      } finally {
        await file.close();
      }
    }),
    { numRuns: 60 },
  );
  t.is(thread.jobCount, 0);
});

/** Three senders, one chunk at a time, by `plan`; then what is missing in order. As in a download, one sender per piece at a time. */
async function passAll(
  blob: PassingBlob,
  file: FileHandle,
  plan: readonly Step[],
  grown: (end: number) => void,
): Promise<void> {
  const missing = new Set(Array.from({ length: blob.count }, (_, n) => n));
  const open = new Map<number, { n: number; chunks: PassingChunks; kind: Step['kind'] }>();
  const stored = async (n: number): Promise<void> => {
    await file.write(blob.pieceAt(n), 0, blob.pieceAt(n).length, n * PIECE);
    missing.delete(n);
    grown(Math.min(blob.bytes.length, PIECE * Math.min(blob.count, ...missing)));
  };
  for (const { lane, kind, pick } of plan) {
    const sending = open.get(lane);
    if (sending === undefined) {
      const free = [...missing].filter((n) => [...open.values()].every((other) => other.n !== n));
      const n = free[pick % Math.max(1, free.length)];
      if (n === undefined) continue;
      const bytes = kind === 'forged' ? randomBytes(blob.pieceAt(n).length) : blob.pieceAt(n);
      open.set(lane, { n, kind, chunks: blob.pass(n, bytes) });
    } else if (sending.kind === 'cancelled') {
      await sending.chunks.next();
      sending.chunks.cancel();
      open.delete(lane);
    } else {
      const proves = await sending.chunks.next();
      if (proves === undefined) continue;
      open.delete(lane);
      if (proves !== (sending.kind === 'right')) throw new Error(`piece ${sending.n}: ${sending.kind}, but ${proves}`);
      if (proves) await stored(sending.n);
    }
  }
  for (const { chunks } of open.values()) chunks.cancel();
  for (const n of [...missing]) {
    if (!(await blob.pass(n, blob.pieceAt(n)).all())) throw new Error(`piece ${n} does not prove right`);
    await stored(n);
  }
}
