export { Bitfield } from './bitfield.js';
export { bitsetByteLength, checkBitset, decodeBitset, encodeBitset, writeBitset } from './bitset.js';
export { digestFromHex, digestHex, parseDigest, shardId, tryParseDigest, type Digest } from './digest.js';
export { parseInfoHash, parsePeerId, tryParsePeerId, type InfoHash, type PeerId } from './ids.js';
export {
  bencodeInfo,
  createMetaInfo,
  infoHashOf,
  PIECE_LENGTH_MAX,
  pieceCount,
  pieceCountOf,
  pieceLengthAt,
  pieceOffset,
  type MetaInfo,
} from './metainfo.js';
export type { PeerContext, PeerInfo } from './peer.js';
export { readUtf8, utf8Length, writeUtf8 } from './utf8.js';
