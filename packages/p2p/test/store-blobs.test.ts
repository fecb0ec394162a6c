/** Committed blobs, uploads and cleanup. */
import { mkdir, readdir, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { encodeLastAccessTime, withRoot, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { DiskStore } from '../dist/store/index.js';
import { ByteExtents } from '../dist/store/byte-extents.js';
import * as kit from './store-kit.js';

const MiB = 1024 * 1024;
const HOUR = 3_600_000;

async function listed(store: DiskStore): Promise<Digest[]> {
  const digests: Digest[] = [];
  for await (const digest of store.list()) digests.push(digest);
  return digests.sort();
}

test('an upload becomes a blob: stat, open, ranges, list, delete', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('upload', 2 * MiB + 5);
  const digest = kit.digestOf(bytes);
  const before = Date.now();
  t.deepEqual(await kit.upload(store, bytes), { length: bytes.length, existed: false });
  t.deepEqual(await readdir(join(root, 'upload')), [], 'the session is gone');
  const found = await store.stat(digest);
  t.is(found?.length, bytes.length);
  t.true(found!.committedAtMs >= before - 2000 && found!.committedAtMs <= Date.now() + 2000);
  const opened = (await store.open(digest))!;
  t.is(opened.length, bytes.length);
  kit.same(t, await kit.collect(opened.stream({ start: 5, end: MiB + 9 })), bytes.subarray(5, MiB + 9));
  t.throws(() => opened.stream(), { message: /once/ });
  opened.close();
  opened.close();
  t.deepEqual(await listed(store), [digest]);
  t.deepEqual(await kit.upload(store, bytes), { length: bytes.length, existed: true });
  t.true(await store.delete(digest));
  t.false(await store.delete(digest));
  t.is(await store.stat(digest), undefined);
  t.deepEqual(await listed(store), []);
});

test('an open blob outlives its deletion; closing it in the middle ends the stream', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('outlive', 3 * MiB);
  const digest = kit.digestOf(bytes);
  await kit.upload(store, bytes);
  const [first, second] = [(await store.open(digest))!, (await store.open(digest))!];
  await store.delete(digest);
  kit.same(t, await kit.collect(first.stream()), bytes);
  const iterator = second.stream()[Symbol.asyncIterator]();
  await iterator.next();
  second.close();
  await kit.throwsCode(t, 'cancelled', iterator.next());
});

test('a file that is shorter than it was is an error, not a short stream', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('short', 3 * MiB);
  await kit.upload(store, bytes);
  const opened = (await store.open(kit.digestOf(bytes)))!;
  await truncate(kit.blobPath(root, 'cache', kit.digestOf(bytes)), MiB + 5);
  await kit.throwsCode(t, 'content-truncated', kit.collect(opened.stream()));
});

test('pins are durable and block deletion', async (t) => {
  const harness = await kit.openStore(t);
  const bytes = kit.content('pin', 50);
  const digest = kit.digestOf(bytes);
  await kit.throwsCode(t, 'blob-unknown', harness.store.setPinned(digest, true));
  await harness.store.setPinned(digest, false);
  await kit.upload(harness.store, bytes);
  t.false(await harness.store.isPinned(digest));
  await harness.store.setPinned(digest, true);
  const store = await harness.reopen();
  t.true(await store.isPinned(digest));
  await kit.throwsCode(t, 'blob-pinned', store.delete(digest));
  await kit.throwsCode(t, 'blob-pinned', store.remove(digest));
  await store.setPinned(digest, false);
  t.false(await store.isPinned(digest));
  await store.setPinned(digest, true);
  await writeFile(kit.blobPath(harness.root, 'cache', digest, '_persist'), '');
  t.true(await store.isPinned(digest), 'a torn pin holds');
  await store.setPinned(digest, false);
  t.true(await store.delete(digest));
});

