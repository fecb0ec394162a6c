/**
 * A whole cluster in one process on loopback: 1 tracker, 3 origins, 1 build-index, 1 proxy, 3 agents, with the file
 * backend. For development, demonstrations and tests; the roles are the same as in production.
 */
import { join } from 'node:path';
import type { Logger } from '@kraken/core/ports';
import {
  agentKeys,
  buildIndexKeys,
  originKeys,
  proxyKeys,
  trackerKeys,
  type AgentConfig,
  type BuildIndexConfig,
  type OriginConfig,
  type ProxyConfig,
  type TrackerConfig,
} from '../config/component-keys.js';
import { configFromValues } from '../config/from-values.js';
import { startAgent, type RunningAgent } from '../roles/agent.js';
import { startBuildIndex } from '../roles/build-index.js';
import { startOrigin, type RunningOrigin } from '../roles/origin.js';
import { startProxy } from '../roles/proxy.js';
import { withLifetime, type RoleContext, type RunningRole } from '../roles/role.js';
import { startTracker } from '../roles/tracker.js';
import { choosePorts } from './ports.js';

export interface ClusterOptions {
  /** Everything that the cluster keeps lies below. */
  readonly dataDirectory: string;
  readonly agents?: number;
  readonly origins?: number;
  /** Piece length of blobs pushed to this cluster. Default 1 MiB. */
  readonly pieceLengthBytes?: number;
  /** Sending rate of each origin; absent = unlimited. */
  readonly originEgressBytesPerSec?: number;
  /** Use the well-known ports where they are free (default), or any. */
  readonly ports?: 'preferred' | 'any';
  readonly logger: Logger;
}

export interface EmbeddedCluster {
  readonly host: string;
  readonly proxyPort: number;
  readonly agents: readonly RunningAgent[];
  readonly origins: readonly RunningOrigin[];
  /** All roles with a name each, in the order in which they were started. */
  readonly roles: readonly { readonly name: string; readonly role: RunningRole }[];
  close(graceMs: number): Promise<void>;
}

const HOST = '127.0.0.1';
const PLAIN_TLS = { server: { disabled: true }, client: { disabled: true } };
const ACCESS = { listen: HOST, allowed_cidrs: ['127.0.0.0/8', '::1'] };
/** Failed requests inside one process mean a bug, not an outage; retry soon. */
const RETRY = { retry_interval: 1000 };

