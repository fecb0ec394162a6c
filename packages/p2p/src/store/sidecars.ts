/**
 * The small files beside a blob: metainfo, piece status, last access, pin. Owns reading them leniently (what a
 * crash or another program left behind is "absent", never a failure) and replacing them atomically. Callers hold
 * the blob's lock while writing. Source: spec origin-store-backends.md §5.3.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  decodeLastAccessTime,
  decodePersist,
  encodeLastAccessTime,
  encodePersist,
  encodePieceStatus,
  parseMetaInfo,
  serializeMetaInfo,
  SIDECAR,
  type Bitfield,
  type Digest,
  type MetaInfo,
} from '@kraken/core/content';
import { errnoOf } from './disk-error.js';
import { replaceFile, unlinkIfThere } from './durable.js';

/** Names while being written. They contain no sidecar name: Kraken takes every file whose name contains one for that sidecar. */
const TEMPORARY = {
  [SIDECAR.torrentMeta]: '.new-m',
  [SIDECAR.status]: '.new-s',
  [SIDECAR.lastAccessTime]: '.new-a',
  [SIDECAR.persist]: '.new-p',
  [SIDECAR.pieceLayer]: '.new-l',
} as const;

/** Metainfo of `digest`; `undefined` when there is none that can be read and names this blob. */
export async function readMetaInfo(directory: string, digest: Digest): Promise<MetaInfo | undefined> {
  const bytes = await readIfThere(join(directory, SIDECAR.torrentMeta));
  if (bytes === undefined) return undefined;
  try {
    const metainfo = parseMetaInfo(bytes.toString('utf8'));
    return metainfo.digest === digest ? metainfo : undefined;
  } catch {
    // Torn by a crash or written by something else: it is regenerated or fetched again.
    return undefined;
  }
}

export function writeMetaInfo(directory: string, metainfo: MetaInfo): Promise<void> {
  return replace(directory, SIDECAR.torrentMeta, serializeMetaInfo(metainfo), false);
}

/** Raw bytes, one per piece; `undefined` when absent. */
export function readStatus(directory: string): Promise<Buffer | undefined> {
  return readIfThere(join(directory, SIDECAR.status));
}

export function writeStatus(directory: string, have: Bitfield): Promise<void> {
  return replace(directory, SIDECAR.status, encodePieceStatus(have), false);
}

export async function removeStatus(directory: string): Promise<void> {
  await unlinkIfThere(join(directory, SIDECAR.status));
}

export async function removeMetaInfo(directory: string): Promise<void> {
  await unlinkIfThere(join(directory, SIDECAR.torrentMeta));
}

/** Raw bytes, unchecked; `undefined` when absent or of another size. */
export async function readLayer(directory: string, length: number): Promise<Uint8Array | undefined> {
  const bytes = await readIfThere(join(directory, SIDECAR.pieceLayer));
  // A copy of its own: small files are read into a shared buffer, which would be sent to threads as a whole.
  return bytes?.length === length ? new Uint8Array(bytes) : undefined;
}

export function writeLayer(directory: string, layer: Uint8Array): Promise<void> {
  return replace(directory, SIDECAR.pieceLayer, layer, false);
}

export async function removeLayer(directory: string): Promise<void> {
  await unlinkIfThere(join(directory, SIDECAR.pieceLayer));
}

/** Milliseconds since 1970, whole seconds; `undefined` when absent or unreadable. */
export async function readLastAccess(directory: string): Promise<number | undefined> {
  const bytes = await readIfThere(join(directory, SIDECAR.lastAccessTime));
  const seconds = bytes === undefined ? undefined : decodeLastAccessTime(bytes);
  return seconds === undefined ? undefined : seconds * 1000;
}

export function writeLastAccess(directory: string, nowMs: number): Promise<void> {
  return replace(directory, SIDECAR.lastAccessTime, encodeLastAccessTime(Math.floor(nowMs / 1000)), false);
}

/** True also for a pin file that cannot be understood: deleting what should be kept is the worse mistake. */
export async function readPinned(directory: string): Promise<boolean> {
  const bytes = await readIfThere(join(directory, SIDECAR.persist));
  return bytes !== undefined && (decodePersist(bytes) ?? true);
}

/** On disk when it returns. Unpinning removes the file, as Kraken does after a write-back. */
export async function writePinned(directory: string, pinned: boolean): Promise<void> {
  if (pinned) await replace(directory, SIDECAR.persist, encodePersist(true), true);
  else await unlinkIfThere(join(directory, SIDECAR.persist));
}

function replace(
  directory: string,
  name: keyof typeof TEMPORARY,
  content: Uint8Array | string,
  durable: boolean,
): Promise<void> {
  return replaceFile(join(directory, name), TEMPORARY[name], content, durable);
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    throw error;
  }
}
