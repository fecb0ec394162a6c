/**
 * YAML 1.1 scalars and Go's readings of them. The type of a plain scalar is decided from its source text,
 * as Go's yaml.v2 does, because the same text means different things to differently typed keys (`010` is 8
 * for an integer and 10 for a byte size; `yes` is text for a string). Never looks at keys.
 */

/** What a plain (unquoted) scalar is before a key's type is known. */
export type PlainScalar =
  | { readonly kind: 'null' }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'int'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string };

const NULLS = new Set(['', '~', 'null', 'Null', 'NULL']);
const TRUES = new Set(['y', 'Y', 'yes', 'Yes', 'YES', 'on', 'On', 'ON', 'true', 'True', 'TRUE']);
const FALSES = new Set(['n', 'N', 'no', 'No', 'NO', 'off', 'Off', 'OFF', 'false', 'False', 'FALSE']);
const INTEGERS: readonly [RegExp, number][] = [
  [/^[-+]?0b[01_]+$/, 2],
  [/^[-+]?0o?[0-7_]+$/, 8],
  [/^[-+]?0x[0-9a-fA-F_]+$/, 16],
  [/^[-+]?[0-9][0-9_]*$/, 10],
];
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;

/** Classify the source text of a plain scalar. */
export function readPlainScalar(source: string): PlainScalar {
  if (NULLS.has(source)) return { kind: 'null' };
  if (TRUES.has(source)) return { kind: 'bool', value: true };
  if (FALSES.has(source)) return { kind: 'bool', value: false };
  for (const [pattern, radix] of INTEGERS) {
    if (!pattern.test(source) || (radix === 8 && /^[-+]?0$/.test(source))) continue;
    const negative = source.startsWith('-');
    const digits = source
      .replace(/^[-+]/, '')
      .replace(/^0[box]/, '')
      .replaceAll('_', '');
    const prefix = radix === 16 ? '0x' : radix === 8 ? '0o' : radix === 2 ? '0b' : '';
    const value = BigInt(prefix + (digits === '' ? '0' : digits));
    return { kind: 'int', value: negative ? -value : value };
  }
  if (FLOAT.test(source)) return { kind: 'float', value: Number(source) };
  if (/^[-+]?\.(?:inf|Inf|INF)$/.test(source))
    return { kind: 'float', value: source.startsWith('-') ? -Infinity : Infinity };
  if (/^\.(?:nan|NaN|NAN)$/.test(source)) return { kind: 'float', value: NaN };
  return { kind: 'text', value: source };
}

const UNITS_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
/** Go's time.Duration is an int64 of nanoseconds. */
const DURATION_NS_MAX = 2n ** 63n - 1n;

/**
 * Parse a Go duration such as `1h30m`, `250ms`, `-5s`, `0`.
 * @returns nanoseconds, `undefined` when the text is not a duration or out of range
 */
export function parseGoDuration(text: string): bigint | undefined {
  const match = /^([-+]?)(.*)$/s.exec(text);
  if (match === null) return undefined;
  const [, sign, body] = match as unknown as [string, string, string];
  if (body === '0') return 0n;
  const part = /([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)/y;
  let total = 0n;
  let at = 0;
  while (at < body.length) {
    part.lastIndex = at;
    const found = part.exec(body);
    if (found === null) return undefined;
    const [whole, integer = '', fraction = '', unit = ''] = found;
    if (integer === '' && fraction === '') return undefined;
    const unitNs = UNITS_NS[unit];
    if (unitNs === undefined) return undefined;
    total += BigInt(integer === '' ? '0' : integer) * BigInt(unitNs);
    if (fraction !== '') total += BigInt(Math.trunc(Number(`0.${fraction}`) * unitNs));
    at += whole.length;
  }
  if (at === 0 || total > DURATION_NS_MAX) return undefined;
  return sign === '-' ? -total : total;
}
