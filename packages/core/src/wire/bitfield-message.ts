/** Reads the BitfieldMessage submessage: its form only, not what a handshake demands. Source: spec p2p.md §2.2. */
import type { ProtoReader } from './proto-reader.js';
import { BITFIELD, MAP_ENTRY, WIRE_TYPE } from './schema.js';

const EMPTY = new Uint8Array(0);

/** The fields of a BitfieldMessage as they came; absent ones are empty. Byte values are views of the body. */
export interface BitfieldMessage {
  infoHash: string;
  name: string;
  peerId: string;
  namespace: string;
  bitfieldBytes: Uint8Array;
  readonly remoteBitfieldBytes: Map<string, Uint8Array>;
}

/** A message whose fields have not come. */
export function emptyBitfieldMessage(): BitfieldMessage {
  return { infoHash: '', name: '', peerId: '', namespace: '', bitfieldBytes: EMPTY, remoteBitfieldBytes: new Map() };
}

/**
 * Reads fields up to `end` into `into`; a field that comes again replaces the earlier one. Without `into` the
 * form is checked and the content dropped.
 * @throws KrakenError `frame-malformed`
 */
export function readBitfieldMessage(reader: ProtoReader, end: number, into: BitfieldMessage | undefined): void {
  const target = into ?? emptyBitfieldMessage();
  while (reader.nextField(end)) {
    if (reader.wireType !== WIRE_TYPE.bytes) {
      reader.skip(end);
      continue;
    }
    switch (reader.field) {
      case BITFIELD.infoHash:
        target.infoHash = reader.string(end);
        break;
      case BITFIELD.name:
        target.name = reader.string(end);
        break;
      case BITFIELD.peerId:
        target.peerId = reader.string(end);
        break;
      case BITFIELD.bitfieldBytes:
        target.bitfieldBytes = reader.view(end);
        break;
      case BITFIELD.namespace:
        target.namespace = reader.string(end);
        break;
      case BITFIELD.remoteBitfieldBytes:
        readMapEntry(reader, reader.lengthDelimitedEnd(end), target.remoteBitfieldBytes);
        break;
      default:
        reader.skip(end);
    }
  }
}

function readMapEntry(reader: ProtoReader, end: number, into: Map<string, Uint8Array>): void {
  let key = '';
  let value: Uint8Array = EMPTY;
  while (reader.nextField(end)) {
    if (reader.field === MAP_ENTRY.key && reader.wireType === WIRE_TYPE.bytes) key = reader.string(end);
    else if (reader.field === MAP_ENTRY.value && reader.wireType === WIRE_TYPE.bytes) value = reader.view(end);
    else reader.skip(end);
  }
  into.set(key, value);
}
