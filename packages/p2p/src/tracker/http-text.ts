/**
 * Small HTTP bodies as text, in and out, for the tracker's handler. Owns the body limit and what happens to a body that was
 * refused. Source: spec tracker-agent-ring.md §9.2.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { KrakenError } from '@kraken/core/errors';

/** How long a connection may go on sending a body that was refused, so that the client gets to read the answer. */
const LINGER_MS = 2000;

/**
 * The body of a request.
 * @throws KrakenError `body-too-large` beyond `maxBytes`, `cancelled` when the client goes away
 */
export function readText(req: IncomingMessage, maxBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const tooLarge = (): KrakenError =>
      new KrakenError('body-too-large', `expected a body of at most ${maxBytes} bytes`);
    if (Number(req.headers['content-length'] ?? 0) > maxBytes) {
      reject(tooLarge());
      return;
    }
    const chunks: Buffer[] = [];
    let size = 0;
    let isSettled = false;
    const onGone = (): void => {
      if (!isSettled) reject(new KrakenError('cancelled', 'the client went away'));
      isSettled = true;
    };
    // The listeners stay: the request is forgotten soon, and a tracker reads too many bodies to take four off each.
    req.on('data', (chunk: Buffer) => {
      if (isSettled) return;
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else {
        isSettled = true;
        chunks.length = 0;
        reject(tooLarge());
      }
    });
    req.on('end', () => {
      if (isSettled) return;
      isSettled = true;
      const [first] = chunks;
      resolve((chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, size)).toString('utf8'));
      chunks.length = 0;
    });
    req.on('error', onGone).on('close', onGone);
  });
}

/** A whole response of text. It gets the content type that Go sniffs; an empty one gets none. */
export function sendText(
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  text: string,
  headers: OutgoingHttpHeaders = {},
): void {
  send(req, res, status, text, text === '' ? headers : { 'content-type': 'text/plain; charset=utf-8', ...headers });
}

/** A whole response. */
export function sendBody(
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  body: Uint8Array,
  headers: OutgoingHttpHeaders,
): void {
  send(req, res, status, body, headers);
}

/** Text goes out in one piece with the head, which saves a buffer and a part of the write. */
function send(
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  body: string | Uint8Array,
  headers: OutgoingHttpHeaders,
): void {
  if (!req.complete) {
    res.once('finish', () => {
      if (req.complete) return;
      req.resume();
      const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
      timer.unref();
      req.once('close', () => clearTimeout(timer));
    });
  }
  const bytes = Buffer.byteLength(body);
  res.writeHead(status, { ...headers, 'content-length': bytes });
  // Plain ASCII goes out as it lies in memory.
  res.end(body, bytes === body.length ? 'latin1' : 'utf8');
}