test('metainfo: generated off the loop, stored, replaced, and absent when torn or foreign', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('metainfo', 5 * MiB + 1);
  const digest = kit.digestOf(bytes);
  await kit.throwsCode(t, 'blob-unknown', store.generateMetaInfo(digest, MiB));
  await kit.upload(store, bytes);
  t.is(await store.metaInfo(digest), undefined);
  const [a, b] = await Promise.all([store.generateMetaInfo(digest, MiB), store.generateMetaInfo(digest, MiB)]);
  t.is(a, b);
  // The root has its own tests.
  t.deepEqual(withRoot(a, undefined), kit.metaInfoOf(bytes, MiB));
  t.deepEqual(await store.metaInfo(digest), a);
  const other = kit.metaInfoOf(bytes, 2 * MiB);
  await store.setMetaInfo(other);
  t.deepEqual(await store.metaInfo(digest), other);
  await kit.throwsCode(t, 'metainfo-invalid', store.generateMetaInfo(digest, 0));
  await kit.throwsCode(t, 'metainfo-invalid', store.setMetaInfo(kit.metaInfoOf(bytes.subarray(1), MiB, digest)));
  await kit.throwsCode(t, 'blob-unknown', store.setMetaInfo(kit.metaInfoOf(bytes.subarray(1), MiB)));
  for (const text of [
    '',
    '{"Info":',
    JSON.stringify({ Info: { Name: 'ab'.repeat(32), PieceLength: 1, PieceSums: [1], Length: 1 } }),
  ]) {
    await writeFile(kit.blobPath(root, 'cache', digest, '_torrentmeta'), text);
    t.is(await store.metaInfo(digest), undefined, text);
    t.is(await store.lookup(digest), undefined, text);
  }
  const empty = Buffer.alloc(0);
  await kit.upload(store, empty);
  t.deepEqual(await store.generateMetaInfo(kit.digestOf(empty), MiB), kit.metaInfoOf(empty, MiB));
});

test('upload writes: any order, sizes, limits, holes and rewrites', async (t) => {
  const { store } = await kit.openStore(t);
  const { uploads } = store;
  const bytes = kit.content('order', 3 * MiB);
  const digest = kit.digestOf(bytes);
  const id = await uploads.create();
  t.is(await uploads.size(id), 0);
  t.is(await uploads.write(id, 2 * MiB, kit.chunks(bytes.subarray(2 * MiB), 300_000), MiB), MiB);
  t.is(await uploads.size(id), 0);
  await uploads.write(id, 0, kit.chunks(bytes.subarray(0, MiB), 7000), MiB);
  t.is(await uploads.size(id), MiB);
  await kit.throwsCode(t, 'size-invalid', uploads.write(id, MiB, kit.chunks(bytes.subarray(MiB), 65_536), 1000));
  t.is(await uploads.size(id), MiB + 1000, 'what fits is written');
  const broken = (async function* (): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(bytes.subarray(MiB + 1000, MiB + 5000));
    throw new Error('the client went away');
  })();
  await t.throwsAsync(uploads.write(id, MiB + 1000, broken, MiB), { message: 'the client went away' });
  t.is(await uploads.size(id), MiB + 5000, 'what came before the error is written');
  await uploads.write(id, MiB, kit.chunks(bytes.subarray(MiB, 2 * MiB), MiB), MiB);
  t.is(await uploads.size(id), 3 * MiB);
  t.deepEqual(await uploads.commit(id, digest), { length: bytes.length, existed: false });
  await kit.throwsCode(t, 'upload-unknown', uploads.size(id));
  await kit.throwsCode(t, 'range-invalid', uploads.write(await uploads.create(), -1, kit.chunks(bytes, 1), 5));

  const holed = await uploads.create();
  await uploads.write(holed, 1, kit.chunks(Buffer.alloc(9), 9), 9);
  await kit.throwsCode(t, 'size-invalid', uploads.commit(holed, kit.digestOf(Buffer.alloc(10))));
  await kit.throwsCode(t, 'upload-unknown', uploads.size(holed));
});

