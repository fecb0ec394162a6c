/**
 * What a torrent is: length, piece length and one CRC-32 per piece of one blob. Source: spec p2p.md §1.6.
 * Values are immutable and always consistent: construction checks the number of sums.
 */
import { sha1 } from '@noble/hashes/legacy.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { KrakenError } from '../errors/index.js';
import { digestHex, type Digest } from './digest.js';
import type { InfoHash } from './ids.js';
import { pieceCountOf } from './piece-count.js';
import { canHaveRoot, parsePiecesRoot, type PiecesRoot } from './piece-layer.js';

/** Metainfo of one blob; make one with {@link createMetaInfo} or `parseMetaInfo`. */
export interface MetaInfo {
  readonly digest: Digest;
  readonly infoHash: InfoHash;
  /** Bytes of the blob. */
  readonly length: number;
  /** Bytes of every piece but the last. */
  readonly pieceLength: number;
  /** CRC-32 (IEEE) of each piece. */
  readonly pieceSums: Uint32Array;
  /** Root of the tree of strong piece hashes. Absent: pieces are checked by CRC-32 only. Not part of the info hash. */
  readonly piecesRoot?: PiecesRoot;
}

/** Largest piece length: lengths travel as int32. */
export const PIECE_LENGTH_MAX = 2 ** 31 - 1;

/**
 * @throws KrakenError `metainfo-invalid` when lengths are not sensible or the number of sums does not fit
 */
export function createMetaInfo(input: {
  digest: Digest;
  length: number;
  pieceLength: number;
  pieceSums: ArrayLike<number>;
  piecesRoot?: string;
}): MetaInfo {
  const { digest, length, pieceLength } = input;
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new KrakenError('metainfo-invalid', `blob length expected integer ≥ 0, got ${length}`);
  }
  if (!Number.isSafeInteger(pieceLength) || pieceLength <= 0 || pieceLength > PIECE_LENGTH_MAX) {
    throw new KrakenError('metainfo-invalid', 'piece length must be positive');
  }
  const count = pieceCountOf(length, pieceLength);
  if (input.pieceSums.length !== count) {
    throw new KrakenError('metainfo-invalid', `expected ${count} piece sums, got ${input.pieceSums.length}`);
  }
  const pieceSums = Uint32Array.from(input.pieceSums);
  const infoHash = infoHashOf(digest, length, pieceLength, pieceSums);
  const metainfo = { digest, length, pieceLength, pieceSums, infoHash };
  if (input.piecesRoot === undefined) return metainfo;
  if (!canHaveRoot(length, pieceLength)) {
    throw new KrakenError('metainfo-invalid', `no tree is defined over ${length} bytes in pieces of ${pieceLength}`);
  }
  return { ...metainfo, piecesRoot: parsePiecesRoot(input.piecesRoot) };
}

/** The same metainfo with another root, or without one. */
export function withRoot(metainfo: MetaInfo, piecesRoot: PiecesRoot | undefined): MetaInfo {
  const { digest, length, pieceLength, pieceSums, infoHash } = metainfo;
  const bare = { digest, length, pieceLength, pieceSums, infoHash };
  return piecesRoot === undefined ? bare : { ...bare, piecesRoot };
}

/** Number of pieces. */
export function pieceCount(metainfo: MetaInfo): number {
  return metainfo.pieceSums.length;
}

/** Bytes of piece `index`; 0 out of range. */
export function pieceLengthAt(metainfo: MetaInfo, index: number): number {
  const count = metainfo.pieceSums.length;
  if (index < 0 || index >= count) return 0;
  return index === count - 1 ? metainfo.length - metainfo.pieceLength * (count - 1) : metainfo.pieceLength;
}

/** Byte offset of piece `index`. */
export function pieceOffset(metainfo: MetaInfo, index: number): number {
  return metainfo.pieceLength * index;
}

/** The bencoded info dictionary whose SHA-1 is the info hash. */
export function bencodeInfo(
  digest: Digest,
  length: number | bigint,
  pieceLength: number | bigint,
  pieceSums: ArrayLike<number>,
): string {
  const sums: string[] = [];
  for (let i = 0; i < pieceSums.length; i++) sums.push(`i${pieceSums[i]}e`);
  const name = digestHex(digest);
  return `d6:Lengthi${length}e4:Name${name.length}:${name}11:PieceLengthi${pieceLength}e9:PieceSumsl${sums.join('')}ee`;
}

/** SHA-1 of {@link bencodeInfo}, as an info hash. */
export function infoHashOf(
  digest: Digest,
  length: number | bigint,
  pieceLength: number | bigint,
  pieceSums: ArrayLike<number>,
): InfoHash {
  return bytesToHex(sha1(utf8ToBytes(bencodeInfo(digest, length, pieceLength, pieceSums)))) as InfoHash;
}
