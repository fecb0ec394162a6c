/**
 * Events, effects and settings as JSON and back: plain data, plus the few values that JSON lacks (bit fields, arrays of
 * 32-bit words, infinities). Same value, same text. Never meets payload bytes: machines do not either.
 */
import { Bitfield } from '../content/index.js';
import { KrakenError } from '../errors/index.js';

/** Keys that no event, effect or setting has. */
const BITS = '$bits';
const WORDS = '$words';
const NUMBER = '$number';
const WORD_HEX = 8;

/** Fields that are `undefined` are left out. */
export function valueToJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (item instanceof Bitfield) return { [BITS]: item.length, [WORDS]: wordsToHex(item.words) };
    if (item instanceof Uint32Array) return { [WORDS]: wordsToHex(item) };
    if (typeof item === 'number' && !Number.isFinite(item)) return { [NUMBER]: String(item) };
    return item;
  });
}

/** @throws KrakenError `recording-invalid` when the text is not what {@link valueToJson} writes */
export function valueFromJson(text: string): unknown {
  try {
    return JSON.parse(text, (_key, item: unknown) => revive(item)) as unknown;
  } catch (cause) {
    throw new KrakenError('recording-invalid', cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function revive(item: unknown): unknown {
  if (typeof item !== 'object' || item === null) return item;
  const { [BITS]: bits, [WORDS]: words, [NUMBER]: number } = item as Record<string, unknown>;
  if (typeof number === 'string') return Number(number);
  if (typeof words !== 'string') return item;
  const array = wordsFromHex(words);
  return typeof bits === 'number' ? Bitfield.fromWords(bits, array) : array;
}

function wordsToHex(words: Uint32Array): string {
  let hex = '';
  for (const word of words) hex += word.toString(16).padStart(WORD_HEX, '0');
  return hex;
}

function wordsFromHex(hex: string): Uint32Array {
  if (!/^(?:[0-9a-f]{8})*$/.test(hex)) throw new RangeError('words expected as groups of 8 hex characters');
  return Uint32Array.from({ length: hex.length / WORD_HEX }, (_word, i) =>
    Number.parseInt(hex.slice(i * WORD_HEX, (i + 1) * WORD_HEX), 16),
  );
}
