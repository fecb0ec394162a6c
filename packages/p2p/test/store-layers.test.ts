/** Roots and piece layers on disk: made by origins, checked by downloads, believed after a restart only when they fit. */
import { createHash } from 'node:crypto';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import test from 'ava';
import {
  Bitfield,
  createMetaInfo,
  digestFromHex,
  HASH_BYTES,
  LEAF_BYTES,
  withRoot,
  type MetaInfo,
} from '@kraken/core/content';
import { silentMetrics } from '@kraken/core/ports';
import type { TorrentFile } from '../dist/store/index.js';
import { HashThreads } from '../dist/store/hash-threads.js';
import { PieceLayers } from '../dist/store/piece-layers.js';
import type { ProofResult } from '../dist/store/piece-proof.js';
import {
  blobPath,
  collect,
  content,
  digestOf,
  exists,
  fill,
  mark,
  metaInfoOf,
  openStore,
  pieceOf,
  same,
  store,
  throwsCode,
  upload,
  writeAt,
} from './store-kit.js';

const PIECE = 4 * LEAF_BYTES;

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

const fold = (nodes: Buffer[]): Buffer => {
  let level = nodes;
  while (level.length > 1) {
    const next: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2) next.push(sha256(Buffer.concat(level.slice(i, i + 2))));
    level = next;
  }
  return level[0] as Buffer;
};

/** Root above the hashes of several pieces, without the code under test. */
function rootAbove(hashes: readonly Buffer[]): string {
  const padded = [...hashes];
  const missing = fold(Array.from({ length: 4 }, () => Buffer.alloc(32)));
  while (Math.log2(padded.length) % 1 !== 0) padded.push(missing);
  return fold(padded).toString('hex');
}

/** Layer and root of a blob of several pieces, without the code under test. */
function layerOf(bytes: Uint8Array): { layer: Buffer; root: string } {
  const hashes: Buffer[] = [];
  for (let start = 0; start < bytes.length; start += PIECE) {
    const leaves: Buffer[] = [];
    const piece = bytes.subarray(start, start + PIECE);
    for (let at = 0; at < piece.length; at += LEAF_BYTES) leaves.push(sha256(piece.subarray(at, at + LEAF_BYTES)));
    while (leaves.length < 4) leaves.push(Buffer.alloc(32));
    hashes.push(fold(leaves));
  }
  return { layer: Buffer.concat(hashes), root: rootAbove(hashes) };
}

const bytes = content('layers', 5 * PIECE + 20_000);
const { layer, root } = layerOf(bytes);
const bare = metaInfoOf(bytes, PIECE);
const metainfo = createMetaInfo({ ...bare, pieceSums: [...bare.pieceSums], piecesRoot: root });

function check(torrent: TorrentFile, piece: number): Promise<ProofResult> {
  return new Promise((resolve) => torrent.proof?.check(piece, resolve));
}

/** Store a piece as it comes from a peer: checked while it passes. */
async function passed(torrent: TorrentFile, piece: number): Promise<ProofResult | undefined> {
  const passing = torrent.follow?.(piece);
  await new Promise<void>((resolve) => passing?.add(pieceOf(bytes, metainfo, piece), resolve));
  await store(torrent, bytes, piece);
  return passing?.result();
}

/** Bytes that are not those of the piece. */
function forged(piece: number): Uint8Array {
  const wrong = new Uint8Array(pieceOf(bytes, metainfo, piece));
  wrong[wrong.length - 1] = (wrong[wrong.length - 1] as number) ^ 1;
  return wrong;
}

test('the root above a layer is the same from the loop and from the thread, which takes the large ones', async (t) => {
  const threads = HashThreads.shared();
  t.teardown(() => threads.release());
  const hasher = threads.pieces;
  for (const pieces of [2, 128, 129, 1000]) {
    const hashes = Array.from({ length: pieces }, (_, piece) => sha256(Buffer.from(`${piece}`)));
    const whole = Buffer.concat(hashes);
    const length = (pieces - 1) * PIECE + 1;
    t.is(await hasher.root(whole, length, PIECE), rootAbove(hashes), `${pieces} pieces`);
    t.deepEqual(whole, Buffer.concat(hashes), 'the layer is left as it was');
    t.is(await hasher.root(whole, length + PIECE, PIECE), '', 'one hash too few');
    t.is(await hasher.root(whole, pieces * 3 * PIECE, 3 * PIECE), '', 'there is no such tree');
  }
});

