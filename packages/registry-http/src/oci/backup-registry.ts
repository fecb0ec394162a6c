/**
 * A second registry that answers pulls which this node cannot (Kraken: `registry_backup`). Owns the pass-through of one
 * GET or HEAD; never of anything that writes. Source: spec index-proxy-registry-config.md §5.3.
 */
import { isKrakenError, type KrakenError } from '@kraken/core/errors';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { sendBuffer, sendBytes, type HttpClient, type RequestContext } from '../http/index.js';

/** Answers a request that failed here. @returns whether it has answered; false leaves the request as it was */
export type BackupRegistry = (context: RequestContext, error: KrakenError) => Promise<boolean>;

/** What nginx takes to the next upstream: 404, 500 and whatever means that the first one is unwell. */
function isWorthAnotherTry(error: KrakenError): boolean {
  return error.httpStatus === 404 || (error.httpStatus >= 500 && error.code !== 'shutting-down');
}

const FORWARDED_REQUEST = ['accept', 'range', 'if-none-match', 'if-range', 'user-agent'] as const;
const FORWARDED_RESPONSE = [
  'content-type',
  'content-range',
  'accept-ranges',
  'docker-content-digest',
  'etag',
  'cache-control',
  'link',
] as const;

function picked(
  headers: Readonly<Record<string, string | string[] | undefined>> | IncomingHttpHeaders,
  names: readonly string[],
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') kept[name] = value;
  }
  return kept;
}

/**
 * Another registry as the backup.
 * @param host `host:port` of the other registry
 * @param headersTimeoutMs default 60 s
 */
export function createBackupRegistry(http: HttpClient, host: string, headersTimeoutMs = 60_000): BackupRegistry {
  return async (context, error) => {
    const { req, res, signal } = context;
    const method = req.method;
    if ((method !== 'GET' && method !== 'HEAD') || !isWorthAnotherTry(error)) return false;
    let response;
    try {
      response = await http.request(host, req.url ?? '/', {
        method,
        headers: picked(req.headers, FORWARDED_REQUEST),
        accept: [200, 206, 304],
        headersTimeoutMs,
        signal,
      });
    } catch (failure) {
      if (isKrakenError(failure, 'cancelled')) throw failure;
      return false;
    }
    const headers: OutgoingHttpHeaders = picked(response.headers, FORWARDED_RESPONSE);
    const length = response.header('content-length');
    if (method === 'HEAD' || response.status === 304) {
      await response.discard();
      res
        .writeHead(response.status, { ...headers, ...(length === undefined ? {} : { 'content-length': length }) })
        .end();
    } else if (length !== undefined) {
      await sendBytes(context, response.body, { length: Number(length), status: response.status, headers });
    } else {
      sendBuffer(context, response.status, await response.bytes(), headers);
    }
    return true;
  };
}
