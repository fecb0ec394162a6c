/**
 * A whole run drawn from one number, for sweeps: how many hosts, which blobs, which limits, which faults. Every seed checks
 * everything, in a safety phase with faults and a healing phase in which all pulls must finish. Printing the options is
 * enough to repeat it.
 */
import { Random } from '../random/index.js';
import type { SwarmConfig } from '../swarm/index.js';
import { FAULTS } from './faults/index.js';
import { LINK_MODELS } from './links/index.js';
import { simOptions, type SimOptions } from './options.js';
import { POLICIES } from './policies.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Hosts of a run; small swarms find as much as large ones in less time. */
const HOSTS = [5, 6, 7, 8, 10, 13, 20, 40, 80, 200];
/** Pieces that a card carries in a second at least, so that one gets through in the time that a request is given. */
const PIECES_PER_SECOND_MIN = 2;
/** The same with limits that close a connection after seconds without a piece, with ten neighbours and origins of a quarter of the rate. */
const LIMITED_PIECES_PER_SECOND_MIN = 10;

/**
 * What healing may take, with everything that a machine imposes on itself: failures are waited for, five minutes at most, and
 * so is a pull that gets nothing; bans of an hour and more do not matter, since nobody is banned who alone has something.
 */
const HEALING_MS = 900_000;

/**
 * The options of fault seed `seed`.
 * @param hostsMax bounds the size of the swarm, agents and origins together; at least 2
 */
export function drawOptions(seed: number, hostsMax = 200): SimOptions {
  const random = new Random(seed ^ 0x5eed);
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)] as T;
  const oneIn = (n: number): boolean => random.below(n) === 0;
  const hosts = Math.min(hostsMax, pick(HOSTS));
  const origins = 1 + random.below(Math.min(5, hosts - 1));
  const agents = hosts - origins;
  const pieceBytes = pick([64 * KiB, 256 * KiB, MiB]);
  const pieces = 1 + random.below(pick(hosts > 40 ? [2, 8, 40] : [2, 8, 40, 100]));
  const blobs = 1 + random.below(3);
  const faultMs = pick([500, 3000, 20_000]);
  // One agent needs about the safety phase for its blobs, or a part of it, or far longer: faults meet pulls under way.
  const limits = oneIn(3) ? drawLimits(random) : {};
  const originLimits = oneIn(3) ? drawOriginLimits(random) : {};
  const isLimited = limits.connectionIdleMs !== undefined || originLimits.connectionIdleMs !== undefined;
  const piecesPerSecond = (pick([0.3, 1, 4]) * blobs * pieces * 1000) / faultMs;
  const rate =
    pieceBytes * Math.max(isLimited ? LIMITED_PIECES_PER_SECOND_MIN : PIECES_PER_SECOND_MIN, piecesPerSecond);
  const kinds = Object.keys(FAULTS);
  return simOptions({
    seed,
    agents,
    origins,
    trackers: 1 + random.below(3),
    replicas: 1 + random.below(3),
    blobs,
    blobBytes: pieces * pieceBytes - random.below(pieceBytes),
    blobsPerAgent: oneIn(3) ? 1 + random.below(blobs) : blobs,
    blobsIn: oneIn(5) ? 'backend' : 'origins',
    backendBytesPerSecond: 4 * rate,
    pieceBytes,
    roots: oneIn(2),
    startWithinMs: pick([5, 100, faultMs]),
    pullsApart: oneIn(2),
    lateShare: oneIn(4) ? 0.3 : 0,
    streaming: oneIn(2),
    link: pick(Object.keys(LINK_MODELS)),
    agentUpBytesPerSecond: rate,
    agentDownBytesPerSecond: rate,
    originUpBytesPerSecond: pick([rate, rate / 4]),
    originDownBytesPerSecond: rate,
    latencyMs: pick([0.1, 0.5, 20]),
    burstMs: pick([0, 1000]),
    peerOrder: pick(['completeness', 'default'] as const),
    handoutMax: oneIn(4) ? 1 + random.below(3) : 50,
    faults: random.below(2 + Math.min(40, hosts)),
    faultKinds: oneIn(2) ? kinds : [pick(kinds)],
    faultMs,
    retryMs: 1000,
    horizonMs: faultMs + HEALING_MS,
    checkers: ['all'],
    agentSwarm: { ...(oneIn(4) ? pick(Object.values(POLICIES)) : {}), ...limits },
    originSwarm: originLimits,
  });
}

/** Absurdly little, down to one connection and one request. */
function drawLimits(random: Random): Partial<SwarmConfig> {
  const connections = 1 + random.below(4);
  return {
    connectionsPerTorrentMax: connections,
    dialsPerTorrentMax: 1 + random.below(connections),
    lonelyDialsMax: random.below(connections + 1),
    originDialsMax: 1 + random.below(2),
    pendingDialsMax: 1 + random.below(2),
    mutualConnectionsMax: connections,
    pipelineLimit: 1 + random.below(2),
    originPipelineLimit: 1,
    connectionIdleMs: 1000 + random.below(5000),
    preemptionIntervalMs: 1000,
    requestTimeoutMinMs: 500,
    requestTimeoutPerMiBMs: 4000,
    endgameDisabled: random.below(2) === 0,
    ...(random.below(3) === 0
      ? { pullsMax: 1 + random.below(2), torrentsMax: 1 + random.below(2), connectionsMax: 1 + random.below(4) }
      : {}),
  };
}

/** Origins that keep up with few. Their torrents leave memory when nobody is connected. */
function drawOriginLimits(random: Random): Partial<SwarmConfig> {
  const connections = 1 + random.below(4);
  return {
    connectionsPerTorrentMax: connections,
    mutualConnectionsMax: connections,
    connectionsMax: 2000,
    torrentsMax: 10_000,
    connectionIdleMs: 2000,
    preemptionIntervalMs: 1000,
  };
}
