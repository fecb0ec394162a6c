/** Torrents on disk: growing files, readers that wait, the commit. */
import { mkdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { Bitfield, createMetaInfo, pieceCount } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { DiskStore, type TorrentFile } from '../dist/store/index.js';
import * as kit from './store-kit.js';

const MiB = 1024 * 1024;

test('a blob grows piece by piece, is committed and found again', async (t) => {
  const harness = await kit.openStore(t);
  const bytes = kit.content('grow', 300_001);
  const metainfo = kit.metaInfoOf(bytes, 65_536);
  const torrent = await harness.store.create(metainfo);
  t.is(torrent.have.count, 0);
  t.false(torrent.committed);
  t.is(await harness.store.stat(metainfo.digest), undefined, 'partial data is not a blob');
  for (const piece of [4, 0, 2, 1, 3]) await kit.store(torrent, bytes, piece);
  await torrent.commit();
  t.true(torrent.committed);
  t.is((await harness.store.stat(metainfo.digest))?.length, bytes.length);
  kit.same(t, await kit.collect(torrent.stream({})), bytes);
  t.false(await kit.exists(kit.blobPath(harness.root, 'download', metainfo.digest, '')), 'nothing is left in download');
  torrent.release();

  const reopened = await harness.reopen();
  const found = await reopened.lookup(metainfo.digest);
  t.true(found?.committed);
  t.true(found?.have.isComplete);
  t.is(found?.metainfo.infoHash, metainfo.infoHash);
  const opened = await reopened.open(metainfo.digest);
  kit.same(t, await kit.collect(opened!.stream()), bytes);
  found?.release();
});

test('lookup of an unknown blob is undefined; remove of it is false', async (t) => {
  const { store } = await kit.openStore(t);
  const digest = kit.digestOf(Buffer.from('nothing'));
  t.is(await store.lookup(digest), undefined);
  t.false(await store.remove(digest));
  t.is(await store.open(digest), undefined);
});

test('an empty blob is committed when it is created', async (t) => {
  const { store } = await kit.openStore(t);
  const metainfo = kit.metaInfoOf(Buffer.alloc(0), 4 * MiB);
  const torrent = await store.create(metainfo);
  t.true(torrent.committed);
  t.deepEqual(await kit.collect(torrent.stream({})), Buffer.alloc(0));
  await torrent.commit();
  const wrong = createMetaInfo({ digest: kit.digestOf(Buffer.from('x')), length: 0, pieceLength: 5, pieceSums: [] });
  await kit.throwsCode(t, 'digest-mismatch', store.create(wrong));
  t.is(await store.lookup(wrong.digest), undefined);
});

test('concurrent create and lookup of one digest share one object', async (t) => {
  const { store } = await kit.openStore(t);
  const metainfo = kit.metaInfoOf(kit.content('shared', 1000), 100);
  const torrents: (TorrentFile | undefined)[] = await Promise.all([
    store.create(metainfo),
    store.create(metainfo),
    store.lookup(metainfo.digest),
    store.create(metainfo),
  ]);
  t.is(new Set(torrents).size, 1);
  for (const torrent of torrents) torrent?.release();
  const again = await store.lookup(metainfo.digest);
  t.not(again, torrents[0], 'a released torrent is not handed out again');
  await t.throwsAsync(kit.collect(torrents[0]!.stream({})), { message: /released/ });
});

test('pieces survive a restart; a torn one does not', async (t) => {
  const harness = await kit.openStore(t);
  const bytes = kit.content('resume', 10_000);
  const metainfo = kit.metaInfoOf(bytes, 1000);
  const torrent = await harness.store.create(metainfo);
  for (const piece of [0, 3, 4, 9]) await kit.store(torrent, bytes, piece);
  await kit.writeAt(torrent, kit.content('torn', 400), 4300);
  await kit.writeAt(torrent, kit.content('other', 400), 7000);
  torrent.release();
  const store = await harness.reopen();
  const resumed = (await store.lookup(metainfo.digest))!;
  // Bytes for a piece that is verified were dropped, so piece 4 is intact.
  t.deepEqual([...resumed.have], [0, 3, 4, 9]);
  resumed.release();
  await store.close();

  const path = kit.blobPath(harness.root, 'download', metainfo.digest);
  const damaged = Buffer.from(bytes);
  damaged[3000]! ^= 1;
  damaged.fill(0, 0, 1000);
  await writeFile(path, damaged);
  const third = await harness.reopen();
  const partial = (await third.lookup(metainfo.digest))!;
  t.deepEqual([...partial.have], [4, 9]);
  t.deepEqual(
    [...(await kit.listing(harness.root)).entries()].find(([name]) => name.endsWith('_status'))?.[1],
    Buffer.from([0, 0, 0, 0, 1, 0, 0, 0, 0, 1]),
  );
  await kit.fill(partial, bytes);
  await partial.commit();
  kit.same(t, await kit.collect(partial.stream({})), bytes);
});

test('a released torrent is taken up where it was; a removed one is not', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('released', 5000);
  const metainfo = kit.metaInfoOf(bytes, 1000);
  const first = await store.create(metainfo);
  await kit.store(first, bytes, 1);
  first.release();
  await kit.throwsCode(t, 'internal', kit.mark(first, 0));
  await kit.throwsCode(t, 'internal', kit.writeAt(first, bytes.subarray(0, 5), 0));
  const second = (await store.lookup(metainfo.digest))!;
  t.deepEqual([...second.have], [1]);
  await kit.store(second, bytes, 3);
  second.release();
  const other = await store.create(kit.metaInfoOf(bytes, 500));
  t.deepEqual([...other.have], []);
  other.release();
  t.deepEqual([...(await store.create(metainfo)).have], []);
  t.true(await store.remove(metainfo.digest));
  const third = await store.create(metainfo);
  t.deepEqual([...third.have], []);
  await kit.store(third, bytes, 2);
  third.release();
  await rm(kit.blobPath(root, 'download', metainfo.digest, ''), { recursive: true });
  const fourth = await store.create(metainfo);
  t.deepEqual([...fourth.have], []);
  fourth.release();
  t.deepEqual([...(await store.lookup(metainfo.digest))!.have], []);
});

