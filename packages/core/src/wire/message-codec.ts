/**
 * Everything after the handshake between values and frames. Source: spec p2p.md §2.2, §2.3, §2.10.
 *
 * Decoding refuses what would end a Go process (a missing submessage, a negative number) with
 * `frame-malformed`; encoding cannot produce it.
 */
import { KrakenError } from '../errors/index.js';
import { readBitfieldMessage } from './bitfield-message.js';
import { HASH_BYTES } from '../content/index.js';
import type { LayerMessage, PayloadHeader, PeerMessage } from './messages.js';
import { ProtoReader } from './proto-reader.js';
import { FrameWriter, int32FieldLength, lengthDelimitedLength, stringFieldLength } from './proto-writer.js';
import { ENVELOPE, ERROR, LAYER, MESSAGE_TYPE, PIECE, WIRE_TYPE } from './schema.js';

const EMPTY = new Uint8Array(0);

/**
 * The whole frame of `message`.
 * @throws TypeError for `ignored`, which is not a message
 * @throws RangeError for a number outside 0..2^31-1
 * @throws KrakenError `frame-too-large` (an error text of more than 32 KiB)
 */
export function encodeMessage(message: PeerMessage): Uint8Array {
  switch (message.type) {
    case 'piece-request':
      return encodePiece(
        MESSAGE_TYPE.pieceRequest,
        ENVELOPE.pieceRequest,
        message.piece,
        message.offset,
        message.length,
      );
    case 'announce-piece':
      return encodePiece(MESSAGE_TYPE.announcePiece, ENVELOPE.announcePiece, message.piece, 0, 0);
    case 'cancel-piece':
      return encodePiece(MESSAGE_TYPE.cancelPiece, ENVELOPE.cancelPiece, message.piece, 0, 0);
    case 'complete': {
      const frame = new FrameWriter(int32FieldLength(MESSAGE_TYPE.complete));
      frame.int32Field(ENVELOPE.type, MESSAGE_TYPE.complete);
      return frame.bytes;
    }
    case 'error':
      return encodeError(message.piece, message.code, message.text);
    case 'ignored':
      throw new TypeError('an ignored message cannot be sent');
  }
}

/**
 * The whole frame of a payload header. `length` raw bytes must follow it.
 * @throws RangeError for a number outside 0..2^31-1
 */
export function encodePayloadHeader(header: { readonly piece: number; readonly length: number }): Uint8Array {
  return encodePiece(MESSAGE_TYPE.piecePayload, ENVELOPE.piecePayload, header.piece, 0, header.length);
}

/**
 * The whole frame of a message about a piece layer. Only for peers that named the capability.
 * @throws RangeError for a number outside 0..2^31-1
 * @throws KrakenError `frame-too-large`
 */
export function encodeLayerMessage(message: LayerMessage): Uint8Array {
  if (message.type === 'layer-request') {
    return encodePiece(MESSAGE_TYPE.layerRequest, ENVELOPE.layerRequest, message.first, 0, message.count);
  }
  const { first, hashes } = message;
  const hashesLength = hashes.length === 0 ? 0 : lengthDelimitedLength(hashes.length);
  const inner = int32FieldLength(first) + hashesLength;
  const frame = new FrameWriter(int32FieldLength(MESSAGE_TYPE.layerHashes) + lengthDelimitedLength(inner));
  frame.int32Field(ENVELOPE.type, MESSAGE_TYPE.layerHashes);
  frame.lengthDelimited(ENVELOPE.layerHashes, inner);
  frame.int32Field(LAYER.first, first);
  if (hashes.length > 0) {
    frame.lengthDelimited(LAYER.hashes, hashes.length);
    frame.raw((target, at) => {
      target.set(hashes, at);
      return at + hashes.length;
    });
  }
  return frame.bytes;
}

/**
 * Reads a body that came after the handshake. Byte values are views of it.
 * @throws KrakenError `frame-malformed`
 */
export function decodeMessage(body: Uint8Array): PeerMessage | PayloadHeader | LayerMessage {
  const reader = new ProtoReader(body);
  let type = 0;
  /** The submessages that came, by field number; fields of a repeated one are merged. */
  let submessages: (Submessage | undefined)[] | undefined;
  while (reader.nextField(body.length)) {
    const { field, wireType } = reader;
    if (field === ENVELOPE.type && wireType === WIRE_TYPE.varint) {
      type = reader.int32(body.length);
    } else if (field === ENVELOPE.version && wireType === WIRE_TYPE.bytes) {
      reader.string(body.length);
    } else if (field === ENVELOPE.bitfield && wireType === WIRE_TYPE.bytes) {
      readBitfieldMessage(reader, reader.lengthDelimitedEnd(body.length), undefined);
    } else if (isSubmessage(field) && wireType === WIRE_TYPE.bytes) {
      submessages ??= [];
      const submessage = (submessages[field] ??= { index: 0, offset: 0, length: 0, code: 0, text: '', hashes: EMPTY });
      readSubmessage(reader, reader.lengthDelimitedEnd(body.length), field, submessage);
    } else {
      reader.skip(body.length);
    }
  }
  return toMessage(type, submessages);
}

/** The fields that any submessage can have. */
interface Submessage {
  index: number;
  offset: number;
  length: number;
  code: number;
  text: string;
  /** A view of the body. */
  hashes: Uint8Array;
}

