/** The `tls` block: files → what HTTP servers and clients need. Source: spec tracker-agent-ring.md §9.4. */
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { KrakenError } from '@kraken/core/errors';
import { createHttpClient, type HttpClient, type TlsServerOptions } from '@kraken/registry-http';
import type { AgentConfig } from '../config/component-keys.js';

export type TlsConfig = AgentConfig['tls'];

/**
 * @returns `undefined` when the server is plain
 * @throws KrakenError `config-invalid` for a missing path or an unreadable file
 */
export function tlsServerOptions(tls: TlsConfig): TlsServerOptions | undefined {
  if (tls.server.disabled) return undefined;
  const { cert, key, passphrase } = tls.server;
  return {
    cert: readPem(cert.path, 'tls.server.cert.path'),
    key: readPem(key.path, 'tls.server.key.path'),
    ca: tls.cas.map(({ path }, i) => readPem(path, `tls.cas[${i}].path`)),
    clientCertificates: tls.cas.length > 0 ? 'kraken' : 'none',
    ...(passphrase.path === '' ? {} : { passphrase: readPassphrase(passphrase.path, 'tls.server.passphrase.path') }),
  };
}

/** The client for all calls to other components. The caller closes it. */
export function httpClientOf(tls: TlsConfig): HttpClient {
  if (tls.client.disabled) return createHttpClient();
  const { cert, key, passphrase } = tls.client;
  return createHttpClient({
    tls: {
      // In addition to the authorities that Node trusts, as in Kraken.
      ...(tls.cas.length === 0
        ? {}
        : { ca: [...rootCertificates, ...tls.cas.map(({ path }, i) => readPem(path, `tls.cas[${i}].path`))] }),
      ...(cert.path === ''
        ? {}
        : { cert: readPem(cert.path, 'tls.client.cert.path'), key: readPem(key.path, 'tls.client.key.path') }),
      ...(passphrase.path === '' ? {} : { passphrase: readPassphrase(passphrase.path, 'tls.client.passphrase.path') }),
      ...(tls.name === '' ? {} : { serverName: tls.name }),
    },
  });
}

function readPem(path: string, key: string): Buffer {
  if (path === '') throw new KrakenError('config-invalid', `${key}: required unless TLS is disabled`);
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new KrakenError('config-invalid', `${key}: cannot read ${path}: ${String(cause)}`, { cause });
  }
}

function readPassphrase(path: string, key: string): string {
  return readPem(path, key).toString('utf8').trim();
}