test('a download that was complete when the process died is committed on the way in', async (t) => {
  const harness = await kit.openStore(t);
  const bytes = kit.content('complete', 5000);
  const metainfo = kit.metaInfoOf(bytes, 999);
  const torrent = await harness.store.create(metainfo);
  await kit.fill(torrent, bytes);
  const store = await harness.reopen();
  const [found, created] = await Promise.all([store.lookup(metainfo.digest), store.create(metainfo)]);
  t.true(found?.committed);
  t.true(created === found);
  t.truthy(await store.stat(metainfo.digest));
});

test('metainfo with another piece length starts the partial over; a committed blob keeps its own', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('piece length', 4000);
  const first = await store.create(kit.metaInfoOf(bytes, 1000));
  await kit.store(first, bytes, 0);
  const reader = kit.collect(first.stream({}));
  const other = kit.metaInfoOf(bytes, 500);
  const second = await store.create(other);
  t.not(second, first);
  t.is(second.have.count, 0);
  t.is(second.have.length, 8);
  await kit.throwsCode(t, 'removed', reader);
  await kit.throwsCode(t, 'removed', kit.writeAt(first, bytes.subarray(0, 10), 0));
  await kit.throwsCode(t, 'removed', kit.mark(first, 1));
  first.release();
  await kit.fill(second, bytes);
  await second.commit();
  second.release();
  const third = await store.create(kit.metaInfoOf(bytes, 1000));
  t.is(third.metainfo.infoHash, other.infoHash);
  t.true(third.committed);
});

test('a commit of content with another digest forgets everything and fails readers', async (t) => {
  const harness = await kit.openStore(t);
  const bytes = kit.content('good', 3000);
  const metainfo = kit.metaInfoOf(bytes, 1000, kit.digestOf(Buffer.from('another')));
  const torrent = await harness.store.create(metainfo);
  const seen: number[] = [];
  const reader = (async () => {
    for await (const chunk of torrent.stream({})) seen.push(chunk.length);
  })();
  await kit.fill(torrent, bytes);
  await Promise.all([
    kit.throwsCode(t, 'digest-mismatch', torrent.commit(), 'commit'),
    kit.throwsCode(t, 'digest-mismatch', torrent.commit(), 'second commit'),
    kit.throwsCode(t, 'digest-mismatch', reader, 'reader'),
  ]);
  t.true(seen.reduce((a, b) => a + b, 0) < bytes.length, 'the end was withheld');
  t.is(torrent.have.count, 0);
  t.deepEqual([...(await kit.listing(harness.root)).keys()], []);
  t.is(await harness.store.lookup(metainfo.digest), undefined);
  const again = await harness.store.create(metainfo);
  t.not(again, torrent);
  t.is(again.have.count, 0);
});

