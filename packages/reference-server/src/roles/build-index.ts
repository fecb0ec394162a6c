/** The build-index role: tag → digest, replication between clusters. Wiring only. */
import { createBackendManager } from '@kraken/backends';
import { createRemotes, createTagTypes, type TagPolicy } from '@kraken/core/build-index';
import { KrakenError } from '@kraken/core/errors';
import type { Logger } from '@kraken/core/ports';
import { RetrySchedule } from '@kraken/core/retry';
import {
  BuildIndexClient,
  createBuildIndexHandler,
  localAddresses,
  OriginClusterClient,
  TagService,
  TagStore,
  withoutLocal,
} from '@kraken/registry-http';
import type { BuildIndexConfig } from '../config/component-keys.js';
import { openPort } from './listen.js';
import { refusePendingTasks } from './pending-tasks.js';
import { warnAtStart, withLifetime, type Lifetime, type RoleContext, type RunningRole } from './role.js';
import { openTls } from './tls.js';
import { openActive } from './upstreams.js';

export interface BuildIndexFlags {
  readonly port: number;
}

const POLICIES: readonly TagPolicy[] = ['mutable', 'immutable', 'first-write-wins'];

/** @throws KrakenError `config-invalid`; system errors of the listening socket */
export async function startBuildIndex(
  config: BuildIndexConfig,
  flags: BuildIndexFlags,
  context: RoleContext,
): Promise<RunningRole> {
  const { logger } = context;
  return withLifetime(logger, async (lifetime) => {
    const tls = openTls(config.tls, logger, lifetime);
    warnAtStart(context, tls.server !== undefined);
    const policy = POLICIES.find((name) => name === config.tag_policy);
    if (policy === undefined) {
      throw new KrakenError(
        'config-invalid',
        `tag_policy: expected ${POLICIES.join(', ')}, got ${JSON.stringify(config.tag_policy)}`,
      );
    }
    const { upload_dir: uploadDirectory, cache_dir: cacheDirectory } = config.store;
    if (uploadDirectory === '' || cacheDirectory === '')
      throw new KrakenError('config-invalid', 'store: upload_dir and cache_dir are required');
    if (config.localdb.source === '') throw new KrakenError('config-invalid', 'localdb.source: required');
    refusePendingTasks(config.localdb.source);

    const { http } = tls;
    const originHosts = await openActive('origin', config.origin, http, logger, lifetime);
    const neighbours = await openActive('cluster', config.cluster, http, logger, lifetime);
    const backends = lifetime.own(createBackendManager(config.backends, { auth: config.auth, logger }), (manager) =>
      manager.close(),
    );
    const service = lifetime.own(
      await TagService.open({
        store: await TagStore.open({ cacheDirectory, uploadDirectory }),
        backends,
        origins: new OriginClusterClient({ source: originHosts, http, logger }),
        tagTypes: createTagTypes(config.tag_types),
        remotes: createRemotes(config.remotes),
        remote: (address) => BuildIndexClient.of(address, http),
        neighbours: withoutLocal(neighbours, localAddresses(flags.port)),
        neighbour: (address) => BuildIndexClient.of(address, http),
        stateDirectory: `${config.localdb.source}.journal`,
        policy,
        writeThrough: config.tag_store.write_through,
        putStaggerMs: config.tagserver.duplicate_put_stagger,
        replicateStaggerMs: config.tagserver.duplicate_replicate_stagger,
        schedule: new RetrySchedule({
          initialMs: config.writeback.retry_interval,
          maxMs: 32 * config.writeback.retry_interval,
        }),
        logger,
      }),
      (part) => part.close(),
    );
    const handler = createBuildIndexHandler({
      service,
      // A name stays right when hosts change; Go fixes one random host of a static list at start.
      originAddress: () => config.origin.hosts.dns || (originHosts.hosts()[0] ?? ''),
      logger,
    });
    const server = await openPort({ handler, port: flags.port, access: config.access, tls }, logger, lifetime);
    service.start();
    sweepTags(service, config.store.cache_cleanup, logger, lifetime);
    return {
      role: 'build-index',
      ports: { 'build-index': server.port },
      reloadTls: () => tls.reload(),
      close: (graceMs) => lifetime.close(graceMs),
    };
  });
}

/** Drop tags from the disk that storage has, as `store.cache_cleanup` says. Counted from the put, not from the last read. */
function sweepTags(
  service: TagService,
  config: BuildIndexConfig['store']['cache_cleanup'],
  logger: Logger,
  lifetime: Lifetime,
): void {
  if (config.disabled || config.interval === 0 || config.tti === 0) return;
  const sweep = (): void => {
    service.cleanup(config.tti).catch((error: unknown) => logger.error({ err: error }, 'the tag clean-up failed'));
  };
  lifetime.own(setInterval(sweep, config.interval).unref(), (timer) => clearInterval(timer));
}
