/**
 * The 20-byte ids in JSON: an array of 20 integers, because that is how Go spells a byte array.
 * Source: spec p2p.md §1.2, §1.3, correction 6.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { asInteger, isArray, wrongType } from './go-json-fields.js';
import type { GoJson } from './go-json.js';
import type { InfoHash, PeerId } from './ids.js';

const ID_BYTES = 20;

/** The integers of an id. */
export function idToJson(id: InfoHash | PeerId): number[] {
  return [...hexToBytes(id)];
}

/** The JSON text of an id, `[66,197,…]`. */
export function idToJsonText(id: InfoHash | PeerId): string {
  return `[${idToJson(id).join(',')}]`;
}

/** See {@link idFromJson}. */
export function peerIdFromJson(value: GoJson, previous?: PeerId): PeerId {
  return idFromJson(value, previous) as PeerId;
}

/** See {@link idFromJson}. */
export function infoHashFromJson(value: GoJson, previous?: InfoHash): InfoHash {
  return idFromJson(value, previous) as InfoHash;
}

/**
 * Decodes as Go does: a short array is filled with zeros, a long one cut without a look at the rest, `null` keeps
 * the previous value, also as an element.
 * @param previous 40 hex characters, default zeros
 * @returns 40 lower-case hex characters
 * @throws KrakenError `request-invalid` for strings, fractions and numbers outside 0..255
 */
export function idFromJson(value: GoJson, previous?: string): string {
  const bytes = previous === undefined ? new Uint8Array(ID_BYTES) : hexToBytes(previous);
  if (value === null) return bytesToHex(bytes);
  if (!isArray(value)) throw wrongType('id', 'array of integers', value);
  for (let i = 0; i < ID_BYTES; i++) {
    const element = value[i];
    if (element === undefined) bytes[i] = 0;
    else if (element !== null) bytes[i] = asInteger(element, 'id', 0, 255);
  }
  return bytesToHex(bytes);
}
