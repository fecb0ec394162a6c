/** The `scheduler` block → settings of the swarm engine. Zero means our default; see docs/CONFIG.md. */
import { networkInterfaces } from 'node:os';
import type { PeerId } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { SWARM_POLICIES, type SwarmPolicy } from '@kraken/core/policy';
import { DEFAULT_SWARM_CONFIG, type SwarmConfig } from '@kraken/core/swarm';
import type { Bandwidth, NamespaceWeight } from '@kraken/p2p';
import { randomBytes } from 'node:crypto';
import type { AgentConfig } from '../config/component-keys.js';

type SchedulerConfig = AgentConfig['scheduler'];

export function swarmSettings(config: SchedulerConfig): Omit<SwarmConfig, 'peerId' | 'role'> {
  const { connstate, conn, dispatch } = config;
  // The node knows what it is.
  const { role, ...shipping } = DEFAULT_SWARM_CONFIG;
  const policy = policyNamed(config.swarm_policy);
  const defaults = { ...shipping, ...policy };
  const scale = connstate.max_open_conn / shipping.connectionsPerTorrentMax;
  const pipelineLimit = dispatch.pipeline_limit || defaults.pipelineLimit;
  return {
    ...defaults,
    connectionsPerTorrentMax: connstate.max_open_conn,
    // The policy speaks of Kraken's ten connections; the same part of however many there are.
    dialsPerTorrentMax: Math.max(1, Math.ceil(policy.dialsPerTorrentMax * scale)),
    originDialsMax: Math.ceil(policy.originDialsMax * scale),
    lonelyDialsMax: Math.ceil(policy.lonelyDialsMax * scale),
    mutualConnectionsMax: connstate.max_mutual_conn || connstate.max_open_conn,
    blacklistMs: connstate.blacklist_duration,
    blacklistDisabled: connstate.disable_blacklist,
    handshakeTimeoutMs: conn.handshake_timeout,
    connectionIdleMs: config.conn_tti,
    connectionAgeMs: config.conn_ttl,
    seederIdleMs: config.seeder_tti,
    leecherIdleMs: config.leecher_tti,
    preemptionIntervalMs: config.preemption_interval,
    preemptionDisabled: config.disable_preemption,
    pieceChoice: dispatch.piece_request_policy || defaults.pieceChoice,
    pipelineLimit,
    originPipelineLimit: dispatch.origin_pipeline_limit || defaults.originPipelineLimit,
    endgameThreshold: dispatch.endgame_threshold || pipelineLimit || defaults.endgameThreshold,
    endgameDisabled: dispatch.disable_endgame,
    requestTimeoutMinMs: dispatch.piece_request_min_timeout,
    requestTimeoutPerMiBMs: dispatch.piece_request_timeout_per_mb,
  };
}

function policyNamed(name: string): SwarmPolicy {
  if (name === '') return SWARM_POLICIES.default;
  if (Object.hasOwn(SWARM_POLICIES, name)) return SWARM_POLICIES[name as keyof typeof SWARM_POLICIES];
  const expected = Object.keys(SWARM_POLICIES).join(', ');
  throw new KrakenError('config-invalid', `scheduler.swarm_policy expected one of ${expected}, got ${name}`);
}

/**
 * Payload rates in bytes per second and the weights of namespaces; nothing when the limiter is off.
 * @throws KrakenError `config-invalid` for an expression or a weight that cannot be
 */
export function bandwidthOf(config: SchedulerConfig): Bandwidth {
  const { bandwidth } = config.conn;
  if (!bandwidth.enable) return {};
  return {
    egressBytesPerSec: bandwidth.egress_bits_per_sec / 8,
    ingressBytesPerSec: bandwidth.ingress_bits_per_sec / 8,
    ...(bandwidth.namespace_weights.length === 0 ? {} : { namespaceWeights: weightsOf(bandwidth.namespace_weights) }),
  };
}

function weightsOf(entries: readonly NamespaceWeight[]): readonly NamespaceWeight[] {
  for (const [n, { namespace, weight }] of entries.entries()) {
    const at = `scheduler.conn.bandwidth.namespace_weights[${n}]`;
    if (!(weight > 0 && weight < Infinity)) {
      throw new KrakenError('config-invalid', `${at}.weight: expected a number > 0, got ${weight}`);
    }
    try {
      new RegExp(namespace);
    } catch (cause) {
      const got = JSON.stringify(namespace);
      throw new KrakenError('config-invalid', `${at}.namespace: expected a regular expression, got ${got}`, { cause });
    }
  }
  return entries;
}

/**
 * `peer_id_factory`: `undefined` lets the node derive the id from its address.
 * @throws KrakenError `config-invalid`
 */
export function peerIdOf(factory: string): PeerId | undefined {
  if (factory === 'addr_hash') return undefined;
  if (factory === 'random') return randomBytes(20).toString('hex') as PeerId;
  throw new KrakenError(
    'config-invalid',
    `peer_id_factory: expected addr_hash or random, got ${JSON.stringify(factory)}`,
  );
}

/**
 * The address announced to peers: the flag, else the first of eth0, ib0, eth1, eth2 (as Kraken), else the first IPv4
 * that is not loopback.
 * @throws KrakenError `config-invalid` when there is none
 */
export function peerIpOf(flag: string | undefined): string {
  if (flag !== undefined && flag !== '') return flag;
  const interfaces = networkInterfaces();
  const names = ['eth0', 'ib0', 'eth1', 'eth2', ...Object.keys(interfaces)];
  for (const name of names) {
    const found = interfaces[name]?.find(({ family, internal }) => family === 'IPv4' && !internal);
    if (found !== undefined) return found.address;
  }
  throw new KrakenError('config-invalid', '--peer-ip: no address found on any interface; give one');
}

/** Where to record to; the flag counts more than the file. `undefined`: nowhere. */
export function recordOf(
  config: AgentConfig['record'],
  flag: string | undefined,
): { path: string; sizeLimitBytes: number } | undefined {
  const path = flag ?? config.path;
  return path === '' ? undefined : { path, sizeLimitBytes: config.size_limit };
}

/**
 * Where network events go; `undefined`: nowhere.
 * @throws KrakenError `config-invalid` when they are wanted and no file is named
 */
export function networkEventsOf({
  enabled,
  log_path: path,
}: AgentConfig['network_event']): { path: string } | undefined {
  if (!enabled) return undefined;
  if (path === '') throw new KrakenError('config-invalid', 'network_event.log_path: required when enabled');
  return { path };
}
