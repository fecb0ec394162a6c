/** The store after crashes, on full and foreign disks, and on directories that Go Kraken wrote. */
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, open, rename, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { encodeBitset, pieceCount, serializeMetaInfo, type Digest } from '@kraken/core/content';
import { DiskStore } from '../dist/store/index.js';
import { HashThreads } from '../dist/store/hash-threads.js';
import * as kit from './store-kit.js';

const MiB = 1024 * 1024;
const run = promisify(execFile);

interface DiskStateCase {
  readonly kind: string;
  readonly id: string;
  readonly files: readonly {
    readonly path: string;
    readonly size: number;
    readonly hex?: string;
    readonly text?: string;
    readonly content?: string;
  }[];
  readonly bitfield_hex: string;
}

const vectors = JSON.parse(readFileSync(new URL('../test/fixtures/vectors/paths.json', import.meta.url), 'utf8')) as {
  cases: DiskStateCase[];
};
const states = new Map(vectors.cases.filter((entry) => entry.kind === 'disk_state').map((entry) => [entry.id, entry]));
const tenBytes = kit.content('disk', 10);
const tenMeta = kit.metaInfoOf(tenBytes, 3);
/** States that the vector tests below looked at. */
const usedStates = new Set<string>();

/** Write a recorded state below `root`. */
async function materialise(root: string, id: string): Promise<void> {
  usedStates.add(id);
  for (const file of states.get(id)!.files) {
    const path = join(root, file.path);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(
      path,
      file.hex !== undefined ? Buffer.from(file.hex, 'hex') : (file.text ?? Buffer.from('80c49fd50c000000', 'hex')),
    );
  }
}

/** The files below `root` are those of a recorded state. Modes are not compared: Go makes sidecars executable. */
async function sameState(
  t: ExecutionContext,
  root: string,
  id: string,
  rename: (path: string) => string = (path) => path,
): Promise<void> {
  usedStates.add(id);
  const expected = new Map(states.get(id)!.files.map((file) => [rename(file.path), file]));
  const found = await kit.listing(root);
  t.deepEqual([...found.keys()].sort(), [...expected.keys()].sort(), id);
  for (const [path, file] of expected) {
    const bytes = found.get(path)!;
    t.is(bytes.length, file.size, `${id} ${path}`);
    if (file.hex !== undefined) t.is(bytes.toString('hex'), file.hex, `${id} ${path}`);
    if (file.text !== undefined) t.is(bytes.toString('utf8'), file.text, `${id} ${path}`);
  }
}

test.serial('vectors: what a Go agent left is taken up, and ours looks the same', async (t) => {
  for (const [id, have] of [
    ['agent-created', []],
    ['agent-2-of-4', [0, 2]],
    ['agent-bad-piece', [0, 2]],
  ] as const) {
    const goes = await kit.openStore(t);
    await materialise(goes.root, id);
    const torrent = (await goes.store.lookup(tenMeta.digest))!;
    t.deepEqual([...torrent.have], [...have], id);
    await kit.fill(torrent, tenBytes);
    await torrent.commit();
    await sameState(t, goes.root, 'agent-complete');

    const ours = await kit.openStore(t);
    const created = await ours.store.create(tenMeta);
    for (const piece of have) await kit.store(created, tenBytes, piece);
    if (id === 'agent-bad-piece') await kit.writeAt(created, Uint8Array.of(1, 2, 3), 3);
    await sameState(t, ours.root, id);
    if (id === 'agent-2-of-4') {
      const reopen = vectors.cases.find((entry) => entry.kind === 'reopen' && entry.id === id)!;
      t.is(Buffer.from(encodeBitset(created.have)).toString('hex'), reopen.bitfield_hex);
    }
  }

  const complete = await kit.openStore(t);
  await materialise(complete.root, 'agent-complete');
  const found = (await complete.store.lookup(tenMeta.digest))!;
  t.true(found.committed);
  kit.same(t, await kit.collect(found.stream({})), tenBytes);

  const empty = kit.metaInfoOf(Buffer.alloc(0), 4 * MiB);
  const goesEmpty = await kit.openStore(t);
  await materialise(goesEmpty.root, 'agent-empty-blob');
  t.true((await goesEmpty.store.lookup(empty.digest))?.committed);
  const oursEmpty = await kit.openStore(t);
  await oursEmpty.store.create(empty);
  await sameState(t, oursEmpty.root, 'agent-empty-blob');

  const stray = await kit.openStore(t);
  await materialise(stray.root, 'agent-metainfo-name-mismatch');
  t.is(await stray.store.lookup(tenMeta.digest), undefined);
  t.is((await stray.store.create(tenMeta)).have.count, 0);

  const promoted = await kit.openStore(t);
  await materialise(promoted.root, 'agent-empty-status-file');
  t.is(await promoted.store.stat(tenMeta.digest), undefined, 'an unfinished file that was promoted is no blob');
  t.is(await promoted.store.lookup(tenMeta.digest), undefined);
  t.is((await promoted.store.create(tenMeta)).have.count, 0);
});