test('readers get verified bytes as they come, the end only after the commit', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('reader', 5 * 1000);
  const torrent = await store.create(kit.metaInfoOf(bytes, 1000));
  const needed: number[] = [];
  const got: Buffer[] = [];
  let ended = false;
  const reader = (async () => {
    for await (const chunk of torrent.stream({ onNeed: (piece) => needed.push(piece) })) got.push(Buffer.from(chunk));
    ended = true;
  })();
  const length = (): number => got.reduce((sum, chunk) => sum + chunk.length, 0);
  await kit.until(() => needed.length === 1);
  await kit.writeAt(torrent, bytes.subarray(0, 1000), 0);
  await kit.turn();
  t.is(length(), 0, 'written is not verified');
  await kit.mark(torrent, 0);
  await kit.until(() => length() === 1000);
  await kit.store(torrent, bytes, 2);
  await kit.store(torrent, bytes, 1);
  await kit.until(() => length() === 3000);
  t.deepEqual(needed.slice(0, 2), [0, 1]);
  await kit.store(torrent, bytes, 4);
  await kit.store(torrent, bytes, 3);
  await kit.turn();
  await kit.turn();
  t.false(ended);
  t.true(length() < 5000);
  const middle = await kit.collect(torrent.stream({ range: { start: 1500, end: 4999 } }));
  t.deepEqual(middle, bytes.subarray(1500, 4999), 'a range that does not show the end needs no commit');
  t.false(torrent.committed);
  await torrent.commit();
  await reader;
  kit.same(t, Buffer.concat(got), bytes);
  t.true(needed.every((piece) => piece < 5));
});

test('large pieces come in chunks of at most 1 MiB that stay valid until the next is asked for', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('large', 9 * MiB + 17);
  const torrent = await store.create(kit.metaInfoOf(bytes, 4 * MiB));
  await kit.fill(torrent, bytes);
  await torrent.commit();
  let position = 0;
  for await (const chunk of torrent.stream({})) {
    t.true(chunk.length <= MiB);
    // Let a read ahead land before looking.
    await kit.turn();
    await kit.turn();
    if (!bytes.subarray(position, position + chunk.length).equals(chunk)) t.fail(`bytes differ at ${position}`);
    position += chunk.length;
  }
  t.is(position, bytes.length);
});

test('ranges outside the blob are refused, empty ones end at once', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('ranges', 100);
  const torrent = await store.create(kit.metaInfoOf(bytes, 10));
  for (const [start, end] of [
    [-1, 5],
    [5, 4],
    [0, 101],
    [0.5, 3],
    [NaN, 3],
  ] as const) {
    t.throws(() => torrent.stream({ range: { start, end } }), { message: /range/ });
  }
  t.is((await kit.collect(torrent.stream({ range: { start: 100, end: 100 } }))).length, 0);
  t.is((await kit.collect(torrent.stream({ range: { start: 7, end: 7 } }))).length, 0);
});

test('failed readers throw, later ones wait again', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('fail', 3000);
  const torrent = await store.create(kit.metaInfoOf(bytes, 1000));
  await kit.store(torrent, bytes, 0);
  const waiting = kit.collect(torrent.stream({}));
  const notStarted = torrent.stream({});
  const busy = torrent.stream({})[Symbol.asyncIterator]();
  t.is(((await busy.next()) as IteratorResult<Uint8Array, undefined>).value?.length, 1000);
  await kit.turn();
  torrent.failReaders(new KrakenError('pull-timeout', 'too late'));
  await kit.throwsCode(t, 'pull-timeout', waiting);
  await kit.throwsCode(t, 'pull-timeout', busy.next());
  await kit.throwsCode(t, 'pull-timeout', kit.collect(notStarted));
  const later = kit.collect(torrent.stream({}));
  await kit.store(torrent, bytes, 1);
  await kit.store(torrent, bytes, 2);
  await torrent.commit();
  kit.same(t, await later, bytes);
});