test('bytes that the hash has read already may be written again', async (t) => {
  const { store } = await kit.openStore(t);
  const { uploads } = store;
  const bytes = kit.content('rewrite', 12 * MiB);
  const id = await uploads.create();
  const wrong = Buffer.from(bytes);
  wrong.fill(1, 0, 5 * MiB);
  await uploads.write(id, 0, kit.chunks(wrong, 2 * MiB), wrong.length);
  await uploads.write(id, 0, kit.chunks(bytes.subarray(0, 5 * MiB), MiB), 5 * MiB);
  t.deepEqual(await uploads.commit(id, kit.digestOf(bytes)), { length: bytes.length, existed: false });
});

test('a mismatch ends the session and leaves nothing; the right digest of other content is kept', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('mismatch', 100_000);
  await kit.throwsCode(t, 'digest-mismatch', kit.upload(store, bytes, kit.digestOf(Buffer.from('zzz'))));
  t.deepEqual([...(await kit.listing(root)).keys()], []);
});

test('session ids never become paths', async (t) => {
  const { store, root } = await kit.openStore(t);
  await writeFile(join(root, 'data'), 'precious');
  for (const id of [
    '',
    '.',
    '..',
    '../x',
    '/etc',
    'a/../../b',
    '00000000-0000-4000-8000-000000000000',
    'A'.repeat(36),
  ]) {
    await kit.throwsCode(t, 'upload-unknown', store.uploads.size(id), id);
    await kit.throwsCode(t, 'upload-unknown', store.uploads.write(id, 0, kit.chunks(Buffer.from('x'), 1), 1), id);
    await kit.throwsCode(t, 'upload-unknown', store.uploads.commit(id, kit.digestOf(Buffer.from('x'))), id);
    await store.uploads.abort(id);
  }
  t.is((await kit.listing(root)).get('data')?.toString(), 'precious');
});

test('sessions are limited, aborted, expired, and wiped at the next start with all that looks like one', async (t) => {
  let now = 1_700_000_000_000;
  const harness = await kit.openStore(t, { uploadsMax: 2, now: () => now, limits: { uploadIdleMs: 1000 } });
  const { uploads } = harness.store;
  const ids = await Promise.all([uploads.create(), uploads.create()]);
  await kit.throwsCode(t, 'too-many-uploads', uploads.create());
  await uploads.abort(ids[0]);
  await kit.throwsCode(t, 'upload-unknown', uploads.size(ids[0]));
  const third = await uploads.create();
  now += 900;
  await uploads.write(third, 0, kit.chunks(Buffer.from('x'), 1), 1);
  now += 900;
  await harness.store.sweep();
  await kit.throwsCode(t, 'upload-unknown', uploads.size(ids[1]));
  t.is(await uploads.size(third), 1);

  const directory = join(harness.root, 'upload');
  await mkdir(join(directory, `${'ab'.repeat(32)}.3a5e4d2c-0000-4000-8000-000000000001`, '_hashstates', 'sha256'), {
    recursive: true,
  });
  await mkdir(join(directory, 'keep-me'));
  await writeFile(join(directory, 'keep-me', 'data'), 'mine');
  await harness.reopen();
  t.deepEqual(await readdir(directory), ['keep-me']);
});

test('an abort while a source is stalled ends the writer at its next chunk', async (t) => {
  const { store } = await kit.openStore(t);
  const id = await store.uploads.create();
  let release: (() => void) | undefined;
  const stalled = (async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(300_000);
    await new Promise<void>((resolve) => (release = resolve));
    yield Buffer.alloc(300_000);
  })();
  const writing = store.uploads.write(id, 0, stalled, MiB);
  await kit.until(() => release !== undefined);
  await store.uploads.abort(id);
  release!();
  await kit.throwsCode(t, 'upload-unknown', writing);
});

test('concurrent uploads of one blob: one is stored, the others find it', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('race', 500_000);
  const results = await Promise.all(Array.from({ length: 5 }, () => kit.upload(store, bytes)));
  t.is(results.filter((result) => !result.existed).length, 1);
  t.deepEqual(await readdir(join(root, 'upload')), []);
});

