/**
 * The wire form of a bitfield: a 64-bit big-endian bit count, then 64-bit big-endian words. Source: spec
 * p2p.md §2.5.
 *
 * Differs from Go: the count never decides an allocation (the words must have come), and padding bits above
 * the count are cleared instead of counted.
 */
import { KrakenError } from '../errors/index.js';
import { Bitfield } from './bitfield.js';

const HEADER_BYTES = 8;

/** Bytes of the wire form of `length` bits. */
export function bitsetByteLength(length: number): number {
  return HEADER_BYTES + 8 * Math.ceil(length / 64);
}

/** The wire form of `field`. */
export function encodeBitset(field: Bitfield): Uint8Array {
  const bytes = new Uint8Array(bitsetByteLength(field.length));
  writeBitset(field, bytes, 0);
  return bytes;
}

/**
 * Writes the wire form at `at`; the caller has room for {@link bitsetByteLength}, all zero.
 * @returns the position behind it
 */
export function writeBitset(field: Bitfield, target: Uint8Array, at: number): number {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  view.setUint32(at, Math.floor(field.length / 2 ** 32));
  view.setUint32(at + 4, field.length >>> 0);
  const { words } = field;
  for (let w = 0; w < words.length; w++) {
    // Word pairs are written high half first, so halves swap places.
    view.setUint32(at + HEADER_BYTES + 4 * (w ^ 1), words[w] as number);
  }
  return at + bitsetByteLength(field.length);
}

/**
 * Reads the wire form. Bytes behind the last word are ignored.
 * @throws KrakenError `handshake-invalid` when fewer bytes came than the bit count needs
 */
export function decodeBitset(bytes: Uint8Array): Bitfield {
  const length = checkBitset(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = new Uint32Array((length + 31) >>> 5);
  for (let w = 0; w < words.length; w++) words[w] = view.getUint32(HEADER_BYTES + 4 * (w ^ 1));
  return Bitfield.fromWords(length, words);
}

/**
 * Checks that `bytes` hold a bitset, without building one.
 * @returns its number of bits
 * @throws KrakenError `handshake-invalid`
 */
export function checkBitset(bytes: Uint8Array): number {
  if (bytes.length < HEADER_BYTES) {
    throw new KrakenError('handshake-invalid', `bitset expected ${HEADER_BYTES} bytes or more, got ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  // Exact up to 2^53 and far beyond any possible body above: enough to compare.
  const length = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  const expected = bitsetByteLength(length);
  if (expected > bytes.length) {
    throw new KrakenError(
      'handshake-invalid',
      `bitset of ${length} bits expected ${expected} bytes, got ${bytes.length}`,
    );
  }
  return length;
}
