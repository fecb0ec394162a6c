/**
 * Byte sizes as configuration spells them, and the choice of a piece length by blob length.
 * Source: spec p2p.md §1.7, origin-store-backends.md §0.3, correction 1.
 */
import { KrakenError } from '../errors/index.js';

const SIZE = /^([0-9]+)(.*)$/s;
/** A capital prefix with a small `b` means bits to Kraken's parser, which refuses them. */
const BITS = /^[KMGTPE]b$/;
const UINT64_MAX = 2n ** 64n - 1n;

const EXPONENTS: ReadonlyMap<string, bigint> = new Map([
  ...['', 'b', 'byte'].map((unit) => [unit, 0n] as const),
  ...unitsOf('kilo', 10n),
  ...unitsOf('mega', 20n),
  ...unitsOf('giga', 30n),
  ...unitsOf('tera', 40n),
  ...unitsOf('peta', 50n),
  ['e', 60n],
  ['eb', 60n],
]);

function unitsOf(prefix: string, exponent: bigint): (readonly [string, bigint])[] {
  const letter = prefix.slice(0, 1);
  return [letter, `${letter}b`, prefix, `${prefix}byte`, `${prefix}bytes`].map((unit) => [unit, exponent] as const);
}

/**
 * Bytes of a size such as `4MB` (units are powers of 1024), `4 mb` or `4194304`; '' is 0.
 * @param text the *source text* of the YAML scalar: as a number, `010` would already be 8
 * @returns bytes; up to 2^64-1, so more than a safe integer holds
 * @throws KrakenError `config-invalid`
 */
export function parseByteSize(text: string): bigint {
  if (text === '') return 0n;
  const match = SIZE.exec(text);
  if (match === null) throw invalid(text, 'expected a whole number and a unit, such as 4MB');
  const [, digits, rest] = match as unknown as [string, string, string];
  const unit = rest.trim();
  if (BITS.test(unit)) throw invalid(text, `${unit} means bits; write ${unit.toUpperCase()} for bytes`);
  const exponent = EXPONENTS.get(unit.toLowerCase());
  if (exponent === undefined) throw invalid(text, 'expected no unit or B, KB, MB, GB, TB, PB, EB');
  const bytes = BigInt(digits) << exponent;
  if (bytes > UINT64_MAX) throw invalid(text, 'value out of range');
  return bytes;
}

/**
 * The piece length for a blob: that of the highest threshold not above its length; blobs below the lowest
 * threshold take the lowest entry.
 * @param table minimum blob length → piece length, in any order, in bytes; of equal thresholds the last wins
 * @throws KrakenError `config-invalid` for an empty table
 */
export function choosePieceLength(table: Iterable<readonly [number, number]>, blobLength: number): number {
  const [lowest, ...others] = [...new Map(table)].sort(([a], [b]) => a - b);
  if (lowest === undefined) throw new KrakenError('config-invalid', 'no piece lengths configured');
  let [, chosen] = lowest;
  for (const [threshold, pieceLength] of others) {
    if (blobLength < threshold) break;
    chosen = pieceLength;
  }
  return chosen;
}

function invalid(text: string, why: string): KrakenError {
  return new KrakenError('config-invalid', `byte size ${JSON.stringify(text.slice(0, 80))}: ${why}`);
}
