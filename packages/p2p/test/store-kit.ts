/** What the store tests share: temporary stores, content, and filling torrents. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { crc32 } from 'node:zlib';
import type { ExecutionContext } from 'ava';
import {
  createMetaInfo,
  digestFromHex,
  digestHex,
  pieceCount,
  pieceLengthAt,
  type Digest,
  type MetaInfo,
} from '@kraken/core/content';
import { isKrakenError, type ErrorCode } from '@kraken/core/errors';
import { DiskStore, type DiskStoreOptions, type TorrentFile } from '../dist/store/index.js';

export interface Harness {
  readonly root: string;
  readonly store: DiskStore;
  /** Close and open again, as a restart does. */
  reopen(options?: Partial<DiskStoreOptions>): Promise<DiskStore>;
}

/** A directory that the test's end removes. */
export async function temporaryDirectory(t: ExecutionContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'kraken-store-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  return root;
}

export function storeOptions(root: string): DiskStoreOptions {
  return {
    cacheDir: join(root, 'cache'),
    downloadDir: join(root, 'download'),
    uploadDir: join(root, 'upload'),
    cleanup: { intervalMs: 0 },
  };
}

export async function openStore(
  t: ExecutionContext,
  options: Partial<DiskStoreOptions> = {},
  root?: string,
): Promise<Harness> {
  const directory = root ?? (await temporaryDirectory(t));
  let store = await DiskStore.open({ ...storeOptions(directory), ...options });
  t.teardown(() => store.close());
  return {
    root: directory,
    get store() {
      return store;
    },
    reopen: async (more = {}) => {
      await store.close();
      store = await DiskStore.open({ ...storeOptions(directory), ...options, ...more });
      return store;
    },
  };
}

/** Pseudo-random bytes, the same for the same seed: SHA-256 of `seed:0`, `seed:1`, … as in the vectors; from 64 KiB on a faster kind. */
export function content(seed: string, length: number): Buffer {
  if (length >= 65_536) return createHash('shake256', { outputLength: length }).update(seed).digest();
  const blocks: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) blocks.push(createHash('sha256').update(`${seed}:${i}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

export function digestOf(bytes: Uint8Array): Digest {
  return digestFromHex(createHash('sha256').update(bytes).digest('hex'));
}

export function metaInfoOf(bytes: Uint8Array, pieceLength: number, digest = digestOf(bytes)): MetaInfo {
  const pieceSums: number[] = [];
  for (let at = 0; at < bytes.length; at += pieceLength) pieceSums.push(crc32(bytes.subarray(at, at + pieceLength)));
  return createMetaInfo({ digest, length: bytes.length, pieceLength, pieceSums });
}

export function pieceOf(bytes: Uint8Array, metainfo: MetaInfo, piece: number): Uint8Array {
  const start = piece * metainfo.pieceLength;
  return bytes.subarray(start, start + pieceLengthAt(metainfo, piece));
}

export function writeAt(torrent: TorrentFile, bytes: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    torrent.write(bytes, bytes.length, position, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

export function mark(torrent: TorrentFile, piece: number): Promise<void> {
  return new Promise((resolve, reject) => {
    torrent.markVerified(piece, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Write a piece and mark it verified. */
export async function store(torrent: TorrentFile, bytes: Uint8Array, piece: number): Promise<void> {
  await writeAt(torrent, pieceOf(bytes, torrent.metainfo, piece), piece * torrent.metainfo.pieceLength);
  await mark(torrent, piece);
}

export async function fill(torrent: TorrentFile, bytes: Uint8Array): Promise<void> {
  for (let piece = 0; piece < pieceCount(torrent.metainfo); piece++) await store(torrent, bytes, piece);
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Equal bytes; ava's own comparison takes seconds for megabytes. */
export function same(t: ExecutionContext, got: Uint8Array, expected: Uint8Array, message?: string): void {
  t.true(
    Buffer.compare(got, expected) === 0,
    `${message ?? 'bytes'}: ${got.length} bytes differ from the ${expected.length} expected`,
  );
}

/** Put `bytes` into the store as a committed blob. */
export async function upload(
  target: DiskStore,
  bytes: Uint8Array,
  digest = digestOf(bytes),
): Promise<{ length: number; existed: boolean }> {
  const id = await target.uploads.create();
  await target.uploads.write(id, 0, chunks(bytes, 1000_000), bytes.length);
  return target.uploads.commit(id, digest);
}

/** `bytes` in chunks, each in a later microtask. */
export async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

/** Fails the test unless `work` throws a KrakenError with `code`. */
export async function throwsCode(
  t: ExecutionContext,
  code: ErrorCode,
  work: Promise<unknown>,
  message?: string,
): Promise<void> {
  const error = await t.throwsAsync(work, undefined, message);
  t.true(isKrakenError(error, code), `${message ?? ''} expected ${code}, got ${String(error)}`);
}

export function blobPath(root: string, state: 'cache' | 'download', digest: Digest, file = 'data'): string {
  const hex = digestHex(digest);
  return join(root, state, hex.slice(0, 2), hex.slice(2, 4), hex, file);
}

/** All regular files below `root`, by path relative to it. */
export async function listing(root: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  if (!existsSync(root)) return files;
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(root, path), await readFile(path));
  }
  return files;
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Resolves in a later turn of the event loop, after callbacks that are due. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Polls; for states that are reached without a promise to wait for. */
export async function until(reached: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (await reached()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('the state was not reached');
}