test('an upload may read from a stream that recycles its chunks', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('recycle', 3 * MiB + 100);
  await kit.upload(store, bytes);
  const opened = (await store.open(kit.digestOf(bytes)))!;
  const id = await store.uploads.create();
  const buffer = Buffer.alloc(50_000);
  const recycled = (async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of opened.stream()) {
      for (let at = 0; at < chunk.length; at += buffer.length) {
        const part = chunk.subarray(at, at + buffer.length);
        buffer.set(part);
        yield buffer.subarray(0, part.length);
        buffer.fill(0xee);
      }
    }
  })();
  await store.uploads.write(id, 0, recycled, 4 * MiB);
  t.deepEqual(await store.uploads.commit(id, kit.digestOf(bytes)), { length: bytes.length, existed: true });
});

test('property: upload chunks in any order with rewrites hash right', async (t) => {
  const { store } = await kit.openStore(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 30 }),
      fc.array(fc.nat({ max: 29 }), { maxLength: 40 }),
      async (count, order) => {
        const bytes = kit.content(`chunks ${run++}`, count * 10);
        const id = await store.uploads.create();
        const write = (chunk: number): Promise<number> =>
          store.uploads.write(id, chunk * 10, kit.chunks(bytes.subarray(chunk * 10, chunk * 10 + 10), 3), 10);
        const all = [...order.map((chunk) => chunk % count), ...Array.from({ length: count }, (_, i) => count - 1 - i)];
        await Promise.all(all.map(write));
        t.is(await store.uploads.size(id), bytes.length);
        await store.uploads.commit(id, kit.digestOf(bytes));
      },
    ),
    { numRuns: 25 },
  );
});

test('property: extents agree with a set of bytes', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 40 }), fc.nat({ max: 10 })), { maxLength: 30 }), (writes) => {
      const extents = new ByteExtents();
      const bytes = new Set<number>();
      for (const [start, length] of writes) {
        extents.add(start, start + length);
        for (let i = 0; i < length; i++) bytes.add(start + i);
      }
      let contiguous = 0;
      while (bytes.has(contiguous)) contiguous++;
      let ranges = 0;
      for (const byte of bytes) if (!bytes.has(byte - 1)) ranges++;
      return (
        extents.contiguous === contiguous &&
        extents.count === ranges &&
        extents.end === Math.max(0, ...[...bytes].map((byte) => byte + 1))
      );
    }),
  );
  t.pass();
});

test('a sweep evicts by age and by idleness, never what is pinned or open', async (t) => {
  let now = Date.now();
  const harness = await kit.openStore(t, {
    now: () => now,
    cleanup: { intervalMs: 0, ttlMs: 10 * HOUR, idleMs: 6 * HOUR },
  });
  const { store } = harness;
  const blobs = ['old', 'idle', 'pinned', 'seeding', 'used'].map((seed) => kit.content(seed, 1000));
  const [old, idle, pinned, seeding, used] = blobs.map((bytes) => kit.digestOf(bytes)) as [
    Digest,
    Digest,
    Digest,
    Digest,
    Digest,
  ];
  for (const bytes of blobs) await kit.upload(store, bytes);
  const evicted: Digest[] = [];
  const stop = store.onEvict((digest) => evicted.push(digest));
  await store.setPinned(pinned, true);
  await store.generateMetaInfo(seeding, 100);
  const torrent = await store.lookup(seeding);
  const partial = await store.create(kit.metaInfoOf(kit.content('partial', 900), 100));
  const abandoned = await store.create(kit.metaInfoOf(kit.content('abandoned', 900), 100));
  abandoned.release();
  await utimes(kit.blobPath(harness.root, 'cache', old), (now - 11 * HOUR) / 1000, (now - 11 * HOUR) / 1000);

  t.deepEqual(await store.sweep(), { evicted: 1, freedBytes: 1000 });
  t.deepEqual(evicted, [old]);
  now += 7 * HOUR;
  (await store.open(used))!.close();
  const access = kit.blobPath(harness.root, 'cache', used, '_last_access_time');
  await kit.until(async () =>
    Buffer.from(encodeLastAccessTime(Math.floor(now / 1000))).equals(
      (await kit.listing(access.slice(0, access.lastIndexOf('/')))).get('_last_access_time')!,
    ),
  );
  const second = await store.sweep();
  t.is(second.evicted, 2);
  t.deepEqual(new Set(evicted), new Set([old, idle, abandoned.metainfo.digest]));
  t.deepEqual(await listed(store), [pinned, seeding, used].sort());
  t.truthy(await store.lookup(partial.metainfo.digest));

  stop();
  torrent?.release();
  await store.setPinned(pinned, false);
  await store.sweep();
  t.deepEqual(await listed(store), [used]);
  t.is(evicted.length, 3, 'the listener was removed');
});

