/**
 * The HTTP client under every typed client: connection reuse, TLS, time and size limits, coded failures.
 * Never retries and never follows redirects: callers decide. Source: spec index-proxy-registry-config.md §0.2,
 * tracker-agent-ring.md §9.1.
 *
 * Differs from Go: connections are reused with TLS too, and timeouts bound silence instead of the whole body.
 */
import { createSecureContext } from 'node:tls';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { CancelSignal } from '@kraken/core/ports';
import type { buildConnector, Dispatcher } from 'undici';
import { undici } from './undici.js';

/** PEM texts. Verification is on unless switched off. */
export interface TlsClientOptions {
  readonly ca?: readonly (string | Buffer)[];
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly passphrase?: string;
  /** Name expected in every peer's certificate (Kraken `tls.name`); default: the host that is dialled. */
  readonly serverName?: string;
  readonly rejectUnauthorized?: boolean;
}

/** Connections, their time limits, and TLS. */
export interface HttpClientOptions {
  /** Present: `https`. */
  readonly tls?: TlsClientOptions;
  /** Connections per host. Default 64. */
  readonly connections?: number;
  /** Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Default 60 s (Kraken). */
  readonly headersTimeoutMs?: number;
  /** Silence inside a body. Default 60 s. */
  readonly idleTimeoutMs?: number;
}

/** One request. */
export interface HttpRequestOptions {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream needs `content-length` in `headers`, or goes out chunked. Its chunks are copied, so it may reuse them. */
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** Statuses that are not errors. Default: 200. */
  readonly accept?: readonly number[];
  /** Until the response head. */
  readonly headersTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly signal?: CancelSignal | undefined;
}

/** An answer whose status was accepted; its body has to be read or dropped. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Single value of a header. */
  header(name: string): string | undefined;
  /** Bytes as they come; once. Errors are KrakenErrors `network-error` or `cancelled`. */
  readonly body: AsyncIterable<Uint8Array>;
  /** @throws KrakenError `body-too-large` beyond `maxBytes` (default 16 MiB) */
  bytes(maxBytes?: number): Promise<Buffer>;
  /** The body as text. @throws KrakenError `upstream-failed` beyond `maxBytes` */
  text(maxBytes?: number): Promise<string>;
  /** Drop the body; the connection is reused when little is left. */
  discard(): Promise<void>;
}

/** `detail` of an `upstream-failed` error. */
export interface UpstreamFailure {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  /** First 64 KiB. */
  readonly body: string;
}

/** Requests to hosts of a cluster, over connections that are kept. */
export interface HttpClient {
  readonly scheme: 'http' | 'https';
  readonly dispatcher: Dispatcher;
  /**
   * @param host `host:port`
   * @param path escaped, with query
   * @throws KrakenError `network-error`, `cancelled`, `upstream-failed` (detail: {@link UpstreamFailure})
   */
  request(host: string, path: string, options?: HttpRequestOptions): Promise<HttpResponse>;
  /** Replace certificates and authorities for connections to come. Without effect on a client of plain HTTP. @throws KrakenError `config-invalid` */
  reloadTls(tls: TlsClientOptions): void;
  /** End all connections. */
  close(): Promise<void>;
}

const ERROR_BODY_BYTES_MAX = 65_536;
const BODY_BYTES_MAX = 16_777_216;

/** The status that another service answered, when `error` says so. */
export function upstreamFailure(error: unknown): UpstreamFailure | undefined {
  return isKrakenError(error, 'upstream-failed') ? (error.detail as UpstreamFailure) : undefined;
}

function transportError(error: unknown, signal: CancelSignal | undefined, what: string): KrakenError {
  if (isKrakenError(error)) return error;
  if (signal?.aborted === true)
    return new KrakenError('cancelled', `${what}: given up by the caller`, { cause: error });
  const reason = error instanceof Error ? (error.message === '' ? error.name : error.message) : String(error);
  return new KrakenError('network-error', `${what}: network error: ${reason}`, { cause: error });
}

/** undici asks for the next chunk before the last one reached the kernel; sources may reuse their buffers. */
async function* copied(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of source) yield Buffer.from(chunk);
}

