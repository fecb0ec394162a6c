/** The agent role: registry and blob API on every host, and a peer of the swarm. Wiring only. */
import { mkdirSync } from 'node:fs';
import { KrakenError } from '@kraken/core/errors';
import { createPassiveRing, createPeerNode, createTrackerClient, DiskStore, type PeerNode } from '@kraken/p2p';
import { BuildIndexClient, createAgentHandler, createRegistryHandler, PassiveHosts } from '@kraken/registry-http';
import type { AgentConfig } from '../config/component-keys.js';
import { diskCleanup } from './disk-cleanup.js';
import { ProcessMonitor } from '../telemetry/process-stats.js';
import { openPort } from './listen.js';
import { withNodeStats } from './node-stats.js';
import { warnAtStart, withLifetime, type RoleContext, type RunningRole } from './role.js';
import { reconfigure } from './reconfigure.js';
import { bandwidthOf, networkEventsOf, peerIdOf, peerIpOf, recordOf, swarmSettings } from './swarm-settings.js';
import { openTls } from './tls.js';
import { openHosts } from './upstreams.js';

export interface AgentFlags {
  readonly agentServerPort: number;
  readonly agentRegistryPort: number;
  readonly peerIp?: string;
  readonly peerPort: number;
  readonly zone?: string;
  readonly cluster?: string;
  /** File of a recording; replaces `record.path`. */
  readonly record?: string;
}

export interface RunningAgent extends RunningRole {
  readonly node: PeerNode;
}

/** @throws KrakenError `config-invalid`; system errors of the listening sockets */
export async function startAgent(config: AgentConfig, flags: AgentFlags, context: RoleContext): Promise<RunningAgent> {
  const { logger } = context;
  return withLifetime(logger, async (lifetime) => {
    const tls = openTls(config.tls, logger, lifetime);
    warnAtStart(context, tls.server !== undefined);
    const { http } = tls;

    const trackerHosts = await openHosts('tracker.hosts', config.tracker.hosts, logger, lifetime);
    const tracker = lifetime.own(
      createTrackerClient({
        ring: createPassiveRing({
          hosts: () => trackerHosts.hosts(),
          maxReplica: config.tracker.hashring.max_replica,
          fails: config.tracker.healthcheck.fails,
          failTimeoutMs: config.tracker.healthcheck.fail_timeout,
        }),
        scheme: http.scheme,
        // Plain HTTP needs no settings of the shared client, whose library is loaded only for it then.
        ...(http.scheme === 'http' ? {} : { dispatcher: http.dispatcher }),
        logger,
      }),
      (part) => part.close(),
    );
    const buildIndexHosts = await openHosts('build_index.hosts', config.build_index.hosts, logger, lifetime);
    const tags = new BuildIndexClient({
      source: lifetime.own(
        new PassiveHosts({
          source: buildIndexHosts,
          health: {
            fails: config.build_index.healthcheck.fails,
            failTimeoutMs: config.build_index.healthcheck.fail_timeout,
          },
        }),
        (part) => part.close(),
      ),
      http,
    });

    const { download_dir: downloadDir, cache_dir: cacheDir } = config.store;
    if (downloadDir === '' || cacheDir === '')
      throw new KrakenError('config-invalid', 'store: download_dir and cache_dir are required');
    for (const directory of [downloadDir, cacheDir]) mkdirSync(directory, { recursive: true });
    const store = lifetime.own(
      await DiskStore.open({ cacheDir, downloadDir, cleanup: diskCleanup(config.store.cache_cleanup), logger }),
      (part) => part.close(),
    );
    const peerId = peerIdOf(config.peer_id_factory);
    const node = lifetime.own(
      await createPeerNode({
        store,
        tracker,
        pieceLayer: config.integrity.piece_layer,
        peer: {
          ip: peerIpOf(flags.peerIp),
          port: flags.peerPort,
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
        logger,
      }),
      (part) => part.close(),
    );

    tls.onPeerChange((next) => node.reloadTls(next));

    const monitor = lifetime.own(new ProcessMonitor(), (part) => part.close());
    const agent = createAgentHandler({
      blobs: node.blobs,
      tags,
      remove: (digest) => node.remove(digest),
      probe: () => Promise.resolve(node.probe()),
      ready: [(signal) => tags.checkReady(signal), (signal) => tracker.checkReady(signal)],
      blacklist: () => node.blacklist(),
      reconfigure: (json) => Promise.resolve(reconfigure(node, json, logger)),
      logger,
    });
    const registry = createRegistryHandler({ blobs: node.blobs, tags, logger });
    const allowedCidrs = config.allowed_cidrs;
    // Kraken serves the agent API in plain text and to everybody; ours keeps the port and asks the allow-list too.
    const apiPort = await openPort(
      {
        handler: withNodeStats(agent, node, monitor),
        port: flags.agentServerPort,
        access: config.access,
        allowedCidrs,
        tls: undefined,
      },
      logger,
      lifetime,
    );
    const registryPort = await openPort(
      { handler: withHealth(registry, agent), port: flags.agentRegistryPort, access: config.access, allowedCidrs, tls },
      logger,
      lifetime,
    );
    return {
      role: 'agent',
      ports: { registry: registryPort.port, 'agent api': apiPort.port, peer: node.port },
      node,
      reloadTls: () => tls.reload(),
      close: (graceMs) => lifetime.close(graceMs),
    };
  });
}

type Handler = Parameters<typeof openPort>[0]['handler'];

/** `/health` and `/readiness` of the agent on the registry's port too, as nginx did. */
function withHealth(registry: Handler, agent: Handler): Handler {
  return (req, res) => {
    const path = (req.url ?? '/').split('?', 1)[0];
    if (path === '/health' || path === '/readiness') agent(req, res);
    else registry(req, res);
  };
}
