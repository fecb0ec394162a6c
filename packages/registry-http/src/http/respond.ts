/**
 * Small responses: text, JSON, empty, Go's error pages. Owns their headers and what happens to a request body that
 * nobody read. Never streams: see body.ts. Source: spec index-proxy-registry-config.md §0.1.
 */
import type { KrakenError } from '@kraken/core/errors';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** The two sides of an exchange; a `RequestContext` is one. */
export interface Exchanged {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

/** How long a connection may keep sending a body that was refused, so that the client gets to read the answer. */
const LINGER_MS = 2_000;

function lingerUnreadBody({ req, res }: Exchanged): void {
  if (req.complete) return;
  // Node dumps what is left of the request after the response; this bounds for how long.
  res.once('finish', () => {
    if (req.complete) return;
    const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
    timer.unref();
    req.once('close', () => clearTimeout(timer));
  });
}

/** A whole response at once. HEAD requests get the headers, `Content-Length` included, and no body. */
export function sendBuffer(
  exchange: Exchanged,
  status: number,
  body: string | Uint8Array,
  headers: OutgoingHttpHeaders = {},
): void {
  const { req, res } = exchange;
  lingerUnreadBody(exchange);
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  res.writeHead(status, { ...headers, 'content-length': bytes.byteLength });
  if (req.method === 'HEAD' || bytes.byteLength === 0) res.end();
  else res.end(bytes);
}

/** `text/plain; charset=utf-8`, as Go sniffs it; no content type when the text is empty. */
export function sendText(exchange: Exchanged, status: number, text: string, headers: OutgoingHttpHeaders = {}): void {
  sendBuffer(
    exchange,
    status,
    text,
    text === '' ? headers : { 'content-type': 'text/plain; charset=utf-8', ...headers },
  );
}

/** A status without a body. */
export function sendEmpty(exchange: Exchanged, status: number, headers: OutgoingHttpHeaders = {}): void {
  if (status === 204 || status === 304) {
    lingerUnreadBody(exchange);
    exchange.res.writeHead(status, headers).end();
    return;
  }
  sendBuffer(exchange, status, '', headers);
}

/** JSON followed by a newline, as Go's encoder writes it. */
export function sendJson(exchange: Exchanged, status: number, value: unknown, headers: OutgoingHttpHeaders = {}): void {
  sendBuffer(exchange, status, `${JSON.stringify(value)}\n`, { 'content-type': 'application/json', ...headers });
}

/** Go's answer to a path that no route knows. */
export function sendNotFound(exchange: Exchanged): void {
  sendText(exchange, 404, '404 page not found\n', { 'x-content-type-options': 'nosniff' });
}

/** Status and headers of a coded failure: the catalogue's status, `Retry-After` where a client should come back. */
export function errorHead(error: KrakenError): { status: number; headers: OutgoingHttpHeaders } {
  const status = error.httpStatus;
  return error.retry === 'later' && (status === 429 || status === 503)
    ? { status, headers: { 'retry-after': '1' } }
    : { status, headers: {} };
}

/** Go's error shape: the bare message as text. */
export function sendErrorText(exchange: Exchanged, error: KrakenError): void {
  const { status, headers } = errorHead(error);
  sendText(exchange, status, error.message, headers);
}
