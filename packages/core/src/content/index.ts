export { Bitfield } from './bitfield.js';
export { bitsetByteLength, checkBitset, decodeBitset, encodeBitset, writeBitset } from './bitset.js';
export { cleanPath, joinPath } from './clean-path.js';
export { crc32 } from './crc32.js';
export { detached } from './detached.js';
export { digestFromHex, digestHex, parseDigest, shardId, tryParseDigest, type Digest } from './digest.js';
export { parseGoBool } from './go-bool.js';
export {
  asInteger,
  asObject,
  getArray,
  getBoolean,
  getField,
  getInteger,
  getObject,
  getString,
  isArray,
} from './go-json-fields.js';
export { GoJsonNumber, GoJsonObject, goJsonString, JSON_DEPTH_MAX, parseGoJson, type GoJson } from './go-json.js';
export { idFromJson, idToJson, idToJsonText, infoHashFromJson, peerIdFromJson } from './id-json.js';
export { parseInfoHash, parsePeerId, tryParsePeerId, type InfoHash, type PeerId } from './ids.js';
export { parseMetaInfo, serializeMetaInfo } from './metainfo-json.js';
export {
  bencodeInfo,
  createMetaInfo,
  infoHashOf,
  PIECE_LENGTH_MAX,
  pieceCount,
  pieceLengthAt,
  pieceOffset,
  withRoot,
  type MetaInfo,
} from './metainfo.js';
export { pieceCountOf } from './piece-count.js';
export {
  canHaveRoot,
  HASH_BYTES,
  LAYER_PIECES_MAX,
  layerBytes,
  LEAF_BYTES,
  leavesPerPiece,
  parsePiecesRoot,
  pieceHash,
  rootOfLayer,
  type PiecesRoot,
  type Sha256Into,
} from './piece-layer.js';
export { createPather, type Pather } from './pather.js';
export {
  blobDirectory,
  DATA_FILE,
  decodeLastAccessTime,
  decodePersist,
  decodePieceStatus,
  encodeLastAccessTime,
  encodePersist,
  encodePieceStatus,
  isFlatName,
  MOVABLE_SIDECARS,
  SIDECAR,
} from './paths.js';
export { addrHashPeerId, parsePeerIdFactory, type PeerIdFactory } from './peer-id.js';
export { peerContextFromJson, peerContextToJson, peerInfoFromJson, peerInfoToJson } from './peer-json.js';
export type { PeerContext, PeerInfo } from './peer.js';
export { choosePieceLength, parseByteSize } from './piece-length.js';
export { readUtf8, utf8Length, writeUtf8 } from './utf8.js';
