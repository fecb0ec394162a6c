/**
 * Strong hashes of pieces: the SHA-256 Merkle tree of BitTorrent v2 over 16 KiB leaves, its layer at the piece length
 * and its root. Source: BEP 52, "pieces root" and "piece layers".
 *
 * Tree: a leaf is the hash of 16 KiB of the blob (the last one of what is left); missing leaves up to the next power of
 * two are 32 zero bytes. The hash of a piece is the node above its leaves. In a blob of several pieces the last piece is
 * padded to the height of the others; a blob of one piece is its own tree, so its layer is the root.
 *
 * Never reads content. The hash function is an argument: hosts have a native one.
 */
import { bytesToHex } from '@noble/hashes/utils.js';
import { KrakenError } from '../errors/index.js';
import { detached } from './detached.js';
import { pieceCountOf } from './piece-count.js';

declare const rootBrand: unique symbol;

/** Root of the tree over a blob, 64 lower-case hex characters. */
export type PiecesRoot = string & { readonly [rootBrand]: true };

/** Writes the SHA-256 of `message` into `target` at `at`. `target` may overlap `message`. */
export type Sha256Into = (message: Uint8Array, target: Uint8Array, at: number) => void;

/** Bytes under one leaf. */
export const LEAF_BYTES = 16 * 1024;
/** Bytes of one hash. */
export const HASH_BYTES = 32;
/** Most pieces of a blob with a layer: more do not fit a handshake either (spec p2p.md §2.6). 8 MiB of hashes. */
export const LAYER_PIECES_MAX = 2 ** 18;

const HEX64 = /^[0-9a-f]{64}$/i;

/**
 * Whether a blob can have a root: the tree is defined for piece lengths that are a power of two and hold a leaf, and
 * not for an empty blob.
 */
export function canHaveRoot(length: number, pieceLength: number): boolean {
  if (length < 1 || pieceLength < LEAF_BYTES) return false;
  return isPowerOfTwo(pieceLength) && pieceCountOf(length, pieceLength) <= LAYER_PIECES_MAX;
}

/** @throws KrakenError `metainfo-invalid` unless `text` is 64 hex characters */
export function parsePiecesRoot(text: string): PiecesRoot {
  if (!HEX64.test(text)) {
    throw new KrakenError('metainfo-invalid', `pieces root expected 64 hex characters, got ${text.length}`);
  }
  // Kept for as long as the metainfo is, whose text has a number for every piece.
  return detached(text.toLowerCase() as PiecesRoot);
}

/** Bytes of the layer of a blob. */
export function layerBytes(length: number, pieceLength: number): number {
  return HASH_BYTES * pieceCountOf(length, pieceLength);
}

/** Leaves under each hash of the layer, missing ones counted: a power of two. */
export function leavesPerPiece(length: number, pieceLength: number): number {
  if (length > pieceLength) return pieceLength / LEAF_BYTES;
  return nextPowerOfTwo(Math.ceil(length / LEAF_BYTES));
}

/**
 * The hash of a piece.
 * @param leaves hashes of its leaves that exist, one after the other; overwritten
 * @param width {@link leavesPerPiece} of the blob
 */
export function pieceHash(leaves: Uint8Array, width: number, hash: Sha256Into): Uint8Array {
  return merkleRoot(leaves, width, new Uint8Array(HASH_BYTES), hash);
}

/**
 * The root above a layer.
 * @param layer hashes of all pieces, one after the other
 * @throws KrakenError `layer-invalid` when it has not one hash per piece
 */
export function rootOfLayer(layer: Uint8Array, length: number, pieceLength: number, hash: Sha256Into): PiecesRoot {
  const expected = layerBytes(length, pieceLength);
  if (layer.length !== expected || !canHaveRoot(length, pieceLength)) {
    throw new KrakenError('layer-invalid', `piece layer expected ${expected} bytes, got ${layer.length}`);
  }
  // A piece beyond the end of the blob: a tree of missing leaves.
  const missing = new Uint8Array(HASH_BYTES);
  for (let width = leavesPerPiece(length, pieceLength); width > 1; width /= 2) hash(twice(missing), missing, 0);
  const width = nextPowerOfTwo(layer.length / HASH_BYTES);
  // A copy made by hand: `slice` of a Buffer would be a view.
  return bytesToHex(merkleRoot(new Uint8Array(layer), width, missing, hash)) as PiecesRoot;
}

/** Folds `nodes` (overwritten), padded with `missing` (overwritten) to `width` nodes, up to one node. */
function merkleRoot(nodes: Uint8Array, width: number, missing: Uint8Array, hash: Sha256Into): Uint8Array {
  let count = nodes.length / HASH_BYTES;
  for (let left = width; left > 1; left /= 2) {
    const pairs = count >>> 1;
    for (let parent = 0; parent < pairs; parent++) {
      const at = 2 * HASH_BYTES * parent;
      hash(nodes.subarray(at, at + 2 * HASH_BYTES), nodes, HASH_BYTES * parent);
    }
    if (2 * pairs < count) {
      const lone = twice(missing);
      lone.set(nodes.subarray(2 * HASH_BYTES * pairs, 2 * HASH_BYTES * pairs + HASH_BYTES));
      hash(lone, nodes, HASH_BYTES * pairs);
    }
    count -= pairs;
    if (left > 2) hash(twice(missing), missing, 0);
  }
  return new Uint8Array(nodes.subarray(0, HASH_BYTES));
}

function twice(node: Uint8Array): Uint8Array {
  const both = new Uint8Array(2 * HASH_BYTES);
  both.set(node);
  both.set(node, HASH_BYTES);
  return both;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && nextPowerOfTwo(value) === value;
}

function nextPowerOfTwo(value: number): number {
  let power = 1;
  while (power < value) power *= 2;
  return power;
}
