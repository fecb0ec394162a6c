/** The origin role: a seeder on the hash ring, in front of storage. Wiring only. */
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { createBackendManager } from '@kraken/backends';
import { choosePieceLength, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { RetrySchedule } from '@kraken/core/retry';
import { createPeerNode, DiskStore, type PeerNode } from '@kraken/p2p';
import {
  ActiveMonitor,
  createOriginHandler,
  HashRing,
  OriginClient,
  OriginClusterClient,
  OriginService,
} from '@kraken/registry-http';
import type { OriginConfig } from '../config/component-keys.js';
import { diskCleanup } from './disk-cleanup.js';
import { ProcessMonitor } from '../telemetry/process-stats.js';
import { openPort } from './listen.js';
import { withNodeStats } from './node-stats.js';
import { warnAtStart, withLifetime, type RoleContext, type RunningRole } from './role.js';
import { refusePendingTasks } from './pending-tasks.js';
import { parseJson, reconfigure } from './reconfigure.js';
import { bandwidthOf, networkEventsOf, peerIdOf, peerIpOf, recordOf, swarmSettings } from './swarm-settings.js';
import { openTls } from './tls.js';
import { openHosts } from './upstreams.js';

export interface OriginFlags {
  readonly blobServerPort: number;
  readonly blobServerHostname?: string;
  readonly peerIp?: string;
  readonly peerPort: number;
  readonly zone?: string;
  readonly cluster?: string;
  /** File of a recording; replaces `record.path`. */
  readonly record?: string;
}

export interface RunningOrigin extends RunningRole {
  readonly node: PeerNode;
}

/** @throws KrakenError `config-invalid`, `not-ready`; system errors of the listening sockets */
export async function startOrigin(
  config: OriginConfig,
  flags: OriginFlags,
  context: RoleContext,
): Promise<RunningOrigin> {
  const { logger } = context;
  return withLifetime(logger, async (lifetime) => {
    const tls = openTls(config.tls, logger, lifetime);
    warnAtStart(context, tls.server !== undefined);
    const pieceLengths = Object.entries(config.metainfogen.piece_lengths).map(
      ([size, length]) => [Number(size), length] as const,
    );
    if (pieceLengths.length === 0)
      throw new KrakenError('config-invalid', 'metainfogen.piece_lengths: no piece lengths configured');
    const { http } = tls;
    const backends =
      config.backends.length === 0
        ? undefined
        : lifetime.own(createBackendManager(config.backends, { auth: config.auth, logger }), (manager) =>
            manager.close(),
          );

    const hosts = await openHosts('cluster', config.cluster, logger, lifetime);
    const health = lifetime.own(
      new ActiveMonitor({
        source: hosts,
        http,
        health: { fails: config.healthcheck.fails, passes: config.healthcheck.passes },
        timeoutMs: config.healthcheck.timeout,
        intervalMs: config.hashring.refresh_interval,
        logger,
      }),
      (part) => part.close(),
    );
    const ring = lifetime.own(
      new HashRing({
        members: health,
        self: selfIn(hosts.hosts(), flags),
        maxReplica: config.hashring.max_replica,
      }),
      (part) => part.close(),
    );

    const { upload_dir: uploadDir, cache_dir: cacheDir } = config.castore;
    if (uploadDir === '' || cacheDir === '')
      throw new KrakenError('config-invalid', 'castore: upload_dir and cache_dir are required');
    for (const directory of [uploadDir, cacheDir]) mkdirSync(directory, { recursive: true });
    const store = lifetime.own(
      await DiskStore.open({
        cacheDir,
        uploadDir,
        cleanup: diskCleanup(config.castore.cache_cleanup),
        pieceLayer: config.integrity.piece_layer,
        logger,
      }),
      (part) => part.close(),
    );
    if (config.localdb.source === '') throw new KrakenError('config-invalid', 'localdb.source: required');
    refusePendingTasks(config.localdb.source);

    const service = lifetime.own(
      await OriginService.open({
        store,
        pieceLayer: config.integrity.piece_layer,
        ...(backends === undefined ? {} : { backends }),
        ring,
        peer: (address) => new OriginClient({ http, address }),
        stateDirectory: `${config.localdb.source}.journal`,
        pieceLengthFor: (length) => choosePieceLength(pieceLengths, length),
        remoteCluster: (hostPort) => new OriginClusterClient({ source: remoteSource(hostPort), http, logger }),
        writeBackStaggerMs: config.blobserver.duplicate_write_back_stagger,
        refresh: { sizeLimitBytes: config.blobrefresh.size_limit },
        schedule: new RetrySchedule({
          initialMs: config.writeback.retry_interval,
          maxMs: 32 * config.writeback.retry_interval,
        }),
        logger,
      }),
      (part) => part.close(),
    );

    // A peer's question cannot wait for storage: it comes back, and finds the blob then.
    const refreshFor = async (namespace: string, digest: Digest): Promise<void> => {
      try {
        await service.fetchForPeer(namespace, digest);
      } catch (error) {
        logger.warn({ err: error, digest, namespace }, 'a blob that a peer asked for cannot be fetched');
      }
    };
    const peerId = peerIdOf(config.peer_id_factory);
    const node = lifetime.own(
      await createPeerNode({
        store,
        peer: {
          ip: peerIpOf(flags.peerIp),
          port: flags.peerPort,
          origin: true,
          zone: flags.zone ?? '',
          cluster: flags.cluster ?? '',
          ...(peerId === undefined ? {} : { peerId }),
        },
        listen: { port: flags.peerPort, ...(config.access.listen === '' ? {} : { host: config.access.listen }) },
        swarm: swarmSettings(config.scheduler),
        bandwidth: bandwidthOf(config.scheduler),
        tls: tls.peer,
        networkEvents: networkEventsOf(config.network_event),
        record: recordOf(config.record, flags.record),
        lookupMissing: (namespace, digest) => void refreshFor(namespace, digest),
        logger,
      }),
      (part) => part.close(),
    );

    tls.onPeerChange((next) => node.reloadTls(next));

    const handler = createOriginHandler({
      service,
      peerContext: node.context,
      // Without the block Kraken's policy holds, and `warnAtStart` has said so.
      allowRemote: (remote) => !context.hasAccessBlock || config.access.remote_clusters.includes(remote),
      reloadScheduler: (json) => Promise.resolve(reconfigure(node, parseJson(json), logger)),
      logger,
    });
    const monitor = lifetime.own(new ProcessMonitor(), (part) => part.close());
    const server = await openPort(
      { handler: withNodeStats(handler, node, monitor), port: flags.blobServerPort, access: config.access, tls },
      logger,
      lifetime,
    );
    health.start();
    await ring.waitForSelf(config.hashring.membership_wait_timeout, config.hashring.membership_wait_interval);
    service.start();
    return {
      role: 'origin',
      ports: { 'blob server': server.port, peer: node.port },
      node,
      reloadTls: () => tls.reload(),
      close: (graceMs) => lifetime.close(graceMs),
    };
  });
}

/** This origin as the host list names it: `hostname:port`, else `ip:port` (Kraken's membership check). */
function selfIn(hosts: readonly string[], flags: OriginFlags): string {
  const byName = `${flags.blobServerHostname ?? hostname()}:${flags.blobServerPort}`;
  if (hosts.includes(byName)) return byName;
  const byAddress = `${peerIpOf(flags.peerIp)}:${flags.blobServerPort}`;
  return hosts.includes(byAddress) || flags.blobServerHostname === undefined ? byAddress : byName;
}

/** The origins behind one `host:port` of another cluster, as it stands. */
function remoteSource(hostPort: string): { hosts(): readonly string[] } {
  return { hosts: () => [hostPort] };
}