test('above the high watermark the least recently used go until the low one is reached', async (t) => {
  let now = 1_700_000_000_000;
  const { store } = await kit.openStore(t, {
    now: () => now,
    cleanup: { intervalMs: 0, idleMs: 0, highWatermark: { bytes: 8000 }, lowWatermark: { bytes: 4500 } },
  });
  const blobs = Array.from({ length: 7 }, (_, i) => kit.content(`lru${i}`, 1000));
  for (const bytes of blobs) {
    await kit.upload(store, bytes);
    now += HOUR;
  }
  t.deepEqual(await store.sweep(), { evicted: 0, freedBytes: 0 });
  await kit.upload(store, kit.content('lru7', 1000));
  now += HOUR;
  await store.setPinned(kit.digestOf(blobs[1]!), true);
  t.deepEqual(await store.sweep(), { evicted: 4, freedBytes: 4000 });
  t.deepEqual(
    await listed(store),
    [blobs[1]!, blobs[5]!, blobs[6]!, kit.content('lru7', 1000)].map(kit.digestOf).sort(),
  );
});

test('watermarks that contradict each other are refused', async (t) => {
  const root = await kit.temporaryDirectory(t);
  for (const cleanup of [
    { lowWatermark: { bytes: 5 } },
    { highWatermark: { bytes: 5 }, lowWatermark: { bytes: 6 } },
    { highWatermark: { bytes: 5 }, lowWatermark: { diskPercent: 5 } },
  ]) {
    await kit.throwsCode(t, 'config-invalid', DiskStore.open({ cacheDir: join(root, 'cache'), cleanup }));
  }
});

test('sidecars without data are removed by the sweep and not listed', async (t) => {
  const { store, root } = await kit.openStore(t);
  const digest = kit.digestOf(Buffer.from('orphan'));
  for (const state of ['cache', 'download'] as const) {
    await mkdir(kit.blobPath(root, state, digest, ''), { recursive: true });
    await writeFile(kit.blobPath(root, state, digest, '_last_access_time'), encodeLastAccessTime(1));
  }
  await mkdir(join(root, 'cache', 'zz', 'not-ours'), { recursive: true });
  await mkdir(join(root, 'cache', 'ab', 'cd', 'AB'.repeat(32)), { recursive: true });
  await writeFile(join(root, 'cache', 'ab', 'stray'), 'x');
  t.deepEqual(await listed(store), []);
  t.is(await store.stat(digest), undefined);
  await store.sweep();
  t.deepEqual([...(await kit.listing(root)).keys()], ['cache/ab/stray']);
});

test('a broken disk layout is an io-error that names it', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('broken', 100);
  const digest = kit.digestOf(bytes);
  await mkdir(kit.blobPath(root, 'cache', digest), { recursive: true });
  await kit.throwsCode(t, 'io-error', store.stat(digest));
  await kit.throwsCode(t, 'io-error', store.open(digest));
  await kit.throwsCode(t, 'io-error', store.lookup(digest));
  await kit.throwsCode(t, 'io-error', kit.upload(store, bytes));
  const file = join(root, 'file');
  await writeFile(file, '');
  const error = await t.throwsAsync(DiskStore.open({ cacheDir: join(file, 'cache') }));
  t.true(error instanceof KrakenError);
  t.regex(error.message, /ENOTDIR/);
});