test('an aborted signal and an early return end a waiting reader', async (t) => {
  const { store } = await kit.openStore(t);
  const torrent = await store.create(kit.metaInfoOf(kit.content('abort', 3000), 1000));
  const controller = new AbortController();
  const waiting = kit.collect(torrent.stream({ signal: controller.signal }));
  await kit.turn();
  controller.abort();
  await kit.throwsCode(t, 'cancelled', waiting);
  await kit.throwsCode(
    t,
    'cancelled',
    kit.collect(torrent.stream({ signal: controller.signal })),
    'aborted before the start',
  );
  const iterator = torrent.stream({})[Symbol.asyncIterator]();
  const next = iterator.next();
  await kit.turn();
  await iterator.return?.();
  await kit.throwsCode(t, 'cancelled', next);
});

test('a removed torrent fails waiting readers and writers; running readers of a committed blob go on', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('remove', 3 * MiB);
  const metainfo = kit.metaInfoOf(bytes, MiB);
  const partial = await store.create(metainfo);
  await kit.store(partial, bytes, 0);
  const waiting = kit.collect(partial.stream({}));
  await kit.turn();
  t.true(await store.remove(metainfo.digest));
  await kit.throwsCode(t, 'removed', waiting);
  await kit.throwsCode(t, 'removed', kit.writeAt(partial, bytes.subarray(0, 1), 0));
  await kit.throwsCode(t, 'removed', partial.commit());
  t.is(partial.have.count, 0);
  partial.release();
  t.deepEqual([...(await kit.listing(root)).keys()], []);

  const torrent = await store.create(metainfo);
  await kit.fill(torrent, bytes);
  await torrent.commit();
  const reader = torrent.stream({})[Symbol.asyncIterator]();
  const first = Buffer.from((await reader.next()).value as Uint8Array);
  const opened = (await store.open(metainfo.digest))!;
  t.true(await store.remove(metainfo.digest));
  t.is(await store.stat(metainfo.digest), undefined);
  const rest = await kit.collect({ [Symbol.asyncIterator]: () => reader });
  kit.same(t, Buffer.concat([first, rest]), bytes);
  kit.same(t, await kit.collect(opened.stream()), bytes);
});

test('read gives fewer bytes at the end, and of a truncated file; a stream of that fails', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('read', 5000);
  const metainfo = kit.metaInfoOf(bytes, 1000);
  const torrent = await store.create(metainfo);
  await kit.fill(torrent, bytes);
  await torrent.commit();
  const buffer = Buffer.alloc(2000);
  const read = (position: number): Promise<number> =>
    new Promise((resolve, reject) =>
      torrent.read(buffer, 2000, position, (error, count) => (error === null ? resolve(count) : reject(error))),
    );
  t.is(await read(1000), 2000);
  t.deepEqual(buffer, bytes.subarray(1000, 3000));
  t.is(await read(4000), 1000);
  await truncate(kit.blobPath(root, 'cache', metainfo.digest), 2500);
  t.is(await read(1000), 1500);
  await kit.throwsCode(t, 'content-truncated', kit.collect(torrent.stream({})));
});

test('writes outside the blob and into a committed blob are refused', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('refuse', 2000);
  const torrent = await store.create(kit.metaInfoOf(bytes, 1000));
  await kit.throwsCode(t, 'internal', kit.writeAt(torrent, bytes, 1));
  await kit.throwsCode(t, 'internal', kit.writeAt(torrent, bytes.subarray(0, 2), 999), 'a write across pieces');
  await kit.throwsCode(t, 'internal', torrent.commit(), 'commit without all pieces');
  await kit.fill(torrent, bytes);
  await kit.mark(torrent, 0);
  t.is(torrent.have.count, 2);
  await torrent.commit();
  await kit.throwsCode(t, 'blob-exists', kit.writeAt(torrent, bytes.subarray(0, 5), 0));
  await kit.throwsCode(t, 'blob-exists', kit.mark(torrent, 0));
  await torrent.commit();
});

test('a commit whose move fails can be repeated', async (t) => {
  const { store, root } = await kit.openStore(t);
  const bytes = kit.content('move', 3000);
  const metainfo = kit.metaInfoOf(bytes, 1000);
  const torrent = await store.create(metainfo);
  await kit.fill(torrent, bytes);
  // A file where the first shard directory belongs.
  const shard = kit.blobPath(root, 'cache', metainfo.digest, '../..');
  await mkdir(join(shard, '..'), { recursive: true });
  await writeFile(shard, '');
  await kit.throwsCode(t, 'io-error', torrent.commit());
  t.false(torrent.committed);
  t.true(torrent.have.isComplete);
  await rm(shard);
  await torrent.commit();
  kit.same(t, await kit.collect(torrent.stream({})), bytes);
});

