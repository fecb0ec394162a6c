/**
 * The pulling half of the registry: manifests and blobs. Owns headers, ranges and conditional requests.
 * Never fetches more than was asked for: HEAD of a blob reads metadata only.
 * Source: OCI distribution spec 1.1 "Pull"; spec index-proxy-registry-config.md §4.2, §4.3.
 *
 * Differs from Go: missing content is 404, a manifest is served as it is stored whatever `Accept` says, and the first
 * bytes leave before the last have arrived.
 */
import { parseDigest, type Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError, type ErrorCode } from '@kraken/core/errors';
import { parseRangeHeader } from '@kraken/core/http';
import type { OutgoingHttpHeaders } from 'node:http';
import { sendBuffer, sendBytes, sendEmpty, type RequestContext } from '../http/index.js';
import { fetchManifest, resolveReference } from './manifest-source.js';
import type { Registry } from './registry-options.js';
import { isNotModified, sendOciErrors } from './respond-oci.js';

const contentHeaders = (digest: Digest): OutgoingHttpHeaders => ({
  'docker-content-digest': digest,
  etag: `"${digest}"`,
});

/** `GET` and `HEAD /v2/<name>/manifests/<reference>`. */
export async function readManifest(
  registry: Registry,
  context: RequestContext,
  repository: string,
  reference: string,
): Promise<void> {
  const digest = await resolveReference(registry.tags, repository, reference, context.signal);
  if (isNotModified(context, digest)) {
    sendEmpty(context, 304, contentHeaders(digest));
    return;
  }
  const { bytes, manifest } = await fetchManifest(
    registry.blobs,
    repository,
    digest,
    registry.limits.manifestBytesMax,
    context.signal,
  );
  sendBuffer(context, 200, bytes, { 'content-type': manifest.mediaType, ...contentHeaders(digest) });
}

const blobHeaders = (digest: Digest): OutgoingHttpHeaders => ({
  'content-type': 'application/octet-stream',
  'accept-ranges': 'bytes',
  'cache-control': 'max-age=31536000',
  ...contentHeaders(digest),
});

const blobUnknown = (digest: Digest): KrakenError =>
  new KrakenError('blob-unknown', `blob unknown to registry: ${digest}`, { detail: { digest } });

/** Failures that a push must survive: the client uploads what could not be looked up. */
const LOOKUP_FAILURES: readonly ErrorCode[] = [
  'storage-unavailable',
  'origin-unavailable',
  'upstream-failed',
  'network-error',
  'backend-no-match',
];

async function statBlob(registry: Registry, repository: string, digest: Digest, signal: AbortSignal): Promise<number> {
  try {
    const found = await registry.blobs.stat(repository, digest, signal);
    if (found !== undefined) return found.length;
  } catch (error) {
    const isLookupFailure = LOOKUP_FAILURES.some((code) => isKrakenError(error, code));
    if (registry.writer === undefined || !isLookupFailure) throw error;
    registry.logger.warn(
      { err: error, repository, digest },
      'blob lookup failed; answered as unknown so that pushes go on',
    );
  }
  throw blobUnknown(digest);
}

/** `HEAD /v2/<name>/blobs/<digest>`. */
export async function headBlob(
  registry: Registry,
  context: RequestContext,
  repository: string,
  digestText: string,
): Promise<void> {
  const digest = parseDigest(digestText);
  const length = await statBlob(registry, repository, digest, context.signal);
  context.res.writeHead(200, { ...blobHeaders(digest), 'content-length': length }).end();
}

/** The `Range` header, unless `If-Range` names other content. */
function rangeHeader(context: RequestContext, digest: Digest): string | undefined {
  const { range, 'if-range': condition } = context.req.headers;
  return condition === undefined || condition === `"${digest}"` ? range : undefined;
}

/** `GET /v2/<name>/blobs/<digest>`, whole or one range. */
export async function readBlob(
  registry: Registry,
  context: RequestContext,
  repository: string,
  digestText: string,
): Promise<void> {
  const digest = parseDigest(digestText);
  const { signal } = context;
  if (isNotModified(context, digest)) {
    sendEmpty(context, 304, contentHeaders(digest));
    return;
  }
  const header = rangeHeader(context, digest);
  let range: { start: number; end: number } | undefined;
  if (header !== undefined) {
    // The source fetches only the pieces of a range, so the length has to be known before it is opened.
    const found = await registry.blobs.stat(repository, digest, signal);
    if (found === undefined) throw blobUnknown(digest);
    const wanted = parseRangeHeader(header, found.length);
    if (wanted === 'unsatisfiable') {
      const message = `range ${header.slice(0, 100)} lies outside the ${found.length} bytes of the blob`;
      sendOciErrors(context, 416, [{ code: 'SIZE_INVALID', message }], { 'content-range': `bytes */${found.length}` });
      return;
    }
    range = wanted;
  }
  const blob = await registry.blobs.open(repository, digest, { signal, ...(range === undefined ? {} : { range }) });
  try {
    const length = range === undefined ? blob.length : range.end - range.start;
    const partial =
      range === undefined ? {} : { 'content-range': `bytes ${range.start}-${range.end - 1}/${blob.length}` };
    await sendBytes(context, blob.stream(range), {
      length,
      status: range === undefined ? 200 : 206,
      headers: { ...blobHeaders(digest), ...partial },
    });
    registry.metrics.count('registry_blob_bytes_sent_total', length);
  } finally {
    blob.close();
  }
}
