/**
 * One HTTP request of a tracker client: a short body out, a bounded one back, within a time limit. Source: spec
 * tracker-agent-ring.md §9.1. Never retries, never follows redirects, takes any status.
 */
import { KrakenError } from '@kraken/core/errors';
import type { CancelSignal } from '@kraken/core/ports';
import type { Dispatcher } from 'undici';

export interface ExchangeRequest {
  /** `http://host:port`. */
  readonly origin: string;
  readonly method: 'GET' | 'POST';
  /** Sent as it is. */
  readonly path: string;
  readonly body?: string;
  /** For all of it, the response body included. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly signal?: CancelSignal | undefined;
}

export interface ExchangeResponse {
  readonly status: number;
  readonly body: Buffer;
  /** The body as UTF-8. */
  readonly text: string;
}

class WholeResponse implements ExchangeResponse {
  constructor(
    readonly status: number,
    readonly body: Buffer,
  ) {}

  get text(): string {
    return this.body.toString('utf8');
  }
}

/** A request as it goes out. */
export type SentRequest = Pick<ExchangeRequest, 'origin' | 'method' | 'path' | 'body'>;

export interface HttpAnswer {
  readonly status: number;
  /** Leaving the loop over it drops the rest. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** What carries requests. */
export interface HttpSender {
  /** @throws what went wrong before the response head came, also when `signal` is aborted */
  send(request: SentRequest, signal: AbortSignal, timeoutMs: number): Promise<HttpAnswer>;
}

/** Through a dispatcher of undici's. */
export class DispatcherRequests implements HttpSender {
  readonly #dispatcher: Dispatcher;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  async send(request: SentRequest, signal: AbortSignal, timeoutMs: number): Promise<HttpAnswer> {
    const { body = null } = request;
    const limits = { headersTimeout: timeoutMs, bodyTimeout: timeoutMs };
    const { statusCode, body: answer } = await this.#dispatcher.request({ ...request, body, signal, ...limits });
    return { status: statusCode, body: answer };
  }
}

/**
 * @throws KrakenError `network-error` (no response, or none in time), `body-too-large`, `cancelled`
 */
export async function exchange(sender: HttpSender, request: ExchangeRequest): Promise<ExchangeResponse> {
  const { origin, method, path, body, timeoutMs, maxBytes, signal } = request;
  if (isAborted(signal)) throw cancelled(signal);
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const timer = setTimeout(abort, timeoutMs);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const sent = { origin, method, path, ...(body === undefined ? {} : { body }) };
    const response = await sender.send(sent, controller.signal, timeoutMs);
    return new WholeResponse(response.status, await readBody(response.body, maxBytes));
  } catch (error) {
    if (error instanceof KrakenError) throw error;
    if (isAborted(signal)) throw cancelled(signal);
    const reason = controller.signal.aborted ? `no response within ${timeoutMs} ms` : reasonOf(error);
    throw new KrakenError('network-error', `network error: ${method} ${origin}${path}: ${reason}`, { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

async function readBody(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop destroys the body, and the connection with it.
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw new KrakenError('body-too-large', `expected a response of at most ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function isAborted(signal: CancelSignal | undefined): boolean {
  return signal?.aborted === true;
}

function cancelled(signal: CancelSignal | undefined): KrakenError {
  return new KrakenError('cancelled', 'the caller gave up', { cause: signal?.reason });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Several addresses tried: Node puts the reasons into `errors` and leaves the message empty.
  if (error.message === '' && 'code' in error) return String(error.code);
  return error.message;
}
