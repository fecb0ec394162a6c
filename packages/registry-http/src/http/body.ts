/**
 * Request bodies in, streams out. Owns back-pressure in both directions, body limits and idle limits of uploads.
 * Never buffers more than the caller allows. Source: DESIGN "HTTP"; port contract of `OpenedBlob.stream`.
 */
import { KrakenError } from '@kraken/core/errors';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Exchanged } from './respond.js';

/** An upload that delivers nothing for this long is given up. Default of nginx (`client_body_timeout`). */
const UPLOAD_IDLE_MS = 60_000;

/** `Content-Length` of a request, `undefined` when it is chunked. */
export function contentLength(req: IncomingMessage): number | undefined {
  const header = req.headers['content-length'];
  // llhttp has refused anything but digits already.
  return header === undefined ? undefined : Number(header);
}

const clientGone = (): KrakenError => new KrakenError('cancelled', 'the client closed the connection');

/**
 * A small body as a whole. The connection stays usable after a refusal.
 * @throws KrakenError `body-too-large`, `cancelled`
 */
export function readBody(req: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const tooLarge = (): KrakenError => new KrakenError('body-too-large', `expected at most ${maxBytes} bytes of body`);
  return new Promise((resolve, reject) => {
    if ((contentLength(req) ?? 0) > maxBytes) {
      reject(tooLarge());
      return;
    }
    const chunks: Buffer[] = [];
    let size = 0;
    const stop = (settle: () => void): void => {
      req.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
      clearTimeout(idle);
      settle();
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      idle.refresh();
      if (size <= maxBytes) chunks.push(chunk);
      else stop(() => reject(tooLarge()));
    };
    const onEnd = (): void =>
      stop(() => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size)));
    const onGone = (): void => stop(() => reject(clientGone()));
    const idle = setTimeout(
      () => stop(() => reject(new KrakenError('cancelled', 'the body stopped coming'))),
      UPLOAD_IDLE_MS,
    );
    if (req.destroyed && !req.readableEnded) {
      stop(() => reject(clientGone()));
      return;
    }
    req.on('data', onData).once('end', onEnd).once('error', onGone).once('close', onGone);
  });
}

/**
 * A large body as it comes. Stopping early leaves the request undestroyed, so that the handler can still answer.
 * @throws KrakenError (from the iterator) `cancelled` when the client goes away or sends nothing for `idleMs`
 */
export async function* bodyBytes(
  req: IncomingMessage,
  idleMs: number = UPLOAD_IDLE_MS,
): AsyncGenerator<Uint8Array, void, undefined> {
  const state = { stalled: false, waiting: true };
  const idle = setTimeout(() => {
    // A slow consumer is not the client's fault; the timer is armed again when the next chunk is asked for.
    if (!state.waiting) return;
    state.stalled = true;
    req.destroy();
  }, idleMs);
  try {
    // `for await` on the request itself would destroy the socket when the consumer stops early.
    for await (const chunk of req.iterator({ destroyOnReturn: false })) {
      state.waiting = false;
      yield chunk as Uint8Array;
      state.waiting = true;
      idle.refresh();
    }
  } catch (error) {
    throw new KrakenError(
      'cancelled',
      state.stalled ? `the body stopped coming for ${idleMs} ms` : clientGone().message,
      {
        cause: error,
      },
    );
  } finally {
    clearTimeout(idle);
  }
  // An aborted request may end its iterator without an error.
  if (!req.complete) throw clientGone();
}

/** Status and headers of a body of known length. */
export interface SendBytesOptions {
  /** Bytes that `stream` will yield. */
  readonly length: number;
  /** Default 200. */
  readonly status?: number;
  readonly headers?: OutgoingHttpHeaders;
}

/**
 * Streams a body of known length. The head is sent at once; each chunk is handed to the kernel before the next is asked
 * for, so chunks may be reused by the source. Ends the response on success.
 * @throws KrakenError `cancelled` (client gone), `content-truncated` (fewer or more bytes than `length`), or the source's own;
 *   in every case the connection has been destroyed
 */
export async function sendBytes(
  { res }: Exchanged,
  stream: AsyncIterable<Uint8Array>,
  options: SendBytesOptions,
): Promise<void> {
  const { length, status = 200, headers } = options;
  const iterator = stream[Symbol.asyncIterator]();
  const client = watchClient(res);
  let left = length;
  try {
    client.check();
    res.writeHead(status, { ...headers, 'content-length': length });
    res.flushHeaders();
    for (;;) {
      const next = await client.orGone<IteratorResult<Uint8Array>>((resolve, reject) => {
        iterator.next().then(resolve, reject);
      });
      if (next.done === true) break;
      if (next.value.byteLength === 0) continue;
      left -= next.value.byteLength;
      if (left < 0)
        throw new KrakenError('content-truncated', `source yielded more than the announced ${length} bytes`);
      await client.orGone<undefined>((resolve, reject) => {
        res.write(next.value, (error) => (error ? reject(clientGone()) : resolve(undefined)));
      });
    }
    if (left > 0)
      throw new KrakenError('content-truncated', `source ended ${left} bytes before the announced ${length}`);
    res.end();
  } catch (error) {
    res.destroy();
    // The source may be in the middle of a read: it is told, not waited for, and what it says to that is too late.
    void iterator.return?.().then(undefined, () => undefined);
    throw error;
  } finally {
    client.release();
  }
}

interface ClientWatch {
  /** @throws KrakenError `cancelled` */
  check(): void;
  /** Settles with `start`'s outcome, or rejects as soon as the client is gone. One listener serves all calls. */
  orGone<T>(start: (resolve: (value: T) => void, reject: (error: unknown) => void) => void): Promise<T>;
  release(): void;
}

function watchClient(res: ServerResponse): ClientWatch {
  let giveUp: ((error: KrakenError) => void) | undefined;
  const onClose = (): void => giveUp?.(clientGone());
  res.once('close', onClose);
  const check = (): void => {
    if (res.destroyed) throw clientGone();
  };
  return {
    check,
    orGone: (start) =>
      new Promise((resolve, reject) => {
        check();
        giveUp = reject;
        start(resolve, reject);
      }),
    release: () => res.off('close', onClose),
  };
}
