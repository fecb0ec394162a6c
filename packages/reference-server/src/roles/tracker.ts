/** The tracker role: who has what. Wiring only. */
import { KrakenError } from '@kraken/core/errors';
import { PEER_ORDERS, type PeerOrderName } from '@kraken/core/policy';
import { createTrackerHandler } from '@kraken/p2p';
import { OriginClusterClient } from '@kraken/registry-http';
import type { TrackerConfig } from '../config/component-keys.js';
import { openPort } from './listen.js';
import { warnAtStart, withLifetime, type RoleContext, type RunningRole } from './role.js';
import { openTls } from './tls.js';
import { openActive } from './upstreams.js';

export interface TrackerFlags {
  readonly port: number;
}

/** @throws KrakenError `config-invalid`; system errors of the listening socket */
export async function startTracker(
  config: TrackerConfig,
  flags: TrackerFlags,
  context: RoleContext,
): Promise<RunningRole> {
  const { logger } = context;
  return withLifetime(logger, async (lifetime) => {
    const tls = openTls(config.tls, logger, lifetime);
    warnAtStart(context, tls.server !== undefined);
    const { http } = tls;
    const origins = new OriginClusterClient({
      source: await openActive('origin', config.origin, http, logger, lifetime),
      http,
      logger,
    });
    const handler = createTrackerHandler({
      origins,
      peerOrder: peerOrderOf(config.peerhandoutpolicy.priority),
      announceIntervalMs: config.trackerserver.announce_interval,
      announceLimit: config.trackerserver.announce_limit,
      peers: { ttlMs: config.peerstore.local.ttl },
      logger,
    });
    const server = await openPort({ handler, port: flags.port, access: config.access, tls }, logger, lifetime);
    return {
      role: 'tracker',
      ports: { tracker: server.port },
      reloadTls: () => tls.reload(),
      close: (graceMs) => lifetime.close(graceMs),
    };
  });
}

/** @throws KrakenError `config-invalid`, as Kraken for an unknown name */
function peerOrderOf(name: string): PeerOrderName {
  if (Object.hasOwn(PEER_ORDERS, name)) return name as PeerOrderName;
  throw new KrakenError(
    'config-invalid',
    `peerhandoutpolicy.priority: priority policy ${JSON.stringify(name)} not found; known: ${Object.keys(PEER_ORDERS).join(', ')}`,
  );
}
