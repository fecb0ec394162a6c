/** Responses in the registry's shapes: error envelope, conditional requests. Never decides what went wrong. */
import type { KrakenError } from '@kraken/core/errors';
import { ociErrorBody, ociErrorsOf, type OciError } from '@kraken/core/oci';
import type { OutgoingHttpHeaders } from 'node:http';
import { errorHead, sendBuffer, type RequestContext } from '../http/index.js';

/** The OCI error envelope with a status of the caller's choice. */
export function sendOciErrors(
  context: RequestContext,
  status: number,
  errors: readonly OciError[],
  headers: OutgoingHttpHeaders = {},
): void {
  sendBuffer(context, status, ociErrorBody(errors), { 'content-type': 'application/json', ...headers });
}

/** The OCI error envelope for a coded failure. */
export function sendOciError(context: RequestContext, error: KrakenError): void {
  const { status, headers } = errorHead(error);
  sendOciErrors(context, status, ociErrorsOf(error), headers);
}

/** True when the client's `If-None-Match` names `digest`, quoted or not, weak or not. */
export function isNotModified(context: RequestContext, digest: string): boolean {
  const header = context.req.headers['if-none-match'];
  if (header === undefined) return false;
  return header.split(',').some((part) => {
    const etag = part.trim().replace(/^W\//, '');
    return etag === '*' || etag === digest || etag === `"${digest}"`;
  });
}
