/**
 * The JSON error body of `/v2/`. Owns its shape and the mapping from coded failures; never decides a status
 * (the catalogue does). Source: OCI distribution spec 1.1 "Error codes"; captures of a running Go registry.
 */
import { KrakenError, type OciErrorCode } from '../errors/index.js';

/** One entry of the `errors` list. */
export interface OciError {
  readonly code: OciErrorCode;
  readonly message: string;
  readonly detail?: unknown;
}

/** The body, ending in a newline as Go's encoder writes it. */
export function ociErrorBody(errors: readonly OciError[]): string {
  return `${JSON.stringify({ errors })}\n`;
}

/** A manifest that refers to digests which are not there: one entry of the body each. */
export function manifestBlobsUnknown(missing: readonly string[]): KrakenError {
  return new KrakenError('manifest-blob-unknown', `blob unknown to registry: ${missing.slice(0, 10).join(', ')}`, {
    detail: { missing },
  });
}

function missingOf(error: KrakenError): readonly unknown[] | undefined {
  const { detail } = error;
  if (error.code !== 'manifest-blob-unknown' || typeof detail !== 'object' || detail === null || !('missing' in detail))
    return undefined;
  return Array.isArray(detail.missing) ? (detail.missing as readonly unknown[]) : undefined;
}

/** Their texts name internal hosts and code; clients get the catalogue's words. */
const INTERNAL: ReadonlySet<string> = new Set(['internal', 'upstream-failed', 'network-error', 'io-error']);

/** Entries for one coded failure. Details of caller mistakes are passed on, others stay in the logs. */
export function ociErrorsOf(error: KrakenError): readonly OciError[] {
  const code = error.entry.oci ?? 'UNKNOWN';
  const missing = missingOf(error);
  if (missing !== undefined) return missing.map((detail) => ({ code, message: 'blob unknown to registry', detail }));
  if (INTERNAL.has(error.code)) return [{ code, message: error.entry.says }];
  const isMistake = error.entry.kind === 'misuse' && error.detail !== undefined;
  return [{ code, message: error.message, ...(isMistake ? { detail: error.detail } : {}) }];
}
