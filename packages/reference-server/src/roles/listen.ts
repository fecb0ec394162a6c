/** One public port of a role: access policy, TLS, handler, drain. */
import type { Logger } from '@kraken/core/ports';
import {
  createAccessPolicy,
  listenHttp,
  type HttpHandler,
  type ListeningServer,
  type TlsServerOptions,
} from '@kraken/registry-http';
import type { TrackerConfig } from '../config/component-keys.js';
import type { Lifetime } from './role.js';

type AccessConfig = TrackerConfig['access'];

export interface PublicPort {
  readonly handler: HttpHandler;
  readonly port: number;
  readonly access: AccessConfig;
  /** Kraken's agents carry their allow-list at the top level. */
  readonly allowedCidrs?: readonly string[];
  readonly tls: TlsServerOptions | undefined;
}

/** Listen, and close with the role. */
export async function openPort(options: PublicPort, logger: Logger, lifetime: Lifetime): Promise<ListeningServer> {
  const { access, tls } = options;
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
  return lifetime.own(server, (part, graceMs) => part.close(graceMs));
}
