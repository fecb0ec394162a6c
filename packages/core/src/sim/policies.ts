/**
 * Named settings of the agents' machines, so that runs can be set side by side in one report: the policies that ship, and
 * variations of them. Behaviour belongs to the machine.
 */
import { SWARM_POLICIES } from '../policy/index.js';
import type { SwarmConfig } from '../swarm/index.js';

/** Settings of the swarm to compare, by name. */
export const POLICIES: Readonly<Record<string, Partial<SwarmConfig>>> = {
  ...SWARM_POLICIES,
  /** Kraken's graph and requests, and no handshake version: what a swarm of Go agents does. */
  kraken: { ...SWARM_POLICIES.kraken, protocolVersion: '' },
  'no-rotation': { ...SWARM_POLICIES.default, rotationIntervalMs: 0 },
  'deep-pipeline': { ...SWARM_POLICIES.default, pipelineLimit: 3, originPipelineLimit: 5 },
  'rarest-only': { ...SWARM_POLICIES.default, readerShare: 0 },
  'origins-first': { ...SWARM_POLICIES.default, originSparing: false },
};
