/**
 * The `tls` block: files → what HTTP servers, HTTP clients and peers need, again whenever the files change.
 * Source: spec tracker-agent-ring.md §9.4; decision 0015 for peers.
 */
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { KrakenError } from '@kraken/core/errors';
import type { Logger } from '@kraken/core/ports';
import type { PeerTlsOptions } from '@kraken/p2p';
import { createHttpClient, type HttpClient, type TlsClientOptions, type TlsServerOptions } from '@kraken/registry-http';
import type { AgentConfig } from '../config/component-keys.js';
import type { Lifetime } from './role.js';
import { TlsReloader } from './tls-reload.js';

export type TlsConfig = AgentConfig['tls'];

/** Transport security of a role. */
export interface RoleTls {
  /** `undefined`: HTTP servers are plain. */
  readonly server: TlsServerOptions | undefined;
  /** The client for all calls to other components; closed with the role. */
  readonly http: HttpClient;
  /** `undefined`: peers speak plain TCP. */
  readonly peer: PeerTlsOptions | undefined;
  /** Call `use` with what the files hold after each change. */
  onServerChange(use: (tls: TlsServerOptions) => void): void;
  onPeerChange(use: (tls: PeerTlsOptions) => void): void;
  /** Look at the files now. */
  reload(): Promise<void>;
}

/**
 * Read the files, and go on looking at them.
 * @throws KrakenError `config-invalid` for a missing path or an unreadable file
 */
export function openTls(tls: TlsConfig, logger: Logger, lifetime: Lifetime): RoleTls {
  const reloader = lifetime.own(new TlsReloader(filesOf(tls), tls.reload_interval, logger), (part) => part.close());
  const server = tlsServerOptions(tls);
  const client = tlsClientOptions(tls);
  const peer = peerTlsOptions(tls);
  const http = lifetime.own(createHttpClient(client === undefined ? {} : { tls: client }), (part) => part.close());
  if (client !== undefined) {
    reloader.add('HTTP clients', () => {
      const next = tlsClientOptions(tls);
      if (next !== undefined) http.reloadTls(next);
    });
  }
  return {
    server,
    http,
    peer,
    onServerChange: (use) =>
      reloader.add('an HTTP server', () => {
        const next = tlsServerOptions(tls);
        if (next !== undefined) use(next);
      }),
    onPeerChange: (use) =>
      reloader.add('the peer port', () => {
        const next = peerTlsOptions(tls);
        if (next !== undefined) use(next);
      }),
    reload: () => reloader.check(),
  };
}

/**
 * @returns `undefined` when the server is plain
 * @throws KrakenError `config-invalid` for a missing path or an unreadable file
 */
export function tlsServerOptions(tls: TlsConfig): TlsServerOptions | undefined {
  if (tls.server.disabled) return undefined;
  return {
    ...identityOf(tls.server, 'tls.server'),
    ca: authoritiesOf(tls.cas, 'tls.cas'),
    clientCertificates: tls.cas.length > 0 ? 'kraken' : 'none',
  };
}

/** @returns `undefined` when other components are called over plain HTTP */
function tlsClientOptions(tls: TlsConfig): TlsClientOptions | undefined {
  if (tls.client.disabled) return undefined;
  return {
    // In addition to the authorities that Node trusts, as in Kraken.
    ...(tls.cas.length === 0 ? {} : { ca: [...rootCertificates, ...authoritiesOf(tls.cas, 'tls.cas')] }),
    ...(tls.client.cert.path === '' ? {} : identityOf(tls.client, 'tls.client')),
    ...(tls.name === '' ? {} : { serverName: tls.name }),
  };
}

/**
 * @returns `undefined` when peers speak plain TCP
 * @throws KrakenError `config-invalid` also for an unknown mode
 */
export function peerTlsOptions(tls: TlsConfig): PeerTlsOptions | undefined {
  const { peer } = tls;
  const { mode } = peer;
  if (mode === 'off') return undefined;
  if (mode !== 'required' && mode !== 'preferred') {
    throw new KrakenError(
      'config-invalid',
      `tls.peer.mode: expected required, preferred or off, got ${JSON.stringify(mode)}`,
    );
  }
  const own = peer.cas.length > 0;
  return {
    mode,
    ...identityOf(peer, 'tls.peer'),
    ca: authoritiesOf(own ? peer.cas : tls.cas, own ? 'tls.peer.cas' : 'tls.cas'),
    ...(peer.name === '' ? {} : { name: peer.name }),
  };
}

interface PathKey {
  readonly path: string;
}
interface IdentityKeys {
  readonly cert: PathKey;
  readonly key: PathKey;
  readonly passphrase: PathKey;
}

function identityOf(
  { cert, key, passphrase }: IdentityKeys,
  block: string,
): { cert: Buffer; key: Buffer; passphrase?: string } {
  return {
    cert: readPem(cert.path, `${block}.cert.path`),
    key: readPem(key.path, `${block}.key.path`),
    ...(passphrase.path === ''
      ? {}
      : { passphrase: readPem(passphrase.path, `${block}.passphrase.path`).toString('utf8').trim() }),
  };
}

function authoritiesOf(cas: readonly PathKey[], key: string): Buffer[] {
  return cas.map(({ path }, i) => readPem(path, `${key}[${i}].path`));
}

function readPem(path: string, key: string): Buffer {
  if (path === '') throw new KrakenError('config-invalid', `${key}: required unless TLS is disabled`);
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new KrakenError('config-invalid', `${key}: cannot read ${path}: ${String(cause)}`, { cause });
  }
}

/** Every file that counts under `tls`. */
function filesOf(tls: TlsConfig): string[] {
  const identity = ({ cert, key, passphrase }: IdentityKeys): PathKey[] => [cert, key, passphrase];
  const keys = [
    ...tls.cas,
    ...(tls.server.disabled ? [] : identity(tls.server)),
    ...(tls.client.disabled ? [] : identity(tls.client)),
    ...(tls.peer.mode === 'off' ? [] : [...tls.peer.cas, ...identity(tls.peer)]),
  ];
  return [...new Set(keys.map(({ path }) => path).filter((path) => path !== ''))];
}
