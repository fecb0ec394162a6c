/** Host lists of the configuration, opened: static or DNS, with the health checks of their block. */
import { KrakenError } from '@kraken/core/errors';
import type { Logger } from '@kraken/core/ports';
import { ActiveMonitor, HostList, type HostListConfig, type HostSource, type HttpClient } from '@kraken/registry-http';
import type { OriginConfig, TrackerConfig } from '../config/component-keys.js';
import type { Lifetime } from './role.js';

type HostsConfig = OriginConfig['cluster'];
type ActiveConfig = TrackerConfig['origin'];

/** @throws KrakenError `config-invalid` naming `key` */
export async function openHosts(
  key: string,
  config: HostsConfig,
  logger: Logger,
  lifetime: Lifetime,
): Promise<HostList> {
  const hosts: HostListConfig = {
    ttlMs: config.ttl,
    ...(config.dns === '' ? {} : { dns: config.dns }),
    ...(config.static.length === 0 ? {} : { static: config.static }),
  };
  try {
    return lifetime.own(await HostList.open(hosts, { logger }), (list) => list.close());
  } catch (cause) {
    throw new KrakenError('config-invalid', `${key}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

/** Hosts with active health checks, or all of them when checks are disabled. */
export async function openActive(
  key: string,
  config: ActiveConfig,
  http: HttpClient,
  logger: Logger,
  lifetime: Lifetime,
): Promise<HostSource> {
  const source = await openHosts(`${key}.hosts`, config.hosts, logger, lifetime);
  if (config.healthcheck.disabled) return source;
  const { filter, monitor } = config.healthcheck;
  const active = new ActiveMonitor({
    source,
    http,
    health: { fails: filter.fails, passes: filter.passes },
    timeoutMs: filter.timeout,
    intervalMs: monitor.interval,
    logger,
  });
  active.start();
  return lifetime.own(active, (part) => part.close());
}