test.serial('vectors: what a Go origin left is taken up, and ours looks the same', async (t) => {
  const ours = await kit.openStore(t);
  const { store } = ours;
  const id = await store.uploads.create();
  const withId = (path: string): string => path.replace('3a5e4d2c-0000-4000-8000-000000000001', id);
  await sameState(t, ours.root, 'origin-upload-started', withId);
  await store.uploads.write(id, 0, kit.chunks(tenBytes, 4), 10);
  await sameState(t, ours.root, 'origin-upload-written', withId);
  await store.uploads.commit(id, tenMeta.digest);
  await sameState(t, ours.root, 'origin-committed');
  await store.setPinned(tenMeta.digest, true);
  await store.generateMetaInfo(tenMeta.digest, 3);
  await sameState(t, ours.root, 'origin-writeback-pending');
  await kit.throwsCode(t, 'blob-pinned', store.delete(tenMeta.digest));
  await sameState(t, ours.root, 'origin-delete-refused');
  await store.setPinned(tenMeta.digest, false);
  await sameState(t, ours.root, 'origin-written-back');
  await kit.throwsCode(t, 'digest-mismatch', kit.upload(store, Buffer.alloc(0), kit.digestOf(Buffer.from('zzz'))));
  await sameState(t, ours.root, 'origin-digest-mismatch');
  t.true((await kit.upload(store, tenBytes)).existed);
  await sameState(t, ours.root, 'origin-conflict');

  for (const state of ['origin-upload-started', 'origin-upload-written']) {
    const root = await kit.temporaryDirectory(t);
    await materialise(root, state);
    await kit.openStore(t, {}, root);
    t.deepEqual([...(await kit.listing(root)).keys()], [], state);
  }
  for (const [state, pinned, described] of [
    ['origin-committed', false, false],
    ['origin-writeback-pending', true, true],
    ['origin-written-back', false, true],
  ] as const) {
    const goes = await kit.openStore(t);
    await materialise(goes.root, state);
    t.is((await goes.store.stat(tenMeta.digest))?.length, 10, state);
    t.is(await goes.store.isPinned(tenMeta.digest), pinned, state);
    t.is((await goes.store.lookup(tenMeta.digest))?.committed, described ? true : undefined, state);
    t.is((await goes.store.metaInfo(tenMeta.digest))?.infoHash, described ? tenMeta.infoHash : undefined, state);
  }
});

test.serial('vectors: every recorded state was used but those of another kind of store', (t) => {
  t.is(states.size, 17);
  // Tags live in a flat store without digests, which belongs to build-index.
  const left = ['build-index-tags', 'build-index-tag-overwrite'];
  t.deepEqual(
    [...states.keys()].filter((id) => !usedStates.has(id)),
    left,
  );
  t.is(usedStates.size, 15);
});

/** A torrent whose pieces are all verified but that was never committed; the store is closed. */
async function complete(
  t: ExecutionContext,
  seed: string,
): Promise<{
  root: string;
  bytes: Buffer;
  digest: Digest;
  path: (state: 'cache' | 'download', file?: string) => string;
}> {
  const harness = await kit.openStore(t);
  const bytes = kit.content(seed, 4500);
  const metainfo = kit.metaInfoOf(bytes, 1000);
  await kit.fill(await harness.store.create(metainfo), bytes);
  await harness.store.close();
  const { digest } = metainfo;
  return { root: harness.root, bytes, digest, path: (state, file) => kit.blobPath(harness.root, state, digest, file) };
}

test('a crash before the rename of a commit: sidecars in the cache, data in download', async (t) => {
  const { root, bytes, digest, path } = await complete(t, 'before rename');
  await mkdir(path('cache', ''), { recursive: true });
  for (const name of ['_torrentmeta', '_status', '_last_access_time']) {
    await writeFile(path('cache', name), (await kit.listing(path('download', ''))).get(name)!);
  }
  await writeFile(path('cache', '.new-m'), '{"Info');
  await writeFile(path('download', '_persist'), 'true');
  const { store } = await kit.openStore(t, {}, root);
  t.is(await store.stat(digest), undefined);
  const torrent = (await store.lookup(digest))!;
  t.true(torrent.committed);
  kit.same(t, await kit.collect(torrent.stream({})), bytes);
  t.true(await store.isPinned(digest), 'the pin moved along');
  t.false(await kit.exists(path('download', '')));
});

