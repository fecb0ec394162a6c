/**
 * The handshake between values and frames: one BITFIELD message in each direction. Source: spec p2p.md §2.4.
 * Checks form and safety; whether torrent, peer and piece count are the expected ones is the caller's question.
 */
import {
  bitsetByteLength,
  checkBitset,
  decodeBitset,
  digestFromHex,
  digestHex,
  parseInfoHash,
  parsePeerId,
  utf8Length,
  writeBitset,
  type PeerId,
} from '../content/index.js';
import { KrakenError } from '../errors/index.js';
import { emptyBitfieldMessage, readBitfieldMessage, type BitfieldMessage } from './bitfield-message.js';
import type { Handshake } from './messages.js';
import { ProtoReader } from './proto-reader.js';
import { FrameWriter, lengthDelimitedLength, stringFieldLength } from './proto-writer.js';
import { BITFIELD, ENVELOPE, MAP_ENTRY, MESSAGE_TYPE, WIRE_TYPE } from './schema.js';

/** Go sends the bitset of no bits for every neighbour; it is also the shortest value that Go can decode. */
const NEIGHBOUR_VALUE_BYTES = 8;

/**
 * The whole frame of a handshake.
 * @throws KrakenError `frame-too-large`: more than some 250,000 pieces, or hundreds of neighbours
 */
export function encodeHandshake(handshake: Handshake): Uint8Array {
  const name = digestHex(handshake.digest);
  const bitsetBytes = bitsetByteLength(handshake.bitfield.length);
  let inner =
    stringFieldLength(handshake.infoHash) +
    stringFieldLength(name) +
    stringFieldLength(handshake.peerId) +
    lengthDelimitedLength(bitsetBytes) +
    stringFieldLength(handshake.namespace);
  for (const neighbour of handshake.neighbours) inner += lengthDelimitedLength(mapEntryLength(neighbour));

  const frame = new FrameWriter(stringFieldLength(handshake.version) + lengthDelimitedLength(inner));
  frame.stringField(ENVELOPE.version, handshake.version);
  frame.lengthDelimited(ENVELOPE.bitfield, inner);
  frame.stringField(BITFIELD.infoHash, handshake.infoHash);
  frame.stringField(BITFIELD.name, name);
  frame.stringField(BITFIELD.peerId, handshake.peerId);
  frame.lengthDelimited(BITFIELD.bitfieldBytes, bitsetBytes);
  frame.raw((target, at) => writeBitset(handshake.bitfield, target, at));
  frame.stringField(BITFIELD.namespace, handshake.namespace);
  for (const neighbour of handshake.neighbours) {
    frame.lengthDelimited(BITFIELD.remoteBitfieldBytes, mapEntryLength(neighbour));
    frame.stringField(MAP_ENTRY.key, neighbour);
    frame.lengthDelimited(MAP_ENTRY.value, NEIGHBOUR_VALUE_BYTES);
    frame.raw((_target, at) => at + NEIGHBOUR_VALUE_BYTES);
  }
  return frame.bytes;
}

/**
 * Reads a handshake body. Neighbours come without repetition.
 * @throws KrakenError `frame-malformed` when it is not protobuf, `handshake-invalid` when a value is not what §2.4 demands
 */
export function decodeHandshake(body: Uint8Array): Handshake {
  const reader = new ProtoReader(body);
  let type = 0;
  let version = '';
  let message: BitfieldMessage | undefined;
  while (reader.nextField(body.length)) {
    const { field, wireType } = reader;
    if (field === ENVELOPE.type && wireType === WIRE_TYPE.varint) {
      type = reader.int32(body.length);
    } else if (field === ENVELOPE.version && wireType === WIRE_TYPE.bytes) {
      version = reader.string(body.length);
    } else if (field === ENVELOPE.bitfield && wireType === WIRE_TYPE.bytes) {
      message ??= emptyBitfieldMessage();
      readBitfieldMessage(reader, reader.lengthDelimitedEnd(body.length), message);
    } else {
      reader.skip(body.length);
    }
  }
  if (type !== MESSAGE_TYPE.bitfield)
    throw new KrakenError('handshake-invalid', `expected bitfield message, got type ${type}`);
  if (message === undefined) throw new KrakenError('handshake-invalid', 'empty bit field');
  return toHandshake(message, version);
}

function toHandshake(message: BitfieldMessage, version: string): Handshake {
  return {
    peerId: demand('peer id', () => parsePeerId(message.peerId)),
    infoHash: demand('info hash', () => parseInfoHash(message.infoHash)),
    digest: demand('name', () => digestFromHex(message.name)),
    bitfield: decodeBitset(message.bitfieldBytes),
    namespace: message.namespace,
    neighbours: neighboursOf(message.remoteBitfieldBytes),
    version,
  };
}

function neighboursOf(remoteBitfieldBytes: ReadonlyMap<string, Uint8Array>): PeerId[] {
  // Keys that differ only in case are one peer.
  const neighbours = new Set<PeerId>();
  for (const [key, value] of remoteBitfieldBytes) {
    neighbours.add(demand('neighbour peer id', () => parsePeerId(key)));
    checkBitset(value);
  }
  return [...neighbours];
}

/** A value's own parse error, as a fault of the handshake. */
function demand<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new KrakenError('handshake-invalid', `${what}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function mapEntryLength(neighbour: PeerId): number {
  return lengthDelimitedLength(utf8Length(neighbour)) + lengthDelimitedLength(NEIGHBOUR_VALUE_BYTES);
}
