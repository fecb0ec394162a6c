/** Numbers of the protobuf schema of the peer wire. Source: spec p2p.md §2.2. */

/** Values of the envelope's `type`. */
export const MESSAGE_TYPE = {
  bitfield: 0,
  pieceRequest: 1,
  piecePayload: 2,
  announcePiece: 3,
  cancelPiece: 4,
  error: 5,
  complete: 6,
  /** Ours; only sent to peers that named the capability. */
  layerRequest: 14,
  layerHashes: 15,
} as const;

/** Field numbers of the envelope (Kraken: Message). */
export const ENVELOPE = {
  version: 1,
  type: 2,
  bitfield: 3,
  pieceRequest: 4,
  piecePayload: 5,
  announcePiece: 6,
  cancelPiece: 7,
  error: 8,
  complete: 9,
  /** Ours. At most 15, so that each tag is one byte. */
  layerRequest: 14,
  layerHashes: 15,
} as const;

/** Field numbers of BitfieldMessage. There is no field 1. */
export const BITFIELD = {
  infoHash: 2,
  name: 3,
  peerId: 4,
  bitfieldBytes: 5,
  namespace: 6,
  remoteBitfieldBytes: 7,
} as const;

/** Field numbers of the messages about piece layers. `length` counts hashes; `hashes` are 32 bytes each. */
export const LAYER = { first: 2, length: 4, hashes: 5 } as const;

/** Field numbers of an entry of a protobuf map. */
export const MAP_ENTRY = { key: 1, value: 2 } as const;

/** Field numbers of a piece request, a payload, an announce and a cancel. `digest` is in payloads only and never set. */
export const PIECE = { index: 2, offset: 3, length: 4, digest: 5 } as const;

/** Field numbers of ErrorMessage. */
export const ERROR = { error: 2, index: 3, code: 4 } as const;

/** How a field's value is written. */
export const WIRE_TYPE = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;
