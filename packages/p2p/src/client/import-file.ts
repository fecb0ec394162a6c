/** A file of the local disk into a store, with its metainfo. Reads it once; never keeps it in memory. */
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { digestFromHex, type MetaInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { BlobStore, CancelSignal } from '@kraken/core/ports';

/** Kraken's shipped origins: 4 MiB. */
const PIECE_LENGTH_BYTES = 4 * 1024 * 1024;
const READ_BYTES = 256 * 1024;

/** How a file is taken in. */
export interface ImportFileOptions {
  /** Part of the blob's identity in the swarm: all who seed it must agree. Default 4 MiB, as Kraken ships. */
  readonly pieceLengthBytes?: number;
  /** Gives up; nothing is left in the store. */
  readonly signal?: CancelSignal;
}

/**
 * Copy a file into a store as a committed blob. A blob that is there already stays, with its metainfo.
 * @returns its metainfo, which has the digest and the length
 * @throws KrakenError `io-error` when the file cannot be read, `disk-full`, `too-many-uploads`, `cancelled`
 */
export async function importFile(
  store: Pick<BlobStore, 'uploads' | 'metaInfo' | 'generateMetaInfo'>,
  path: string,
  options: ImportFileOptions = {},
): Promise<MetaInfo> {
  const file = await readable(path);
  const { size } = await file.stat();
  const hash = createHash('sha256');
  const id = await store.uploads.create();
  try {
    await store.uploads.write(id, 0, hashed(file, path, hash, options.signal), size);
  } catch (error) {
    await store.uploads.abort(id);
    throw error;
  } finally {
    await file.close();
  }
  const digest = digestFromHex(hash.digest('hex'));
  await store.uploads.commit(id, digest);
  const known = await store.metaInfo(digest);
  return known ?? (await store.generateMetaInfo(digest, options.pieceLengthBytes ?? PIECE_LENGTH_BYTES));
}

async function readable(path: string): Promise<FileHandle> {
  try {
    return await open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** The bytes of the file, noted in `hash` as they pass. One buffer for all: the store is done with a chunk when it asks for the next. */
async function* hashed(
  file: FileHandle,
  path: string,
  hash: { update(chunk: Uint8Array): unknown },
  signal: CancelSignal | undefined,
): AsyncGenerator<Uint8Array, undefined, undefined> {
  const buffer = new Uint8Array(READ_BYTES);
  for (;;) {
    if (signal?.aborted === true) throw new KrakenError('cancelled', undefined, { cause: signal.reason });
    const bytes = await readInto(buffer, file, path);
    if (bytes === 0) return undefined;
    const chunk = buffer.subarray(0, bytes);
    hash.update(chunk);
    yield chunk;
  }
}

async function readInto(buffer: Uint8Array, file: FileHandle, path: string): Promise<number> {
  try {
    return (await file.read(buffer)).bytesRead;
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): KrakenError {
  return new KrakenError('io-error', `reading ${path}: ${(error as Error).message}`, { cause: error });
}