test('a crash after the rename of a commit: sidecars are left in download', async (t) => {
  const { root, bytes, digest, path } = await complete(t, 'after rename');
  await mkdir(path('cache', ''), { recursive: true });
  await rename(path('download'), path('cache'));
  const { store } = await kit.openStore(t, {}, root);
  t.is((await store.stat(digest))?.length, bytes.length);
  t.is(await store.lookup(digest), undefined, 'metainfo is still to come');
  await store.sweep();
  t.false(await kit.exists(path('download', '')));
  t.true((await store.create(kit.metaInfoOf(bytes, 1000))).committed);
  kit.same(t, await kit.collect((await store.open(digest))!.stream()), bytes);
});

test('partial downloads that cannot be trusted start over', async (t) => {
  const cases: [string, (path: (file?: string) => string) => Promise<void>, number | undefined][] = [
    ['no metainfo', (path) => unlink(path('_torrentmeta')), undefined],
    ['torn metainfo', (path) => writeFile(path('_torrentmeta'), '{"Info":{"Piece'), undefined],
    ['metainfo of another blob', (path) => writeFile(path('_torrentmeta'), serializeMetaInfo(tenMeta)), undefined],
    ['data too short', (path) => truncate(path(), 100), undefined],
    ['data too long', (path) => writeFile(path(), Buffer.alloc(9999)), undefined],
    ['no data', (path) => unlink(path()), undefined],
    ['no status', (path) => unlink(path('_status')), 0],
    ['empty status', (path) => writeFile(path('_status'), ''), 0],
    ['status of other pieces', (path) => writeFile(path('_status'), Buffer.alloc(6, 1)), 0],
    ['status with unknown bytes', (path) => writeFile(path('_status'), Buffer.from([2, 1, 255, 1, 0])), 2],
    ['zeroed data', (path) => writeFile(path(), Buffer.alloc(4500)), 0],
  ];
  for (const [name, spoil, kept] of cases) {
    const { root, bytes, digest, path } = await complete(t, name);
    await spoil((file) => path('download', file));
    const harness = await kit.openStore(t, {}, root);
    const found = await harness.store.lookup(digest);
    t.is(found?.have.count, kept, name);
    t.not(found?.committed, true, name);
    found?.release();
    const torrent = await harness.store.create(kit.metaInfoOf(bytes, 1000));
    t.is(torrent.have.count, kept ?? 0, name);
    for (let piece = 0; piece < 5; piece++) if (!torrent.have.has(piece)) await kit.store(torrent, bytes, piece);
    await torrent.commit();
    kit.same(t, await kit.collect(torrent.stream({})), bytes, name);
    await harness.store.close();
  }
});

test('complete pieces of the wrong content are thrown away at the next start', async (t) => {
  const harness = await kit.openStore(t);
  const bytes = kit.content('wrong', 3000);
  const metainfo = kit.metaInfoOf(bytes, 1000, kit.digestOf(Buffer.from('right')));
  await kit.fill(await harness.store.create(metainfo), bytes);
  const store = await harness.reopen();
  t.is(await store.lookup(metainfo.digest), undefined);
  t.deepEqual([...(await kit.listing(harness.root)).keys()], []);
  await kit.fill(await store.create(metainfo), bytes);
  const again = await harness.reopen();
  const torrent = await again.create(metainfo);
  t.is(torrent.have.count, 0);
});

test('a cached blob with missing pieces by its status is believed when its digest is right', async (t) => {
  const { root, bytes, digest, path } = await complete(t, 'odd status');
  await mkdir(path('cache', ''), { recursive: true });
  await rename(path('download'), path('cache'));
  await writeFile(path('cache', '_status'), Buffer.from([1, 0, 1]));
  const { store } = await kit.openStore(t, {}, root);
  const opened = (await store.open(digest))!;
  kit.same(t, await kit.collect(opened.stream()), bytes);
  t.false(await kit.exists(path('cache', '_status')));
});