test('descriptors stay under their limit and reopen by themselves', async (t) => {
  const { store } = await kit.openStore(t, { descriptorsMax: 6 });
  const blobs = Array.from({ length: 12 }, (_, i) => kit.content(`fd${i}`, 4000));
  const torrents: TorrentFile[] = [];
  for (const bytes of blobs) torrents.push(await store.create(kit.metaInfoOf(bytes, 1000)));
  for (let piece = 0; piece < 4; piece++) {
    for (const [i, torrent] of torrents.entries()) await kit.store(torrent, blobs[i]!, piece);
  }
  for (const torrent of torrents) await torrent.commit();
  for (const [i, torrent] of torrents.entries()) kit.same(t, await kit.collect(torrent.stream({})), blobs[i]!);
  const iterators = torrents.map((torrent) => torrent.stream({})[Symbol.asyncIterator]());
  for (const iterator of iterators.slice(0, 6)) t.falsy((await iterator.next()).done);
  await kit.throwsCode(t, 'queue-full', iterators[6]!.next());
  for (const iterator of iterators) await iterator.return?.();
  t.deepEqual(await kit.collect(torrents[7]!.stream({})), blobs[7]);
});

test('many readers share few buffers', async (t) => {
  const { store } = await kit.openStore(t, { limits: { bufferBytesMax: 256 * 1024 } });
  const bytes = kit.content('buffers', 3 * MiB);
  const torrent = await store.create(kit.metaInfoOf(bytes, MiB));
  await kit.fill(torrent, bytes);
  await torrent.commit();
  const stalled = torrent.stream({})[Symbol.asyncIterator]();
  await stalled.next();
  const copies = await Promise.all(Array.from({ length: 10 }, () => kit.collect(torrent.stream({}))));
  t.true(copies.every((copy) => copy.equals(bytes)));
  await stalled.return?.();
});

test('a closed store fails its readers and refuses work', async (t) => {
  const harness = await kit.openStore(t);
  const torrent = await harness.store.create(kit.metaInfoOf(kit.content('close', 3000), 1000));
  const waiting = kit.collect(torrent.stream({}));
  await kit.turn();
  await Promise.all([harness.store.close(), kit.throwsCode(t, 'shutting-down', waiting)]);
  await harness.store.close();
  await kit.throwsCode(t, 'shutting-down', harness.store.lookup(torrent.metainfo.digest));
  await kit.throwsCode(t, 'shutting-down', harness.store.uploads.create());
});

test('without a download directory only committed blobs are torrents', async (t) => {
  const root = await kit.temporaryDirectory(t);
  const store = await DiskStore.open({ cacheDir: `${root}/cache`, uploadDir: `${root}/upload` });
  t.teardown(() => store.close());
  const bytes = kit.content('origin', 2500);
  await kit.upload(store, bytes);
  const digest = kit.digestOf(bytes);
  t.is(await store.lookup(digest), undefined, 'no metainfo yet');
  const metainfo = await store.generateMetaInfo(digest, 1000);
  t.deepEqual(metainfo, kit.metaInfoOf(bytes, 1000));
  const torrent = await store.lookup(digest);
  t.true(torrent?.committed);
  kit.same(t, await kit.collect(torrent!.stream({})), bytes);
  await kit.throwsCode(t, 'unsupported', store.create(kit.metaInfoOf(kit.content('x', 5), 5)));
});

test('a committed blob without metainfo takes only metainfo that fits', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('describe', 2500);
  await kit.upload(store, bytes);
  const good = kit.metaInfoOf(bytes, 1000);
  const wrong = createMetaInfo({ ...good, pieceSums: [1, 2, 3] });
  await kit.throwsCode(t, 'metainfo-invalid', store.create(wrong));
  await kit.throwsCode(t, 'metainfo-invalid', store.create(createMetaInfo({ ...good, length: 2501 })));
  const torrent = await store.create(good);
  t.true(torrent.committed);
  t.deepEqual(await store.metaInfo(good.digest), good);
});

