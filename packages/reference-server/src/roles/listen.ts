/** One public port of a role: access policy, TLS, handler, drain. */
import type { Logger } from '@kraken/core/ports';
import { createAccessPolicy, listenHttp, type HttpHandler, type ListeningServer } from '@kraken/registry-http';
import type { TrackerConfig } from '../config/component-keys.js';
import type { Lifetime } from './role.js';
import type { RoleTls } from './tls.js';

type AccessConfig = TrackerConfig['access'];

export interface PublicPort {
  readonly handler: HttpHandler;
  readonly port: number;
  readonly access: AccessConfig;
  /** Kraken's agents carry their allow-list at the top level. */
  readonly allowedCidrs?: readonly string[];
  /** Absent: always plain. */
  readonly tls: RoleTls | undefined;
}

/** Listen, and close with the role. */
export async function openPort(options: PublicPort, logger: Logger, lifetime: Lifetime): Promise<ListeningServer> {
  const { access } = options;
  const tls = options.tls?.server;
  const allowed = access.allowed_cidrs.length > 0 ? access.allowed_cidrs : options.allowedCidrs;
  const server = await listenHttp({
    handler: options.handler,
    port: options.port,
    ...(access.listen === '' ? {} : { host: access.listen }),
    ...(tls === undefined ? {} : { tls }),
    access: createAccessPolicy({
      ...(allowed === undefined ? {} : { allowedCidrs: allowed }),
      clientCertificates: tls?.clientCertificates ?? 'none',
      loopbackExempt: !access.loopback_needs_certificate,
    }),
    logger,
  });
  if (tls !== undefined) options.tls?.onServerChange((next) => server.reloadTls(next));
  return lifetime.own(server, (part, graceMs) => part.close(graceMs));
}