test('metainfo is made with its root in one pass, the layer beside it, and kept over a restart', async (t) => {
  const harness = await openStore(t);
  await upload(harness.store, bytes);
  const made = await harness.store.generateMetaInfo(metainfo.digest, PIECE);
  t.deepEqual(made, metainfo);
  same(t, await readFile(blobPath(harness.root, 'cache', metainfo.digest, '_piecelayer')), layer);
  same(t, (await harness.store.pieceLayer(metainfo.digest)) as Uint8Array, layer);
  const again = await harness.reopen();
  t.deepEqual(await again.metaInfo(metainfo.digest), metainfo);
  same(t, (await again.pieceLayer(metainfo.digest)) as Uint8Array, layer);
});

test('blobs without a tree, and stores that are told so, get no root', async (t) => {
  const { store: disk } = await openStore(t);
  await upload(disk, bytes);
  const odd = await disk.generateMetaInfo(metainfo.digest, 50_000);
  t.is(odd.piecesRoot, undefined);
  t.is(await disk.pieceLayer(metainfo.digest), undefined);
  const empty = new Uint8Array(0);
  await upload(disk, empty);
  t.is((await disk.generateMetaInfo(digestOf(empty), PIECE)).piecesRoot, undefined);
  const { store: without } = await openStore(t, { pieceLayer: false });
  await upload(without, bytes);
  t.deepEqual(await without.generateMetaInfo(metainfo.digest, PIECE), bare);
  // One piece: the layer is the root and needs no file.
  const small = bytes.subarray(0, 20_000);
  await upload(disk, small);
  const one = await disk.generateMetaInfo(digestOf(small), PIECE);
  t.is(Buffer.from((await disk.pieceLayer(one.digest)) as Uint8Array).toString('hex'), one.piecesRoot as string);
});

test('a layer on disk that does not fit the root is not handed out', async (t) => {
  const harness = await openStore(t);
  await upload(harness.store, bytes);
  await harness.store.generateMetaInfo(metainfo.digest, PIECE);
  const path = blobPath(harness.root, 'cache', metainfo.digest, '_piecelayer');
  const torn = Buffer.from(layer);
  torn[40] = (torn[40] as number) ^ 1;
  for (const bad of [torn, layer.subarray(0, 60), Buffer.alloc(0)]) {
    await writeFile(path, bad);
    t.is(await (await harness.reopen()).pieceLayer(metainfo.digest), undefined);
  }
  await rm(path);
  t.is(await (await harness.reopen()).pieceLayer(metainfo.digest), undefined);
});

test('a download waits for its layer, takes only the right one, and then tells forged pieces from good ones', async (t) => {
  const { store: disk } = await openStore(t);
  const torrent = await disk.create(metainfo);
  const proof = torrent.proof;
  t.true(proof?.isWaiting);
  const wrong = Buffer.from(layer);
  wrong[3 * HASH_BYTES] = (wrong[3 * HASH_BYTES] as number) ^ 1;
  await throwsCode(t, 'layer-invalid', proof?.accept(wrong) ?? Promise.resolve());
  await throwsCode(t, 'layer-invalid', proof?.accept(layer.subarray(32)) ?? Promise.resolve());
  t.true(proof?.isWaiting);
  await proof?.accept(layer);
  t.false(proof?.isWaiting);

  await writeAt(torrent, forged(2), 2 * PIECE);
  t.is((await check(torrent, 2)).error?.code, 'piece-forged');
  await writeAt(torrent, pieceOf(bytes, metainfo, 2), 2 * PIECE);
  t.deepEqual(await check(torrent, 2), {});
  // The last piece is shorter than the others.
  await writeAt(torrent, forged(5), 5 * PIECE);
  t.is((await check(torrent, 5)).error?.code, 'piece-forged');
  await writeAt(torrent, pieceOf(bytes, metainfo, 5), 5 * PIECE);
  t.deepEqual(await check(torrent, 5), {});
  await fill(torrent, bytes);
  await torrent.commit();
  t.is(torrent.proof, undefined);
  same(t, (await torrent.layer?.()) as Uint8Array, layer);
  same(t, (await disk.pieceLayer(metainfo.digest)) as Uint8Array, layer);
  torrent.release();
});