class UndiciResponse implements HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;

  constructor(
    private readonly data: Dispatcher.ResponseData,
    private readonly what: string,
    private readonly signal: CancelSignal | undefined,
  ) {
    this.status = data.statusCode;
    this.headers = data.headers;
  }

  header(name: string): string | undefined {
    const value = this.headers[name];
    return typeof value === 'string' ? value : value?.[0];
  }

  get body(): AsyncIterable<Uint8Array> {
    return this.#stream();
  }

  async *#stream(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of this.data.body) yield chunk as Uint8Array;
    } catch (error) {
      throw transportError(error, this.signal, this.what);
    }
  }

  async bytes(maxBytes: number = BODY_BYTES_MAX): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.#stream()) {
      size += chunk.byteLength;
      if (size > maxBytes)
        throw new KrakenError('body-too-large', `${this.what}: expected at most ${maxBytes} bytes of response`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, size);
  }

  async text(maxBytes?: number): Promise<string> {
    return (await this.bytes(maxBytes)).toString('utf8');
  }

  /** The beginning of an error body; failures to read it do not hide the status. */
  async beginning(): Promise<string> {
    const chunks: Uint8Array[] = [];
    let left = ERROR_BODY_BYTES_MAX;
    try {
      for await (const chunk of this.#stream()) {
        chunks.push(chunk.subarray(0, left));
        left -= chunk.byteLength;
        if (left <= 0) break;
      }
    } catch (error) {
      if (this.signal?.aborted === true) throw error;
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  async discard(): Promise<void> {
    await this.data.body.dump({ limit: ERROR_BODY_BYTES_MAX }).catch((error: unknown) => {
      throw transportError(error, this.signal, this.what);
    });
  }
}

/** @throws KrakenError `config-invalid` when certificate and key cannot be used */
function createConnector(timeoutMs: number, tls: TlsClientOptions | undefined): buildConnector.connector {
  const options = {
    ...(tls?.ca === undefined ? {} : { ca: [...tls.ca] }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    ...(tls?.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
  };
  try {
    if (tls !== undefined) createSecureContext(options);
  } catch (cause) {
    throw new KrakenError('config-invalid', `TLS client certificate or key cannot be used: ${String(cause)}`, {
      cause,
    });
  }
  return undici().buildConnector({
    timeout: timeoutMs,
    ...options,
    ...(tls === undefined ? {} : { rejectUnauthorized: tls.rejectUnauthorized ?? true }),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
  });
}

/** A client with its own connections; share one per set of peers and close it at the end. */
export function createHttpClient(options: HttpClientOptions = {}): HttpClient {
  const scheme = options.tls === undefined ? 'http' : 'https';
  const connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
  // At once with TLS: a certificate that cannot be used is found out at the start.
  let connector = options.tls === undefined ? undefined : createConnector(connectTimeoutMs, options.tls);
  let agent: Dispatcher | undefined;
  const dispatcher = (): Dispatcher =>
    (agent ??= new (undici().Agent)({
      connections: options.connections ?? 64,
      headersTimeout: options.headersTimeoutMs ?? 60_000,
      bodyTimeout: options.idleTimeoutMs ?? 60_000,
      connect: (target, connected) => {
        connector ??= createConnector(connectTimeoutMs, undefined);
        connector(target, connected);
      },
    }));
  return {
    scheme,
    get dispatcher() {
      return dispatcher();
    },
    async request(host, path, request = {}) {
      const { method = 'GET', accept = [200], signal, body } = request;
      const url = `${scheme}://${host}${path}`;
      const what = `${method} ${url}`;
      if (signal?.aborted === true) throw new KrakenError('cancelled', `${what}: given up by the caller`);
      let data: Dispatcher.ResponseData;
      try {
        data = await dispatcher().request({
          origin: `${scheme}://${host}`,
          path,
          method,
          ...(request.headers === undefined ? {} : { headers: { ...request.headers } }),
          body:
            body === undefined || typeof body === 'string' || body instanceof Uint8Array
              ? (body ?? null)
              : (copied(body) as never),
          ...(request.headersTimeoutMs === undefined ? {} : { headersTimeout: request.headersTimeoutMs }),
          ...(request.idleTimeoutMs === undefined ? {} : { bodyTimeout: request.idleTimeoutMs }),
          ...(signal === undefined ? {} : { signal: signal }),
        });
      } catch (error) {
        throw transportError(error, signal, what);
      }
      const response = new UndiciResponse(data, what, signal);
      if (accept.includes(response.status)) return response;
      const text = await response.beginning();
      const detail: UpstreamFailure = { method, url, status: response.status, body: text };
      throw new KrakenError('upstream-failed', `${what} ${response.status}${text === '' ? '' : `: ${text}`}`, {
        detail,
      });
    },
    reloadTls(tls) {
      if (options.tls !== undefined) connector = createConnector(connectTimeoutMs, tls);
    },
    close: () => agent?.close() ?? Promise.resolve(),
  };
}