function isSubmessage(field: number): boolean {
  if (field >= ENVELOPE.pieceRequest && field <= ENVELOPE.complete) return true;
  return field === ENVELOPE.layerRequest || field === ENVELOPE.layerHashes;
}

function readSubmessage(reader: ProtoReader, end: number, envelopeField: number, into: Submessage): void {
  while (reader.nextField(end)) {
    const { field, wireType } = reader;
    if (wireType === WIRE_TYPE.varint && isNumber(envelopeField, field)) {
      const value = reader.int32(end);
      if (envelopeField === ENVELOPE.error) {
        if (field === ERROR.index) into.index = value;
        else into.code = value;
      } else if (field === PIECE.index) into.index = value;
      else if (field === PIECE.offset) into.offset = value;
      else into.length = value;
    } else if (wireType === WIRE_TYPE.bytes && envelopeField === ENVELOPE.error && field === ERROR.error) {
      into.text = reader.string(end);
    } else if (wireType === WIRE_TYPE.bytes && envelopeField === ENVELOPE.piecePayload && field === PIECE.digest) {
      reader.string(end);
    } else if (wireType === WIRE_TYPE.bytes && envelopeField === ENVELOPE.layerHashes && field === LAYER.hashes) {
      into.hashes = reader.view(end);
    } else {
      reader.skip(end);
    }
  }
}

/** Whether `field` of this submessage is a number that we know. */
function isNumber(envelopeField: number, field: number): boolean {
  switch (envelopeField) {
    case ENVELOPE.pieceRequest:
    case ENVELOPE.piecePayload:
      return field >= PIECE.index && field <= PIECE.length;
    case ENVELOPE.announcePiece:
    case ENVELOPE.cancelPiece:
      return field === PIECE.index;
    case ENVELOPE.layerRequest:
    case ENVELOPE.layerHashes:
      return field === LAYER.first || field === LAYER.length;
    case ENVELOPE.error:
      return field === ERROR.index || field === ERROR.code;
    default:
      return false;
  }
}

function toMessage(
  type: number,
  submessages: readonly (Submessage | undefined)[] | undefined,
): PeerMessage | PayloadHeader | LayerMessage {
  switch (type) {
    case MESSAGE_TYPE.bitfield:
      return { type: 'ignored', says: 'handshake on an established connection' };
    case MESSAGE_TYPE.pieceRequest: {
      const { index, offset, length } = required(submessages, ENVELOPE.pieceRequest);
      return { type: 'piece-request', piece: index, offset, length };
    }
    case MESSAGE_TYPE.piecePayload: {
      const { index, offset, length } = required(submessages, ENVELOPE.piecePayload);
      return { type: 'piece-payload', piece: index, offset, length };
    }
    case MESSAGE_TYPE.announcePiece:
      return { type: 'announce-piece', piece: required(submessages, ENVELOPE.announcePiece).index };
    case MESSAGE_TYPE.cancelPiece:
      return { type: 'cancel-piece', piece: required(submessages, ENVELOPE.cancelPiece).index };
    case MESSAGE_TYPE.error: {
      const { index, code, text } = required(submessages, ENVELOPE.error);
      return { type: 'error', piece: index, code, text };
    }
    case MESSAGE_TYPE.complete:
      return { type: 'complete' };
    case MESSAGE_TYPE.layerRequest: {
      const { index, length } = required(submessages, ENVELOPE.layerRequest);
      return { type: 'layer-request', first: index, count: length };
    }
    case MESSAGE_TYPE.layerHashes: {
      const { index, hashes } = required(submessages, ENVELOPE.layerHashes);
      if (hashes.length % HASH_BYTES !== 0) throw new KrakenError('frame-malformed', 'part of a hash');
      return { type: 'layer-hashes', first: index, hashes };
    }
    default:
      return { type: 'ignored', says: `unknown message type ${type}` };
  }
}

/** The submessage that belongs to the type: present, and without negative numbers. */
function required(submessages: readonly (Submessage | undefined)[] | undefined, field: number): Submessage {
  const submessage = submessages?.[field];
  if (submessage === undefined) throw new KrakenError('frame-malformed', 'message without its submessage');
  if (submessage.index < 0 || submessage.offset < 0 || submessage.length < 0) {
    throw new KrakenError('frame-malformed', 'negative index, offset or length');
  }
  return submessage;
}

function encodePiece(type: number, field: number, piece: number, offset: number, length: number): Uint8Array {
  const inner = int32FieldLength(piece) + int32FieldLength(offset) + int32FieldLength(length);
  const frame = new FrameWriter(int32FieldLength(type) + lengthDelimitedLength(inner));
  frame.int32Field(ENVELOPE.type, type);
  frame.lengthDelimited(field, inner);
  frame.int32Field(PIECE.index, piece);
  frame.int32Field(PIECE.offset, offset);
  frame.int32Field(PIECE.length, length);
  return frame.bytes;
}

function encodeError(piece: number, code: number, text: string): Uint8Array {
  const inner = stringFieldLength(text) + int32FieldLength(piece) + int32FieldLength(code);
  const frame = new FrameWriter(int32FieldLength(MESSAGE_TYPE.error) + lengthDelimitedLength(inner));
  frame.int32Field(ENVELOPE.type, MESSAGE_TYPE.error);
  frame.lengthDelimited(ENVELOPE.error, inner);
  frame.stringField(ERROR.error, text);
  frame.int32Field(ERROR.index, piece);
  frame.int32Field(ERROR.code, code);
  return frame.bytes;
}