test('SIGKILL in the middle of a download keeps every piece that was marked', async (t) => {
  const root = await kit.temporaryDirectory(t);
  const bytes = kit.content('kill', 20 * MiB);
  const metainfo = kit.metaInfoOf(bytes, 256 * 1024);
  const args = [
    fileURLToPath(new URL('./store-child.js', import.meta.url)),
    root,
    'kill',
    String(20 * MiB),
    String(256 * 1024),
  ];
  const marked = new Set<number>();
  for (const killAfter of [5, 25, undefined]) {
    const child = spawn(process.execPath, [...args, String(killAfter === undefined ? -1 : killAfter + 15)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (killAfter !== undefined && output.split('\n').length > killAfter) child.kill('SIGKILL');
    });
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
      child.once('close', (...ending) => resolve(ending)),
    );
    const lines = output.split('\n').slice(0, -1);
    if (killAfter === undefined) {
      t.is(lines.pop(), 'committed');
      t.is(code, 0, 'the process ends by itself');
    } else {
      t.is(signal, 'SIGKILL');
    }
    for (const line of lines) {
      t.false(marked.has(Number(line)), `piece ${line} was fetched twice`);
      marked.add(Number(line));
    }
    const store = await DiskStore.open(kit.storeOptions(root));
    const torrent = (await store.lookup(metainfo.digest))!;
    for (const piece of marked) t.true(torrent.have.has(piece), `piece ${piece} was lost`);
    // A piece may have been marked just before the kill, without the line about it.
    for (const piece of torrent.have) marked.add(piece);
    if (killAfter === undefined) t.true(torrent.committed);
    await store.close();
  }
  t.is(marked.size, pieceCount(metainfo));
});

/** A small file system of its own, or `undefined` with the reason printed; in CI that is a failure. */
async function smallDisk(t: ExecutionContext, bytes: number): Promise<string | undefined> {
  const mount = join(await kit.temporaryDirectory(t), 'disk');
  await mkdir(mount);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', mount]);
  } catch (error) {
    const reason = `mounting a tmpfs is not permitted: ${String(error)}`;
    if (process.env['CI'] === 'true') t.fail(reason);
    else t.pass(`skipped: ${reason}`);
    t.log('skipped:', reason);
    return undefined;
  }
  t.teardown(() => run('umount', ['--lazy', mount]));
  return mount;
}

test('a full disk: creating, writing and committing say so and work again when there is room', async (t) => {
  const root = await smallDisk(t, 4 * MiB);
  if (root === undefined) return;
  const { store } = await kit.openStore(t, {}, root);
  await kit.throwsCode(t, 'disk-full', store.create(kit.metaInfoOf(kit.content('big', 5 * MiB), MiB)));
  const bytes = kit.content('fits', 2 * MiB);
  const torrent = await store.create(kit.metaInfoOf(bytes, MiB));
  await kit.store(torrent, bytes, 0);
  const id = await store.uploads.create();
  const small = kit.content('small', 1000);
  await store.uploads.write(id, 0, kit.chunks(small, 1000), 1000);

  const ballast = join(root, 'ballast');
  await t.throwsAsync(writeFile(ballast, Buffer.alloc(4 * MiB)), { code: 'ENOSPC' });
  await kit.throwsCode(t, 'disk-full', kit.writeAt(torrent, bytes.subarray(MiB), MiB));
  t.false(torrent.have.has(1));
  await kit.throwsCode(t, 'disk-full', store.uploads.write(id, 1000, kit.chunks(bytes, 70_000), 5 * MiB));
  // The upload that did not fit is over and its bytes are gone: what is smaller fits again.
  await kit.throwsCode(t, 'upload-unknown', store.uploads.size(id));
  await t.throwsAsync(writeFile(join(root, 'more'), Buffer.alloc(4 * MiB)), { code: 'ENOSPC' });
  await kit.throwsCode(t, 'disk-full', store.uploads.create());
  await rm(join(root, 'more'));
  await rm(ballast);
  const again = await store.uploads.create();
  await store.uploads.write(again, 0, kit.chunks(small, 100), 1000);
  await t.throwsAsync(writeFile(ballast, Buffer.alloc(4 * MiB)), { code: 'ENOSPC' });
  await kit.throwsCode(t, 'disk-full', store.uploads.commit(again, kit.digestOf(small)));
  t.is(await store.uploads.size(again), 1000, 'the session survives');
  await rm(ballast);
  t.deepEqual(await store.uploads.commit(again, kit.digestOf(small)), { length: 1000, existed: false });
  await kit.store(torrent, bytes, 1);
  await torrent.commit();
  kit.same(t, await kit.collect(torrent.stream({})), bytes);
});