/** Start all roles. Resolves when every one of them listens. */
export async function startCluster(options: ClusterOptions): Promise<EmbeddedCluster> {
  const { logger } = options;
  const data = (...parts: string[]): string => join(options.dataDirectory, ...parts);
  const originCount = options.origins ?? 3;
  const agentCount = options.agents ?? 3;
  const ports = await choosePorts(preferredPorts(originCount, agentCount, options.ports ?? 'preferred'), HOST);
  const port = (name: string): number => ports[name] ?? 0;
  const at = (name: string): string => `${HOST}:${port(name)}`;
  const context = (name: string): RoleContext => ({
    logger: childLogger(logger, name),
    warnings: [],
    hasAccessBlock: true,
  });
  const common = { tls: PLAIN_TLS, access: ACCESS };
  const originHosts = Array.from({ length: originCount }, (_, i) => at(`origin-${i + 1}`));
  const upstream = (hosts: readonly string[]): object => ({ hosts: { static: hosts } });

  return withLifetime(logger, async (lifetime) => {
    const roles: { name: string; role: RunningRole }[] = [];
    const started = <R extends RunningRole>(name: string, role: R): R => {
      roles.push({ name, role });
      return lifetime.own(role, (part, graceMs) => part.close(graceMs));
    };

    const origins: RunningOrigin[] = [];
    for (let i = 1; i <= originCount; i++) {
      const name = `origin-${i}`;
      const config = configFromValues<OriginConfig>(originKeys, {
        ...common,
        cluster: { static: originHosts },
        hashring: { max_replica: Math.min(2, originCount) },
        castore: { upload_dir: data(name, 'upload'), cache_dir: data(name, 'cache') },
        localdb: { source: data(name, 'origin.db') },
        metainfogen: { piece_lengths: { 0: options.pieceLengthBytes ?? 2 ** 20 } },
        backends: [
          {
            namespace: '.*',
            backend: { file: { directory: data('storage', 'blobs'), name_path: 'sharded_docker_blob' } },
          },
        ],
        writeback: RETRY,
        scheduler: schedulerWith(options.originEgressBytesPerSec),
      });
      const flags = {
        blobServerHostname: HOST,
        blobServerPort: port(name),
        peerIp: HOST,
        peerPort: port(`${name} peer`),
        cluster: 'local',
      };
      origins.push(started(name, await startOrigin(config, flags, context(name))));
    }

    const trackerConfig = configFromValues<TrackerConfig>(trackerKeys, { ...common, origin: upstream(originHosts) });
    started('tracker', await startTracker(trackerConfig, { port: port('tracker') }, context('tracker')));

    const buildIndexConfig = configFromValues<BuildIndexConfig>(buildIndexKeys, {
      ...common,
      origin: upstream(originHosts),
      cluster: upstream([at('build-index')]),
      store: { upload_dir: data('build-index', 'upload'), cache_dir: data('build-index', 'cache') },
      localdb: { source: data('build-index', 'index.db') },
      tag_types: [{ namespace: '.*', type: 'docker' }],
      backends: [
        { namespace: '.*', backend: { file: { directory: data('storage', 'tags'), name_path: 'docker_tag' } } },
      ],
      writeback: RETRY,
    });
    started(
      'build-index',
      await startBuildIndex(buildIndexConfig, { port: port('build-index') }, context('build-index')),
    );

    const proxyConfig = configFromValues<ProxyConfig>(proxyKeys, {
      ...common,
      origin: upstream(originHosts),
      build_index: upstream([at('build-index')]),
      castore: { upload_dir: data('proxy', 'upload'), cache_dir: data('proxy', 'cache') },
    });
    started('proxy', await startProxy(proxyConfig, { ports: [port('proxy')] }, context('proxy')));

    const agents: RunningAgent[] = [];
    for (let i = 1; i <= agentCount; i++) {
      const name = `agent-${i}`;
      const config = configFromValues<AgentConfig>(agentKeys, {
        ...common,
        tracker: upstream([at('tracker')]),
        build_index: upstream([at('build-index')]),
        store: { download_dir: data(name, 'download'), cache_dir: data(name, 'cache') },
      });
      const flags = {
        agentRegistryPort: port(name),
        agentServerPort: port(`${name} api`),
        peerIp: HOST,
        peerPort: port(`${name} peer`),
        cluster: 'local',
      };
      agents.push(started(name, await startAgent(config, flags, context(name))));
    }

    return {
      host: HOST,
      proxyPort: port('proxy'),
      agents,
      origins,
      roles,
      close: (graceMs) => lifetime.close(graceMs),
    };
  });
}

/** Close to Kraken's development cluster: proxy 15000, tracker 15003, build-index 15004, agents 16000, 17000, … */
function preferredPorts(origins: number, agents: number, mode: 'preferred' | 'any'): Record<string, number> {
  const ports: Record<string, number> = { proxy: 15000, tracker: 15003, 'build-index': 15004 };
  for (let i = 1; i <= origins; i++) {
    ports[`origin-${i}`] = 15010 + 10 * i;
    ports[`origin-${i} peer`] = 15011 + 10 * i;
  }
  for (let i = 1; i <= agents; i++) {
    ports[`agent-${i}`] = 15000 + 1000 * i;
    ports[`agent-${i} peer`] = 15001 + 1000 * i;
    ports[`agent-${i} api`] = 15002 + 1000 * i;
  }
  return mode === 'preferred' ? ports : Object.fromEntries(Object.keys(ports).map((name) => [name, 0]));
}

function schedulerWith(egressBytesPerSec: number | undefined): object {
  if (egressBytesPerSec === undefined) return {};
  return {
    conn: { bandwidth: { enable: true, egress_bits_per_sec: egressBytesPerSec * 8, ingress_bits_per_sec: 2 ** 40 } },
  };
}

function childLogger(logger: Logger, role: string): Logger {
  return {
    debug: (fields, message) => logger.debug({ role, ...fields }, message),
    info: (fields, message) => logger.info({ role, ...fields }, message),
    warn: (fields, message) => logger.warn({ role, ...fields }, message),
    error: (fields, message) => logger.error({ role, ...fields }, message),
  };
}
