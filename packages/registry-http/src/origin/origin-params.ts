/** Path, query and body parameters shared by the origin's and build-index's routes, with Go's words for what is wrong. Source: spec origin-store-backends.md §0.6. */
import {
  asObject,
  getInteger,
  parseDigest,
  parseGoJson,
  parsePiecesRoot,
  type Digest,
  type PiecesRoot,
} from '@kraken/core/content';
import { asKrakenError, isKrakenError, KrakenError } from '@kraken/core/errors';
import type { RequestContext } from '../http/index.js';

/** @throws KrakenError `request-invalid` */
export function requiredParam(context: RequestContext, name: string): string {
  const value = context.params[name];
  if (value === undefined || value === '') throw new KrakenError('request-invalid', `param ${name} is required`);
  return value;
}

/** @throws KrakenError `request-invalid`, `digest-invalid` */
export function digestParam(context: RequestContext): Digest {
  const text = requiredParam(context, 'digest');
  try {
    return parseDigest(text);
  } catch (error) {
    if (isKrakenError(error)) throw new KrakenError(error.code, `parse digest: ${error.message}`, { cause: error });
    throw error;
  }
}

/** An integer as Go's `strconv` takes it. @returns `undefined` when it is none */
export function parseGoInteger(text: string): number | undefined {
  if (!/^[+-]?[0-9]+$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Longest delay that one host may ask of another: a year. */
const DELAY_MAX_MS = 365 * 24 * 3_600_000;

/**
 * The delay in a body such as `{"Delay":1800000000000}` (nanoseconds, key in any case).
 * @returns milliseconds
 * @throws KrakenError `request-invalid`, `decode body: …`
 */
export function delayFromBody(body: string): number {
  if (body.trim() === '') throw new KrakenError('request-invalid', 'decode body: EOF');
  try {
    const object = asObject(parseGoJson(body, { allowTrailing: true }), 'body');
    return delayMsOf(getInteger(object, 'delay'));
  } catch (error) {
    if (isKrakenError(error))
      throw new KrakenError('request-invalid', `decode body: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Nanoseconds on the wire to milliseconds, bounded. */
export function delayMsOf(nanoseconds: number): number {
  return Math.min(Math.max(0, nanoseconds / 1e6), DELAY_MAX_MS);
}

/** The root of a piece layer in the query. @throws KrakenError `request-invalid` */
export function rootParam(context: RequestContext): PiecesRoot {
  try {
    return parsePiecesRoot(context.query.get('root') ?? '');
  } catch (error) {
    throw new KrakenError('request-invalid', `invalid root: ${asKrakenError(error, 'internal').message}`, {
      cause: error,
    });
  }
}