test('a layer that is kept keeps no more than itself, and goes with its blob', async (t) => {
  const harness = await openStore(t);
  const { store: disk } = harness;
  const torrent = await disk.create(metainfo);
  // As bodies of responses come: in a slab of Node's.
  const shared = Buffer.from(layer);
  t.true(shared.buffer.byteLength > shared.length);
  await torrent.proof?.accept(shared);
  await fill(torrent, bytes);
  await torrent.commit();
  torrent.release();
  const kept = (await disk.pieceLayer(metainfo.digest)) as Uint8Array;
  same(t, kept, layer);
  t.is(kept.buffer.byteLength, layer.length);

  t.true(await disk.delete(metainfo.digest));
  await upload(disk, bytes);
  await disk.setMetaInfo(metainfo);
  t.is(await disk.pieceLayer(metainfo.digest), undefined, 'the new file has no layer beside it');
});

test('small layers are counted with what they take beside their bytes', (t) => {
  const hashThreads = HashThreads.shared();
  t.teardown(() => hashThreads.release());
  const layers = new PieceLayers(hashThreads.pieces, silentMetrics);
  const small = (n: number): MetaInfo => ({ ...metainfo, digest: digestFromHex(n.toString(16).padStart(64, '0')) });
  for (let n = 0; n < 50_000; n++) layers.remember(small(n), new Uint8Array(2 * HASH_BYTES));
  t.true(layers.size > 10_000 && layers.size < 25_000, `${layers.size} layers in 16 MiB`);
  layers.remember(metainfo, new Uint8Array(15 * 1024 * 1024));
  t.true(layers.size < 2000, `${layers.size} layers beside a large one`);
  layers.forget(metainfo.digest);
  const before = layers.size;
  for (let n = 0; n < 1000; n++) layers.remember(small(n), new Uint8Array(2 * HASH_BYTES));
  t.is(layers.size, before + 1000, 'what was forgotten is not counted any more');
});

test('after a restart a piece counts when its hash matches, not when its CRC or its status byte says so', async (t) => {
  const harness = await openStore(t);
  const torrent = await harness.store.create(metainfo);
  await torrent.proof?.accept(layer);
  for (const piece of [0, 2, 5]) await store(torrent, bytes, piece);
  // Marked, but the bytes are others; a right CRC would not help.
  await writeAt(torrent, forged(3), 3 * PIECE);
  await mark(torrent, 3);
  torrent.release();
  const again = await (await harness.reopen()).create(metainfo);
  t.deepEqual([...again.have], [0, 2, 5]);
  t.false(again.proof?.isWaiting);
  again.release();

  // Without the layer nothing can be shown.
  await rm(blobPath(harness.root, 'download', metainfo.digest, '_piecelayer'));
  const blind = await (await harness.reopen()).create(metainfo);
  t.deepEqual([...blind.have], []);
  t.true(blind.proof?.isWaiting);
  blind.release();
});

test('roots of one download: a known one stays, a new one is taken up, another one starts over', async (t) => {
  const harness = await openStore(t);
  const first = await harness.store.create(metainfo);
  await first.proof?.accept(layer);
  await store(first, bytes, 1);
  first.release();
  // A tracker that knows no roots.
  const stripped = await harness.store.create(bare);
  t.is(stripped.metainfo.piecesRoot, metainfo.piecesRoot);
  t.deepEqual([...stripped.have], [1]);
  stripped.release();
  const other: MetaInfo = createMetaInfo({ ...bare, pieceSums: [...bare.pieceSums], piecesRoot: '77'.repeat(32) });
  const over = await harness.store.create(other);
  t.is(over.metainfo.piecesRoot, other.piecesRoot);
  t.deepEqual([...over.have], []);
  t.true(over.proof?.isWaiting);
  over.release();

  const plain = await openStore(t);
  const begun = await plain.store.create(bare);
  await store(begun, bytes, 1);
  begun.release();
  const rooted = await plain.store.create(metainfo);
  t.is(rooted.metainfo.piecesRoot, metainfo.piecesRoot);
  t.deepEqual([...rooted.have], [], 'a CRC shows nothing once there is a root');
  rooted.release();
});

