/**
 * MurmurHash3 x64-128 with seed 0, first 64-bit word only: the hash of Kraken's rendezvous ring. Source: spec
 * tracker-agent-ring.md §5.1. The algorithm is public domain (Austin Appleby); this is written from its description.
 *
 * 64-bit values are pairs of unsigned 32-bit halves: no BigInt, no allocation in the block loop.
 */

/** An unsigned 64-bit integer as two unsigned 32-bit halves. */
export interface Hash64 {
  readonly high: number;
  readonly low: number;
}

// Multipliers of the algorithm, as halves.
const C1_HIGH = 0x87c37b91;
const C1_LOW = 0x114253d5;
const C2_HIGH = 0x4cf5ad43;
const C2_LOW = 0x2745937f;

/** Result registers of the 64-bit helpers below: read them before the next call. */
let high = 0;
let low = 0;

/** (high, low) = a × b modulo 2^64. */
function multiply(aHigh: number, aLow: number, bHigh: number, bLow: number): void {
  const a0 = aLow & 0xffff;
  const a1 = aLow >>> 16;
  const b0 = bLow & 0xffff;
  const b1 = bLow >>> 16;
  const p00 = a0 * b0;
  const p01 = a0 * b1;
  const p10 = a1 * b0;
  // Each term is below 2^32 and there are three: far from 2^53.
  const middle = (p00 >>> 16) + (p01 & 0xffff) + (p10 & 0xffff);
  const carried = a1 * b1 + Math.floor(p01 / 0x10000) + Math.floor(p10 / 0x10000) + Math.floor(middle / 0x10000);
  low = ((middle << 16) | (p00 & 0xffff)) >>> 0;
  high = ((carried | 0) + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) >>> 0;
}

/** (high, low) = a rotated left by `bits`, 0 < bits < 32 or 32 < bits < 64. */
function rotateLeft(aHigh: number, aLow: number, bits: number): void {
  let fromHigh = aHigh;
  let fromLow = aLow;
  if (bits > 32) {
    fromHigh = aLow;
    fromLow = aHigh;
  }
  const shift = bits & 31;
  high = ((fromHigh << shift) | (fromLow >>> (32 - shift))) >>> 0;
  low = ((fromLow << shift) | (fromHigh >>> (32 - shift))) >>> 0;
}

/** (high, low) = a + b modulo 2^64. */
function add(aHigh: number, aLow: number, bHigh: number, bLow: number): void {
  const sum = aLow + bLow;
  low = sum >>> 0;
  high = (aHigh + bHigh + (sum > 0xffffffff ? 1 : 0)) >>> 0;
}

/** (high, low) = the final mix of a. */
function finalMix(aHigh: number, aLow: number): void {
  // a ^= a >>> 33
  let l = (aLow ^ (aHigh >>> 1)) >>> 0;
  multiply(aHigh, l, 0xff51afd7, 0xed558ccd);
  l = (low ^ (high >>> 1)) >>> 0;
  multiply(high, l, 0xc4ceb9fe, 0x1a85ec53);
  low = (low ^ (high >>> 1)) >>> 0;
}

/** Four bytes from `at`, little-endian; bytes at or beyond `end` count as 0. */
function word(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = Math.min(at + 4, end) - 1; i >= at; i--) value = (value << 8) | (bytes[i] as number);
  return value >>> 0;
}

/** The first 64-bit word of MurmurHash3 x64-128 (seed 0) of `bytes`. */
export function murmur3(bytes: Uint8Array): Hash64 {
  const length = bytes.length;
  const blocksEnd = length - (length % 16);
  let h1High = 0;
  let h1Low = 0;
  let h2High = 0;
  let h2Low = 0;

  for (let at = 0; at < blocksEnd; at += 16) {
    multiply(word(bytes, at + 4, length), word(bytes, at, length), C1_HIGH, C1_LOW);
    rotateLeft(high, low, 31);
    multiply(high, low, C2_HIGH, C2_LOW);
    rotateLeft((h1High ^ high) >>> 0, (h1Low ^ low) >>> 0, 27);
    add(high, low, h2High, h2Low);
    multiply(high, low, 0, 5);
    add(high, low, 0, 0x52dce729);
    h1High = high;
    h1Low = low;

    multiply(word(bytes, at + 12, length), word(bytes, at + 8, length), C2_HIGH, C2_LOW);
    rotateLeft(high, low, 33);
    multiply(high, low, C1_HIGH, C1_LOW);
    rotateLeft((h2High ^ high) >>> 0, (h2Low ^ low) >>> 0, 31);
    add(high, low, h1High, h1Low);
    multiply(high, low, 0, 5);
    add(high, low, 0, 0x38495ab5);
    h2High = high;
    h2Low = low;
  }

  if (length > blocksEnd + 8) {
    multiply(word(bytes, blocksEnd + 12, length), word(bytes, blocksEnd + 8, length), C2_HIGH, C2_LOW);
    rotateLeft(high, low, 33);
    multiply(high, low, C1_HIGH, C1_LOW);
    h2High = (h2High ^ high) >>> 0;
    h2Low = (h2Low ^ low) >>> 0;
  }
  if (length > blocksEnd) {
    const end = Math.min(length, blocksEnd + 8);
    multiply(word(bytes, blocksEnd + 4, end), word(bytes, blocksEnd, end), C1_HIGH, C1_LOW);
    rotateLeft(high, low, 31);
    multiply(high, low, C2_HIGH, C2_LOW);
    h1High = (h1High ^ high) >>> 0;
    h1Low = (h1Low ^ low) >>> 0;
  }

  const lengthHigh = Math.floor(length / 0x100000000);
  h1High = (h1High ^ lengthHigh) >>> 0;
  h1Low = (h1Low ^ length) >>> 0;
  h2High = (h2High ^ lengthHigh) >>> 0;
  h2Low = (h2Low ^ length) >>> 0;

  add(h1High, h1Low, h2High, h2Low);
  h1High = high;
  h1Low = low;
  add(h2High, h2Low, h1High, h1Low);
  finalMix(high, low);
  h2High = high;
  h2Low = low;
  finalMix(h1High, h1Low);
  add(high, low, h2High, h2Low);
  return { high, low };
}