test('least recently used blobs make room for a download and under a disk watermark', async (t) => {
  const root = await smallDisk(t, 8 * MiB);
  if (root === undefined) return;
  let now = 1_700_000_000_000;
  const harness = await kit.openStore(
    t,
    {
      now: () => now,
      cleanup: { intervalMs: 0, idleMs: 0, highWatermark: { diskPercent: 99 }, lowWatermark: { diskPercent: 98 } },
    },
    root,
  );
  const blobs = Array.from({ length: 6 }, (_, i) => kit.content(`room${i}`, MiB));
  const digests = blobs.map(kit.digestOf);
  for (const bytes of blobs) {
    await kit.upload(harness.store, bytes);
    now += 3_600_000;
  }
  const present = async (store: DiskStore): Promise<number[]> => {
    const found = await Promise.all(digests.map((digest) => store.stat(digest)));
    return digests.map((_, i) => i).filter((i) => found[i] !== undefined);
  };
  await harness.store.setPinned(digests[0]!, true);
  const evicted: Digest[] = [];
  harness.store.onEvict((digest) => evicted.push(digest));
  const torrent = await harness.store.create(kit.metaInfoOf(kit.content('new', 3 * MiB), MiB));
  t.deepEqual(evicted, [digests[1]!, digests[2]!]);
  t.deepEqual(await present(harness.store), [0, 3, 4, 5]);
  await kit.throwsCode(t, 'disk-full', harness.store.create(kit.metaInfoOf(kit.content('too big', 8 * MiB), MiB)));
  torrent.release();
  t.true(await harness.store.remove(torrent.metainfo.digest));

  const store = await harness.reopen({
    cleanup: { intervalMs: 0, idleMs: 0, highWatermark: { diskPercent: 10 }, lowWatermark: { diskPercent: 5 } },
  });
  await store.sweep();
  t.deepEqual(await present(store), [0], 'all but the pinned one');
});

test('one directory for two purposes is refused at open', async (t) => {
  const root = await kit.temporaryDirectory(t);
  await kit.throwsCode(
    t,
    'config-invalid',
    DiskStore.open({ cacheDir: join(root, 'a'), downloadDir: join(root, 'b', '..', 'a') }),
  );
});

test('directories on different file systems are refused at open', async (t) => {
  const other = await smallDisk(t, MiB);
  if (other === undefined) return;
  const root = await kit.temporaryDirectory(t);
  await kit.throwsCode(
    t,
    'config-invalid',
    DiskStore.open({ ...kit.storeOptions(root), downloadDir: join(other, 'download') }),
  );
  await kit.throwsCode(
    t,
    'config-invalid',
    DiskStore.open({ ...kit.storeOptions(root), uploadDir: join(other, 'upload') }),
  );
  t.deepEqual([...(await kit.listing(other)).keys(), ...(await kit.listing(root)).keys()], [], 'no probes are left');
});

test.serial('a hash thread that dies costs a second pass, not the blob', async (t) => {
  const { store } = await kit.openStore(t);
  const bytes = kit.content('thread', 12 * MiB);
  const torrent = await store.create(kit.metaInfoOf(bytes, 4 * MiB));
  await kit.fill(torrent, bytes);
  const threads = HashThreads.shared();
  t.teardown(() => threads.release());
  const lost = threads.blobs.follow('/nowhere');
  // No request at all: the handler throws and the thread ends.
  for (const thread of threads.threads) thread.post(null as never);
  await kit.throwsCode(t, 'io-error', lost.finish(1));
  await torrent.commit();
  kit.same(t, await kit.collect(torrent.stream({})), bytes);
});

test.serial('a long hash job does not hold up a short one', async (t) => {
  const root = await kit.temporaryDirectory(t);
  const [long, short] = [join(root, 'long'), join(root, 'short')];
  const handle = await open(long, 'w');
  await handle.truncate(256 * MiB);
  await handle.close();
  await writeFile(short, 'abc');
  const threads = HashThreads.shared(1);
  t.teardown(() => threads.release());
  const hasher = threads.blobs;
  const order: string[] = [];
  const jobs = [threads.pieces.sums(long, 256 * MiB, 4 * MiB).then(() => order.push('long'))];
  for (let i = 0; i < 3; i++)
    jobs.push(
      hasher
        .follow(short)
        .finish(3)
        .then(() => order.push('short')),
    );
  await Promise.all(jobs);
  t.deepEqual(order, ['short', 'short', 'short', 'long']);
  await kit.throwsCode(t, 'content-truncated', hasher.follow(short).finish(4));
  await kit.throwsCode(t, 'io-error', hasher.follow(join(root, 'absent')).finish(4));
  const cancelled = hasher.follow(short);
  const result = cancelled.finish(3);
  cancelled.cancel();
  await kit.throwsCode(t, 'cancelled', result);
});