test('64 MiB in pieces of 4 MiB, written out of order while a reader follows', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = Buffer.alloc(64 * MiB);
  for (let at = 0; at < bytes.length; at += 4096) bytes.writeUInt32LE(at, at);
  const metainfo = kit.metaInfoOf(bytes, 4 * MiB);
  const torrent = await store.create(metainfo);
  let position = 0;
  const reader = (async () => {
    for await (const chunk of torrent.stream({})) {
      if (!bytes.subarray(position, position + chunk.length).equals(chunk))
        throw new Error(`bytes differ at ${position}`);
      position += chunk.length;
    }
  })();
  const order = Array.from({ length: pieceCount(metainfo) }, (_, i) => (i * 7) % 16);
  await Promise.all(order.map((piece) => kit.store(torrent, bytes, piece)));
  await torrent.commit();
  await reader;
  t.is(position, bytes.length);
});

test('property: any interleaving of writes, marks and readers shows the right bytes, and no end before the commit', async (t) => {
  const { store } = await kit.openStore(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        length: fc.integer({ min: 1, max: 400 }),
        pieceLength: fc.integer({ min: 1, max: 90 }),
        seed: fc.integer(),
        steps: fc.array(
          fc.record({ kind: fc.constantFrom('piece', 'garbage', 'reader', 'range', 'turn'), pick: fc.nat() }),
          { maxLength: 60 },
        ),
        good: fc.boolean(),
      }),
      async ({ length, pieceLength, seed, steps, good }) => {
        const bytes = kit.content(`property ${run++} ${seed}`, length);
        const digest = kit.digestOf(good ? bytes : Buffer.concat([bytes, bytes]));
        const metainfo = kit.metaInfoOf(bytes, pieceLength, digest);
        const torrent = await store.create(metainfo);
        const count = pieceCount(metainfo);
        const readers: Promise<void>[] = [];
        const start = (from: number, to: number): void => {
          readers.push(
            (async () => {
              let position = from;
              try {
                for await (const chunk of torrent.stream({ range: { start: from, end: to } })) {
                  if (!bytes.subarray(position, position + chunk.length).equals(chunk))
                    throw new Error(`wrong bytes at ${position}`);
                  position += chunk.length;
                  if (position === length && !torrent.committed) throw new Error('the end was shown before the commit');
                }
                if (position !== to) throw new Error(`ended at ${position} of ${to}`);
              } catch (error) {
                if (good || !isKrakenError(error, 'digest-mismatch')) throw error;
              }
            })(),
          );
        };
        const writes: Promise<void>[] = [];
        for (const { kind, pick } of steps) {
          const piece = pick % count;
          if (kind === 'piece' && !torrent.have.has(piece)) writes.push(kit.store(torrent, bytes, piece));
          else if (kind === 'garbage' && torrent.have.has(piece))
            writes.push(kit.writeAt(torrent, Buffer.alloc(1, 7), piece * pieceLength));
          else if (kind === 'reader') start(0, length);
          else if (kind === 'range') start(pick % length, Math.max(pick % length, (pick * 31) % (length + 1)));
          else await kit.turn();
        }
        await Promise.all(writes);
        for (let piece = 0; piece < count; piece++)
          if (!torrent.have.has(piece)) await kit.store(torrent, bytes, piece);
        if (good) await torrent.commit();
        else await kit.throwsCode(t, 'digest-mismatch', torrent.commit());
        await Promise.all(readers);
        torrent.release();
        t.is((await store.stat(digest)) !== undefined, good);
      },
    ),
    { numRuns: 60 },
  );
});

test('property: what is on disk after a restart is what was marked', async (t) => {
  const harness = await kit.openStore(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat({ max: 19 }), { maxLength: 19 }),
      fc.uniqueArray(fc.nat({ max: 19 })),
      async (marked, spoiled) => {
        const bytes = kit.content(`restart ${run++}`, 1999);
        const metainfo = kit.metaInfoOf(bytes, 100);
        const torrent = await harness.store.create(metainfo);
        for (const piece of marked) await kit.store(torrent, bytes, piece);
        await harness.reopen();
        const path = kit.blobPath(harness.root, 'download', metainfo.digest);
        const onDisk = Buffer.from((await kit.listing(harness.root)).get(path.slice(harness.root.length + 1))!);
        for (const piece of spoiled) onDisk[piece * 100]! ^= 0xff;
        await writeFile(`${path}.new`, onDisk);
        await rename(`${path}.new`, path);
        const resumed = (await harness.store.lookup(metainfo.digest))!;
        const expected = Bitfield.of(
          20,
          marked.filter((piece) => !spoiled.includes(piece)),
        );
        t.deepEqual([...resumed.have], [...expected]);
        t.true(await harness.store.remove(metainfo.digest));
      },
    ),
    { numRuns: 25 },
  );
});
