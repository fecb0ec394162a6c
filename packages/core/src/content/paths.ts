/**
 * Kraken's layout on disk as names and small codecs, so that a node can be upgraded in place. Never touches a disk.
 * Source: spec p2p.md §6.2, origin-store-backends.md §5.1, §5.3.
 */
import { utf8ToBytes } from '@noble/hashes/utils.js';
import { KrakenError } from '../errors/index.js';
import { Bitfield } from './bitfield.js';
import { cleanPath } from './clean-path.js';
import { parseGoBool } from './go-bool.js';
import { readUtf8 } from './utf8.js';

/** The file with the content, in the directory of each blob or upload. */
export const DATA_FILE = 'data';

/** Files beside the data. */
export const SIDECAR = {
  /** Metainfo JSON. */
  torrentMeta: '_torrentmeta',
  /** One byte per piece. */
  status: '_status',
  lastAccessTime: '_last_access_time',
  /** `true` blocks deletion. */
  persist: '_persist',
  /** Strong hashes of the pieces, 32 bytes each; ours: Kraken takes no notice of the name. */
  pieceLayer: '_piecelayer',
  /** When an upload started; RFC 3339. Does not follow the data into the cache. */
  startedAt: '_startedat',
} as const;

/** Sidecars that follow the data when it moves from one state directory to another. */
export const MOVABLE_SIDECARS: readonly string[] = [
  SIDECAR.torrentMeta,
  SIDECAR.status,
  SIDECAR.lastAccessTime,
  SIDECAR.persist,
  SIDECAR.pieceLayer,
];

const LAST_ACCESS_BYTES = 8;
const NAME_HEX = /^[0-9a-f]{64}$/;

/**
 * Directory of a blob below a content-addressed state directory: `ab/cd/<hex>`.
 * @param hex 64 lower-case hex characters
 * @throws KrakenError `digest-invalid` for anything else: the name becomes a path
 */
export function blobDirectory(hex: string): string {
  if (!NAME_HEX.test(hex)) {
    throw new KrakenError(
      'digest-invalid',
      `blob name expected 64 lower-case hex characters, got ${JSON.stringify(hex.slice(0, 80))}`,
    );
  }
  return `${hex.slice(0, 2)}/${hex.slice(2, 4)}/${hex}`;
}

/** Whether `name` may be a directory of a flat store: a clean relative path that stays below the store. */
export function isFlatName(name: string): boolean {
  if (name === '' || name === '.' || name === '..' || name.includes('\0')) return false;
  return !name.startsWith('/') && !name.startsWith('../') && cleanPath(name) === name;
}

/**
 * The eight bytes of `_last_access_time`: a zig-zag varint, zero padded.
 * @param unixSeconds whole seconds
 * @throws RangeError for a time that does not fit (some 570 million years from 1970)
 */
export function encodeLastAccessTime(unixSeconds: number): Uint8Array {
  const bytes = new Uint8Array(LAST_ACCESS_BYTES);
  if (!Number.isSafeInteger(unixSeconds)) throw new RangeError(`unix time expected whole seconds, got ${unixSeconds}`);
  let rest = BigInt(unixSeconds) * 2n;
  if (rest < 0n) rest = -rest - 1n;
  for (let at = 0; ; at++) {
    const bits = Number(rest & 0x7fn);
    rest >>= 7n;
    if (rest === 0n) {
      bytes[at] = bits;
      return bytes;
    }
    bytes[at] = 0x80 | bits;
  }
}

/** Unix seconds of `_last_access_time`; `undefined` when the bytes hold no varint. Bytes behind it are ignored. */
export function decodeLastAccessTime(bytes: Uint8Array): number | undefined {
  let value = 0n;
  for (let at = 0; at < bytes.length && at < 10; at++) {
    const byte = bytes[at] as number;
    if (at === 9 && byte > 1) return undefined;
    value |= BigInt(byte & 0x7f) << BigInt(7 * at);
    if (byte < 0x80) return Number((value & 1n) === 0n ? value >> 1n : -(value >> 1n) - 1n);
  }
  return undefined;
}

/** The content of `_persist`. */
export function encodePersist(persist: boolean): Uint8Array {
  return utf8ToBytes(persist ? 'true' : 'false');
}

/** `undefined` when the content is not one of Go's spellings of a boolean. */
export function decodePersist(bytes: Uint8Array): boolean | undefined {
  const text = readUtf8(bytes, 0, bytes.length);
  return text === undefined ? undefined : parseGoBool(text);
}

/** The content of `_status`: one byte per piece, 1 = complete. */
export function encodePieceStatus(pieces: Bitfield): Uint8Array {
  const bytes = new Uint8Array(pieces.length);
  for (const piece of pieces) bytes[piece] = 1;
  return bytes;
}

/** The complete pieces by `_status`; unknown bytes count as empty. The caller checks the length against the metainfo. */
export function decodePieceStatus(bytes: Uint8Array): Bitfield {
  const pieces = new Bitfield(bytes.length);
  bytes.forEach((status, piece) => {
    if (status === 1) pieces.set(piece);
  });
  return pieces;
}
