/** The one error class of the system: a catalogue code plus what was seen. */
import { ERRORS, type ErrorCode, type ErrorEntry } from './catalogue.js';

const BRAND: unique symbol = Symbol.for('kraken.error') as never;

/**
 * A coded failure. Branch on `code` or `retry`, never on `message`.
 *
 * @example
 * try { await node.open(digest) } catch (e) { if (isKrakenError(e, 'blob-unknown')) return 404 }
 */
export class KrakenError extends Error {
  /** Catalogue code. */
  readonly code: ErrorCode;
  /** Extra facts for logs and for OCI `detail`; never secrets. */
  readonly detail: unknown;
  readonly [BRAND] = true;

  constructor(code: ErrorCode, message?: string, options: { cause?: unknown; detail?: unknown } = {}) {
    super(message ?? ERRORS[code].says, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'KrakenError';
    this.code = code;
    this.detail = options.detail;
  }

  /** The catalogue row of `code`. */
  get entry(): ErrorEntry {
    return ERRORS[this.code];
  }

  /** What a caller may do next. */
  get retry(): ErrorEntry['retry'] {
    return ERRORS[this.code].retry;
  }

  /** The HTTP status that a server answers for this failure. */
  get httpStatus(): number {
    return ERRORS[this.code].http;
  }
}

/** True for a KrakenError from any copy of this package; with `code`, only for that code. */
export function isKrakenError(value: unknown, code?: ErrorCode): value is KrakenError {
  if (typeof value !== 'object' || value === null || !(BRAND in value)) return false;
  return code === undefined || (value as KrakenError).code === code;
}

/** `value` itself when it is a KrakenError, else a new one with `code` that keeps it as the cause. */
export function asKrakenError(value: unknown, code: ErrorCode): KrakenError {
  if (isKrakenError(value)) return value;
  return new KrakenError(code, value instanceof Error ? value.message : String(value), { cause: value });
}

/** Programmer errors only: throws when `condition` is false. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new KrakenError('internal', message);
}

/** Marks a branch that the types say cannot be reached (exhaustive switches). */
export function unreachable(value: never): never {
  throw new KrakenError('internal', `unreachable: ${JSON.stringify(value)}`);
}
