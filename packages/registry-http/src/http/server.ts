/**
 * A listening HTTP or HTTPS server: limits, timeouts, TLS, access policy, drain. What nginx does in front of Go.
 * Never routes. Source: spec index-proxy-registry-config.md §5.1, §5.2, §5.4.
 */
import { KrakenError } from '@kraken/core/errors';
import { silentLogger, type Logger } from '@kraken/core/ports';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { AddressInfo, DropArgument } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import type { AccessPolicy } from './access.js';
import { sendEmpty } from './respond.js';
import type { HttpHandler } from './router.js';

/** PEM texts. */
export interface TlsServerOptions {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  readonly passphrase?: string;
  /** Authorities of client certificates. */
  readonly ca?: readonly (string | Buffer)[];
  /** `kraken`: ask for a certificate at the handshake, let the access policy decide per request. Default `none`. */
  readonly clientCertificates?: 'kraken' | 'none';
}

/** What listens where, for whom. */
export interface ListenOptions {
  readonly handler: HttpHandler;
  /** Default: all interfaces. */
  readonly host?: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly tls?: TlsServerOptions;
  readonly access?: AccessPolicy;
  /** Open connections; further ones are closed at once. Default 8192 (four nginx workers of 2048). */
  readonly connectionsMax?: number;
  /** A request head must be complete in this time. Default 30 s. */
  readonly headersTimeoutMs?: number;
  /** An idle connection is kept for the next request. Default 65 s (nginx). */
  readonly keepAliveTimeoutMs?: number;
  /** A connection on which nothing moves in either direction. Default 10 min (Kraken's agent registry). */
  readonly idleTimeoutMs?: number;
  /** Default 16 KiB. */
  readonly headerBytesMax?: number;
  readonly logger?: Logger;
}

/** A server that listens. */
export interface ListeningServer {
  readonly port: number;
  /** Replace certificate, key and authorities for connections to come. @throws KrakenError `config-invalid` */
  reloadTls(tls: TlsServerOptions): void;
  /** Stop accepting, let requests in flight finish for up to `graceMs`, then cut. Safe to call twice. */
  close(graceMs?: number): Promise<void>;
}

function secureContext(tls: TlsServerOptions): SecureContextOptions {
  if (tls.clientCertificates === 'kraken' && (tls.ca === undefined || tls.ca.length === 0)) {
    // Without own authorities Node would trust any certificate that a public authority signed.
    throw new KrakenError('config-invalid', 'client certificates need at least one certificate authority');
  }
  return {
    cert: tls.cert,
    key: tls.key,
    minVersion: 'TLSv1.2',
    ...(tls.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
    ...(tls.ca === undefined ? {} : { ca: [...tls.ca] }),
  };
}

/** Node's errors about unreadable certificates and keys, as configuration problems. */
function withTlsErrors<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof KrakenError) throw error;
    throw new KrakenError(
      'config-invalid',
      `TLS certificate or key cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}

function createNodeServer(options: ListenOptions, onRequest: HttpHandler): Server | TlsServer {
  const limits = {
    // Uploads take as long as they take; `idleTimeoutMs` ends those that do not move.
    requestTimeout: 0,
    headersTimeout: options.headersTimeoutMs ?? 30_000,
    keepAliveTimeout: options.keepAliveTimeoutMs ?? 65_000,
    maxHeaderSize: options.headerBytesMax ?? 16_384,
    connectionsCheckingInterval: 5_000,
    noDelay: true,
  };
  const { tls } = options;
  if (tls === undefined) return createServer(limits, onRequest);
  return withTlsErrors(() =>
    createTlsServer(
      { ...limits, ...secureContext(tls), requestCert: tls.clientCertificates === 'kraken', rejectUnauthorized: false },
      onRequest,
    ),
  );
}

/**
 * Listen. Resolves once the port is bound.
 * @throws KrakenError `config-invalid` (TLS); system errors such as `EADDRINUSE` as they are
 */
export async function listenHttp(options: ListenOptions): Promise<ListeningServer> {
  const { handler, access, logger = silentLogger } = options;
  let draining = false;

  const server = createNodeServer(options, (req: IncomingMessage, res: ServerResponse) => {
    if (draining) res.setHeader('connection', 'close');
    const refusal = access?.check(req);
    if (refusal === undefined) {
      handler(req, res);
      return;
    }
    logger.info(
      {
        status: refusal.status,
        method: req.method,
        url: req.url,
        remote: req.socket.remoteAddress,
        reason: refusal.reason,
      },
      'request refused by the access policy',
    );
    sendEmpty({ req, res }, refusal.status);
  });
  server.timeout = options.idleTimeoutMs ?? 600_000;
  server.maxConnections = options.connectionsMax ?? 8_192;
  server.on('drop', (data?: DropArgument) =>
    logger.warn({ remote: data?.remoteAddress, limit: server.maxConnections }, 'connection dropped: limit reached'),
  );
  server.on('tlsClientError', (error: Error) => logger.debug({ err: error }, 'TLS handshake failed'));

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: options.port, ...(options.host === undefined ? {} : { host: options.host }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => logger.error({ err: error }, 'HTTP server failed'));

  let closed: Promise<void> | undefined;
  return {
    port: (server.address() as AddressInfo).port,
    reloadTls(tls) {
      if (server instanceof TlsServer) withTlsErrors(() => server.setSecureContext(secureContext(tls)));
    },
    close(graceMs = 0) {
      closed ??= new Promise<void>((resolve) => {
        draining = true;
        // Connections become idle one by one as their requests finish.
        const sweep = setInterval(() => server.closeIdleConnections(), 50);
        const cut = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearInterval(sweep);
          clearTimeout(cut);
          resolve();
        });
        server.closeIdleConnections();
      });
      return closed;
    },
  };
}
