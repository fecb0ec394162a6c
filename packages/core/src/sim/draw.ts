/**
 * A whole run drawn from one number, for sweeps: how many nodes, which blobs, which limits, which faults.
 * Printing the options is enough to repeat it.
 */
import { Random } from '../random/index.js';
import type { SwarmConfig } from '../swarm/index.js';
import { CHECKERS } from './checkers/index.js';
import { FAULTS } from './faults/index.js';
import { LINK_MODELS } from './links/index.js';
import { simOptions, type SimOptions } from './options.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** What healing may take: bans for bad data are the longest wait that a machine imposes on itself. */
const HEALING_MS = 3_600_000;

/** The options of fault seed `seed`. `agentsMax` bounds the size of the swarm. */
export function drawOptions(seed: number, agentsMax = 200): SimOptions {
  const random = new Random(seed ^ 0x5eed);
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)] as T;
  // Small swarms find as much as large ones in less time.
  const agents = Math.min(agentsMax, pick([2, 3, 5, 8, 13, 20, 40, 200]));
  const pieceBytes = pick([64 * KiB, 256 * KiB, MiB]);
  const pieces = 1 + random.below(pick([2, 8, 40]));
  const tail = random.below(pieceBytes);
  const faultMs = pick([500, 3000, 20_000]);
  const rate = pick([2e6, 20e6, 300e6]);
  return simOptions({
    seed,
    agents,
    origins: 1 + random.below(5),
    trackers: 1 + random.below(3),
    replicas: 1 + random.below(3),
    blobs: 1 + random.below(3),
    blobBytes: pieces * pieceBytes - tail,
    pieceBytes,
    startWithinMs: pick([5, 100, faultMs]),
    streaming: random.below(2) === 0,
    link: pick(Object.keys(LINK_MODELS)),
    agentUpBytesPerSecond: rate,
    agentDownBytesPerSecond: rate,
    originUpBytesPerSecond: pick([rate, rate / 4]),
    originDownBytesPerSecond: rate,
    latencyMs: pick([0.1, 0.5, 20]),
    burstMs: pick([0, 1000]),
    peerOrder: pick(['completeness', 'default'] as const),
    faults: random.below(1 + Math.min(20, agents)),
    faultKinds: random.below(2) === 0 ? Object.keys(FAULTS) : [pick(Object.keys(FAULTS))],
    faultMs,
    retryMs: 1000,
    horizonMs: faultMs + HEALING_MS,
    checkers: Object.keys(CHECKERS),
    agentSwarm: drawLimits(random),
  });
}

/** Mostly the defaults, sometimes absurdly little. */
function drawLimits(random: Random): Partial<SwarmConfig> {
  if (random.below(3) > 0) return {};
  const connections = 1 + random.below(4);
  return {
    connectionsPerTorrentMax: connections,
    dialsPerTorrentMax: 1 + random.below(connections),
    lonelyDialsMax: random.below(connections + 1),
    mutualConnectionsMax: connections,
    pipelineLimit: 1 + random.below(2),
    originPipelineLimit: 1,
    connectionIdleMs: 1000 + random.below(5000),
    preemptionIntervalMs: 1000,
    requestTimeoutMinMs: 500,
    requestTimeoutPerMiBMs: 4000,
    endgameDisabled: random.below(2) === 0,
  };
}
