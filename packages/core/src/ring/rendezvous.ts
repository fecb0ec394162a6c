/**
 * Rendezvous (highest random weight) hashing: which nodes come first for a key. Source: spec
 * tracker-agent-ring.md §5.2. Every component of a cluster must get the same order, so this follows Kraken bit by bit.
 *
 * Owns scores and orders. Knows nothing of health, replicas or digests: that is `ring.ts`.
 */
import { concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { murmur3, type Hash64 } from './murmur3.js';

/** A node of a weighted ring. `weight` is a number ≥ 0; twice the weight gets about twice the keys. */
export interface WeightedNode {
  readonly label: string;
  readonly weight: number;
}

const TWO_53 = 2 ** 53;

/** The low 53 bits of a hash: exactly what a double holds. */
function low53(hash: Hash64): number {
  return (hash.high & 0x1fffff) * 0x100000000 + hash.low;
}

/** The integer in [0, 2^53) that a hash stands for; 0 is hashed once more because its logarithm would be infinite. */
export function hashToInteger(hash: Hash64): number {
  const value = low53(hash);
  if (value !== 0) return value;
  const bytes = new Uint8Array(8);
  for (let i = 0; i < 4; i++) {
    bytes[i] = hash.high >>> (24 - 8 * i);
    bytes[4 + i] = hash.low >>> (24 - 8 * i);
  }
  return low53(murmur3(bytes));
}

/** {@link hashToInteger} as a fraction of 2^53, in [0, 1). */
export function hashToFraction(hash: Hash64): number {
  return hashToInteger(hash) / TWO_53;
}

/** Kraken's score: −weight / ln(fraction). The last digit depends on the engine's logarithm; orders do not. */
export function weightedScore(hash: Hash64, weight: number): number {
  return -weight / Math.log(hashToFraction(hash));
}

/** Hash of a key and a node. `key` is hexadecimal; its bytes come first, the label's UTF-8 bytes follow. */
export function hashOf(key: Uint8Array, label: Uint8Array): Hash64 {
  return murmur3(concatBytes(key, label));
}

/** @throws RangeError unless `key` is an even number of hex characters */
function keyBytes(key: string): Uint8Array {
  if (key.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(key)) {
    throw new RangeError(`ring key expected an even number of hex characters, got ${JSON.stringify(key.slice(0, 80))}`);
  }
  return hexToBytes(key);
}

/** Highest score first; equal scores by label, so that the order is total. */
function byScore(a: { label: string; score: number }, b: { label: string; score: number }): number {
  if (a.score !== b.score) return b.score - a.score;
  return a.label < b.label ? -1 : a.label > b.label ? 1 : 0;
}

/**
 * Nodes of equal weight.
 *
 * @example
 * new RendezvousRing(['x:80', 'y:80', 'z:80']).order('e3b0') // → ['x:80', 'z:80', 'y:80']
 */
export class RendezvousRing {
  /** In the order given. */
  readonly labels: readonly string[];
  readonly #encoded: readonly Uint8Array[];

  /** @param labels distinct node names, `host:port` as the host list has them; duplicates count once */
  constructor(labels: readonly string[]) {
    this.labels = [...new Set(labels)];
    this.#encoded = this.labels.map((label) => utf8ToBytes(label));
  }

  /**
   * All labels, best first. One hash per label.
   * @param key hexadecimal
   * @throws RangeError for a key that is not hexadecimal
   */
  order(key: string): string[] {
    const bytes = keyBytes(key);
    // With equal weights −w/ln(x) grows with x: comparing the integers needs no logarithm.
    return this.labels
      .map((label, i) => ({ label, score: hashToInteger(hashOf(bytes, this.#encoded[i] as Uint8Array)) }))
      .sort(byScore)
      .map((node) => node.label);
  }
}

/**
 * Labels of weighted nodes, best first (Kraken: placement of blobs on `castore.volumes`).
 * @param key hexadecimal
 * @throws RangeError for a key that is not hexadecimal
 */
export function orderWeighted(key: string, nodes: readonly WeightedNode[]): string[] {
  const bytes = keyBytes(key);
  return nodes
    .map(({ label, weight }) => ({ label, score: weightedScore(hashOf(bytes, utf8ToBytes(label)), weight) }))
    .sort(byScore)
    .map((node) => node.label);
}
