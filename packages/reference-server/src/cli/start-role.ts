/** Flags and files → one running role. Loads no other role: an agent is to be there soon and small. */
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
import { loadConfig } from '../config/index.js';
import type { Kind } from '../config/schema.js';
import type { RoleContext, RunningRole } from '../roles/role.js';
import { createLogger, levelOf } from '../telemetry/logger.js';
import { parseFlags, ROLE_FLAGS, UsageError, type RoleName } from './flags.js';

/**
 * @throws UsageError for flags
 * @throws ConfigError, KrakenError `config-invalid` for files
 */
export async function startRole(name: RoleName, args: readonly string[]): Promise<RunningRole> {
  switch (name) {
    case 'agent': {
      const flags = parseFlags(ROLE_FLAGS.agent, args);
      const { config, context } = load<AgentConfig>(name, agentKeys, flags);
      const { startAgent } = await import('../roles/agent.js');
      return startAgent(
        config,
        {
          agentServerPort: port(flags, 'agent-server-port'),
          agentRegistryPort: port(flags, 'agent-registry-port'),
          peerPort: port(flags, 'peer-port'),
          ...optional(flags),
        },
        context,
      );
    }
    case 'origin': {
      const flags = parseFlags(ROLE_FLAGS.origin, args);
      const { config, context } = load<OriginConfig>(name, originKeys, flags);
      const hostname = flags['blobserver-hostname'];
      const { startOrigin } = await import('../roles/origin.js');
      return startOrigin(
        config,
        {
          blobServerPort: port(flags, 'blobserver-port'),
          peerPort: port(flags, 'peer-port'),
          ...(hostname === undefined ? {} : { blobServerHostname: hostname }),
          ...optional(flags),
        },
        context,
      );
    }
    case 'tracker': {
      const flags = parseFlags(ROLE_FLAGS.tracker, args);
      const { config, context } = load<TrackerConfig>(name, trackerKeys, flags);
      const { startTracker } = await import('../roles/tracker.js');
      return startTracker(config, { port: port(flags, 'port') }, context);
    }
    case 'build-index': {
      const flags = parseFlags(ROLE_FLAGS['build-index'], args);
      const { config, context } = load<BuildIndexConfig>(name, buildIndexKeys, flags);
      const { startBuildIndex } = await import('../roles/build-index.js');
      return startBuildIndex(config, { port: port(flags, 'port') }, context);
    }
    case 'proxy': {
      const flags = parseFlags(ROLE_FLAGS.proxy, args);
      const { config, context } = load<ProxyConfig>(name, proxyKeys, flags);
      if (flags.port === undefined) throw new UsageError('-port: required');
      const { startProxy } = await import('../roles/proxy.js');
      return startProxy(config, { ports: flags.port }, context);
    }
  }
}

interface CommonConfig {
  readonly zap: { readonly level: string };
}

function load<Config extends CommonConfig>(
  role: RoleName,
  keys: Kind,
  flags: { config?: string; secrets?: string },
): { config: Config; context: RoleContext } {
  if (flags.config === undefined) throw new UsageError('-config: required');
  const { config, warnings, presentKeys } = loadConfig<Config>(
    keys,
    flags.secrets === undefined ? [flags.config] : [flags.config, flags.secrets],
  );
  const logger = createLogger(levelOf(config.zap.level), { role });
  return { config, context: { logger, warnings, hasAccessBlock: presentKeys.has('access') } };
}

/** Ports are required and not 0, as in Kraken: they are part of what others are told. */
function port(flags: Readonly<Record<string, unknown>>, name: string): number {
  const value = flags[name];
  if (typeof value !== 'number' || value === 0) throw new UsageError(`-${name}: must specify non-zero port`);
  if (value > 65_535) throw new UsageError(`-${name}: expected 1 to 65535, got ${value}`);
  return value;
}

function optional(flags: { 'peer-ip'?: string; zone?: string; cluster?: string; record?: string }): {
  peerIp?: string;
  zone?: string;
  cluster?: string;
  record?: string;
} {
  return {
    ...(flags['peer-ip'] === undefined ? {} : { peerIp: flags['peer-ip'] }),
    ...(flags.zone === undefined ? {} : { zone: flags.zone }),
    ...(flags.cluster === undefined ? {} : { cluster: flags.cluster }),
    ...(flags.record === undefined ? {} : { record: flags.record }),
  };
}
