/**
 * Byte ranges in headers. Everything here returns ranges with an *exclusive* end; the three header forms differ.
 * Sources: RFC 9110 §14 (`Range`), spec origin-store-backends.md §1.3 (Kraken's `Content-Range`), OCI distribution
 * spec 1.1 (chunked upload).
 */
import { KrakenError } from '../errors/index.js';

/** Bytes `start` to `end - 1`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const RANGE = /^bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*$/i;
const GO_INTEGER = /^\+?[0-9]+$/;
const OCI_RANGE = /^([0-9]+)-([0-9]+)$/;

/**
 * A request's `Range` for content of `length` bytes.
 * @returns `undefined` when the header is to be ignored (absent, malformed, several ranges): answer with everything
 */
export function parseRangeHeader(header: string | undefined, length: number): ByteRange | 'unsatisfiable' | undefined {
  const match = header === undefined ? null : RANGE.exec(header);
  if (match === null) return undefined;
  const [, first, last] = match as unknown as [string, string, string];
  if (first === '') {
    if (last === '') return undefined;
    const suffix = Number(last);
    if (suffix === 0 || length === 0) return 'unsatisfiable';
    return { start: Math.max(0, length - suffix), end: length };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return undefined;
  if (start >= length) return 'unsatisfiable';
  return { start, end: last === '' ? length : Math.min(length, Number(last) + 1) };
}

/**
 * Kraken's `Content-Range` of an upload chunk: `start-end`, end exclusive. `end <= start` is an empty chunk.
 * @throws KrakenError `request-invalid` in Go's wording
 */
export function parseContentRange(header: string | undefined): ByteRange {
  if (header === undefined || header === '') throw new KrakenError('request-invalid', 'no Content-Range header');
  const parts = header.split('-');
  if (parts.length !== 2) {
    throw new KrakenError(
      'request-invalid',
      `cannot parse Content-Range header ${JSON.stringify(header)}: expected format "start-end"`,
    );
  }
  const [start, end] = parts as [string, string];
  return { start: goInteger(header, 'start', start), end: goInteger(header, 'end', end) };
}

/**
 * OCI's `Content-Range` of an upload chunk: `start-end`, end inclusive on the wire.
 * @throws KrakenError `request-invalid` when malformed, `range-invalid` when it ends before it starts
 */
export function parseOciContentRange(header: string): ByteRange {
  const match = OCI_RANGE.exec(header);
  if (match === null) {
    throw new KrakenError(
      'request-invalid',
      `Content-Range expected start-end, got ${JSON.stringify(header.slice(0, 80))}`,
    );
  }
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  if (!Number.isSafeInteger(end) || start >= end) {
    throw new KrakenError('range-invalid', `Content-Range ${JSON.stringify(header.slice(0, 80))} is not a range`);
  }
  return { start, end };
}

function goInteger(header: string, side: 'start' | 'end', text: string): number {
  const fail = (why: string): KrakenError =>
    new KrakenError(
      'request-invalid',
      `cannot parse ${side} of range in Content-Range header ${JSON.stringify(header)}: strconv.ParseInt: parsing ${JSON.stringify(text)}: ${why}`,
    );
  if (!GO_INTEGER.test(text)) throw fail('invalid syntax');
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw fail('value out of range');
  return value;
}
