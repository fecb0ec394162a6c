/**
 * CRC-32 (IEEE 802.3, reflected polynomial EDB88320): Kraken's piece sum. Portable and table-driven; hosts use a
 * native one on data paths.
 */

const POLYNOMIAL = 0xedb88320;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 0 ? sum >>> 1 : (sum >>> 1) ^ POLYNOMIAL;
  return sum;
});

/**
 * @param sum the sum of the bytes before `bytes`, to go on in parts
 * @returns an unsigned 32-bit integer
 */
export function crc32(bytes: Uint8Array, sum = 0): number {
  let state = ~sum;
  for (let at = 0; at < bytes.length; at++) {
    state = (TABLE[(state ^ (bytes[at] as number)) & 0xff] as number) ^ (state >>> 8);
  }
  return ~state >>> 0;
}