test('pieces that were released in this process are not read again', async (t) => {
  const { store: disk, root: directory } = await openStore(t);
  const torrent = await disk.create(bare);
  await store(torrent, bytes, 4);
  torrent.release();
  await writeFile(blobPath(directory, 'download', bare.digest, '_status'), Buffer.alloc(6));
  const again = await disk.lookup(bare.digest);
  t.deepEqual([...(again?.have ?? [])], [4]);
  again?.release();
});

test('a root whose pieces do not make the blob is told from a mismatch without a root', async (t) => {
  const { store: disk, root: directory } = await openStore(t);
  const digest = digestOf(Buffer.from('another blob'));
  const sums = [...bare.pieceSums];
  const lying = createMetaInfo({ ...bare, digest, pieceSums: sums, piecesRoot: root });
  const torrent = await disk.create(lying);
  await torrent.proof?.accept(layer);
  await fill(torrent, bytes);
  await throwsCode(t, 'root-mismatch', torrent.commit());
  t.false(await exists(blobPath(directory, 'download', digest)));
  torrent.release();
  const rootless = await disk.create(withRoot(lying, undefined));
  await fill(rootless, bytes);
  await throwsCode(t, 'digest-mismatch', rootless.commit());
  rootless.release();
});

test('a blob whose pieces were checked as they passed is committed, unless its file got shorter', async (t) => {
  const { store: disk, root: directory } = await openStore(t);
  const download = async (): Promise<TorrentFile> => {
    const torrent = await disk.create(metainfo);
    await torrent.proof?.accept(layer);
    for (let piece = 0; piece < 6; piece++) t.deepEqual(await passed(torrent, piece), {});
    return torrent;
  };
  const shortened = await download();
  await truncate(blobPath(directory, 'download', metainfo.digest), 4 * PIECE);
  await throwsCode(t, 'content-truncated', shortened.commit());
  t.false(await exists(blobPath(directory, 'download', metainfo.digest)));
  shortened.release();
  const torrent = await download();
  await torrent.commit();
  same(t, await collect(torrent.stream({})), bytes);
  torrent.release();
});

test('doubted pieces are forgotten after a mismatch, and what replaces them is compared', async (t) => {
  const { store: disk, root: directory } = await openStore(t);
  const torrent = await disk.create(bare);
  await fill(torrent, bytes);
  // A download whose piece 1 was forged.
  torrent.release();
  const fresh = await disk.remove(bare.digest).then(() => disk.create(bare));
  for (const piece of [0, 2, 3, 4, 5]) await store(fresh, bytes, piece);
  await writeAt(fresh, forged(1), PIECE);
  await mark(fresh, 1);
  const reader = t.throwsAsync(collect(fresh.stream({})));
  await throwsCode(t, 'digest-mismatch', fresh.commit(Bitfield.of(6, [1, 4])));
  await reader;
  t.deepEqual([...fresh.have], [0, 2, 3, 5]);
  t.deepEqual([...(await readFile(blobPath(directory, 'download', bare.digest, '_status')))], [1, 0, 1, 1, 0, 1]);
  t.true(fresh.proof?.has(1));
  t.false(fresh.proof?.has(0));
  for (const piece of [1, 4]) {
    await writeAt(fresh, pieceOf(bytes, bare, piece), piece * PIECE);
    t.deepEqual(await check(fresh, piece), { replaced: piece === 1 ? 'different' : 'same' });
    await mark(fresh, piece);
  }
  await fresh.commit();
  t.true(fresh.committed);
  same(t, await collect(fresh.stream({})), bytes);
  fresh.release();
});
