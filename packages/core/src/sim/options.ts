/**
 * What a simulation is made from. Everything that a run depends on is here, so that printing the options
 * is enough to repeat it. Sizes in bytes, rates in bytes per second, times in milliseconds.
 */
import type { PeerOrderName } from '../policy/index.js';
import { SCENARIO_CHECKERS } from './scenarios/scenario.js';
import { DEFAULT_SWARM_CONFIG, type SwarmConfig } from '../swarm/index.js';

/** What a run is made of. The same options and seed give the same run. */
export interface SimOptions {
  readonly seed: number;
  readonly agents: number;
  readonly origins: number;
  readonly trackers: number;
  /** Origins that hold one blob; at most `origins`. */
  readonly replicas: number;
  readonly blobs: number;
  readonly blobBytes: number;
  /** Sizes are drawn from `blobBytes` up to this. */
  readonly blobBytesMax: number;
  /** Blobs that one agent pulls, drawn; all when there are not more. */
  readonly blobsPerAgent: number;
  /** How an agent draws its blobs when there are more: all alike, or the blob of rank k as often as 1 / k. */
  readonly popularity: 'uniform' | 'zipf';
  /** Where the blobs are at first: on their origins, or in the storage behind them. */
  readonly blobsIn: 'origins' | 'backend';
  /** The origins are asked for each blob at 0, agents start so much later; 0: the first pull asks. */
  readonly prefetchMs: number;
  /** Card of the storage behind the origins. */
  readonly backendBytesPerSecond: number;
  readonly pieceBytes: number;
  /** Metainfo has the root of a piece layer: pieces are proved one by one. */
  readonly roots: boolean;
  /** Agents start at a drawn time in [0, startWithinMs). */
  readonly startWithinMs: number;
  /** Each pull of an agent begins at a time of its own, instead of all with the agent. */
  readonly pullsApart: boolean;
  /** Share of the agents that starts only when the others have `lateWhenDone` of their pieces. */
  readonly lateShare: number;
  readonly lateWhenDone: number;
  /** Each pull has an in-order reader. */
  readonly streaming: boolean;
  /** Name of a link model. */
  readonly link: string;
  readonly agentUpBytesPerSecond: number;
  readonly agentDownBytesPerSecond: number;
  readonly originUpBytesPerSecond: number;
  readonly originDownBytesPerSecond: number;
  /** One way. */
  readonly latencyMs: number;
  /** What a card that was idle may be ahead of its rate, in time at full rate (token-bucket). 0: hosts that are busy anyway. */
  readonly burstMs: number;
  /** What the wire carries while a card spends its savings (token-bucket); 0: no bound. */
  readonly wireBytesPerSecond: number;
  /** Computation of fair rates (max-min); at most 5. */
  readonly rateIntervalMs: number;
  /** What a tracker takes to answer, without the wire. */
  readonly trackerDelayMs: number;
  /** Announce interval that trackers hand out. Kraken: 3 s. */
  readonly announceIntervalMs: number;
  /** Peers in one handout, origins not counted. Kraken: 50. */
  readonly handoutMax: number;
  /** Order of a handout [peerhandoutpolicy.priority]. */
  readonly peerOrder: PeerOrderName;
  /** Opening, renaming and deleting a file. */
  readonly diskDelayMs: number;
  /** Write of one piece behind its last byte. */
  readonly pieceWriteMs: number;
  readonly diskCapacityBytes: number;
  /** Whole-blob hash, one worker per node. */
  readonly hashSecondsPerGB: number;
  /** Faults that are drawn from the seed. */
  readonly faults: number;
  /**
   * Threads that share the hosts. More than one for runs in which nothing acts on two hosts at once, see {@link shardProblems}.
   * Part of what a run depends on: another number lets other events of one instant come first.
   */
  readonly shards: number;
  /** Numbers of drawn faults, from 0, that do not happen; the others stay as they are. */
  readonly faultsLeftOut: readonly number[];
  /** Names of the kinds that may be drawn. */
  readonly faultKinds: readonly string[];
  /** The safety phase: faults begin and end in it; afterwards everything is healed. */
  readonly faultMs: number;
  /** A failed pull is asked for again after so long; 0: a failure is final. */
  readonly retryMs: number;
  /** A run that is not through by then has failed. */
  readonly horizonMs: number;
  /** Time after the last answer until the network must be quiet; then everything is shut down and has this long again. */
  readonly quietMs: number;
  /** Names of checkers; `all` stands for all of them. */
  readonly checkers: readonly string[];
  /** Time between the periodic looks of the checkers. */
  readonly checkIntervalMs: number;
  /** Settings of the agents' machines that differ from the defaults. */
  readonly agentSwarm: Partial<SwarmConfig>;
  /** Settings of the origins' machines that differ from the agents'. */
  readonly originSwarm: Partial<SwarmConfig>;
}

/** A small run. */
export const DEFAULT_SIM_OPTIONS: SimOptions = {
  seed: 1,
  agents: 50,
  origins: 3,
  trackers: 1,
  replicas: 3,
  blobs: 1,
  blobBytes: 64 * 1024 * 1024,
  blobBytesMax: 0,
  blobsPerAgent: Number.MAX_SAFE_INTEGER,
  popularity: 'uniform',
  blobsIn: 'origins',
  prefetchMs: 0,
  backendBytesPerSecond: 1e9,
  pieceBytes: 1024 * 1024,
  roots: false,
  startWithinMs: 100,
  pullsApart: false,
  lateShare: 0,
  lateWhenDone: 0.5,
  streaming: false,
  link: 'token-bucket',
  agentUpBytesPerSecond: 300e6,
  agentDownBytesPerSecond: 300e6,
  originUpBytesPerSecond: 300e6,
  originDownBytesPerSecond: 300e6,
  latencyMs: 0.5,
  burstMs: 0,
  wireBytesPerSecond: 0,
  rateIntervalMs: 5,
  trackerDelayMs: 1,
  announceIntervalMs: 3000,
  handoutMax: 50,
  peerOrder: 'completeness',
  diskDelayMs: 0.5,
  pieceWriteMs: 0.2,
  diskCapacityBytes: Number.MAX_SAFE_INTEGER,
  hashSecondsPerGB: 0.56,
  shards: 1,
  faults: 0,
  faultsLeftOut: [],
  faultKinds: [],
  faultMs: 0,
  retryMs: 0,
  horizonMs: 600_000,
  quietMs: 15_000,
  checkers: ['all'],
  checkIntervalMs: 100,
  agentSwarm: {},
  originSwarm: {},
};

/**
 * Defaults filled in.
 * @throws RangeError with all problems at once
 */
export function simOptions(given: Partial<SimOptions>): SimOptions {
  const options: SimOptions = { ...DEFAULT_SIM_OPTIONS, ...given };
  const problems: string[] = [];
  for (const key of [
    'agents',
    'origins',
    'trackers',
    'replicas',
    'blobs',
    'blobBytes',
    'pieceBytes',
    'handoutMax',
    'shards',
  ] as const) {
    const value = options[key];
    if (!Number.isSafeInteger(value) || value < 1) problems.push(`${key} expected integer ≥ 1, got ${value}`);
  }
  for (const key of [
    'agentUpBytesPerSecond',
    'agentDownBytesPerSecond',
    'originUpBytesPerSecond',
    'originDownBytesPerSecond',
    'backendBytesPerSecond',
    'checkIntervalMs',
    'horizonMs',
  ] as const) {
    const value = options[key];
    if (!(value > 0 && value < Infinity)) problems.push(`${key} expected a finite number > 0, got ${value}`);
  }
  for (const key of ['burstMs', 'wireBytesPerSecond'] as const)
    if (!(options[key] >= 0)) problems.push(`${key} expected ≥ 0, got ${options[key]}`);
  if (!(options.rateIntervalMs > 0 && options.rateIntervalMs <= 5))
    problems.push(`rateIntervalMs expected in (0, 5], got ${options.rateIntervalMs}`);
  if (!(options.lateShare >= 0 && options.lateShare < 1))
    problems.push(`lateShare expected in [0, 1), got ${options.lateShare}`);
  if (!['uniform', 'zipf'].includes(options.popularity))
    problems.push(`popularity expected uniform or zipf, got ${options.popularity}`);
  if (!['origins', 'backend'].includes(options.blobsIn))
    problems.push(`blobsIn expected origins or backend, got ${options.blobsIn}`);
  if (options.shards > SHARDS_MAX) problems.push(`shards expected at most ${SHARDS_MAX}, got ${options.shards}`);
  if (options.shards > 1) problems.push(...shardProblems(options));
  if (problems.length > 0) throw new RangeError(problems.join('; '));
  return {
    ...options,
    replicas: Math.min(options.replicas, options.origins),
    blobBytesMax: Math.max(options.blobBytesMax, options.blobBytes),
    blobsPerAgent: Math.min(options.blobsPerAgent, options.blobs),
  };
}

/** Every two shards have boxes for each other. */
const SHARDS_MAX = 16;

/** Checkers that look at one node at a time. */
const SHARDED_CHECKERS: readonly string[] = [...SCENARIO_CHECKERS, 'time-moves-on'];

/** Why a run cannot be divided: what in it acts on hosts of several shards at once. Empty when it can. */
export function shardProblems({ faults, lateShare, link, latencyMs, checkers }: SimOptions): string[] {
  const problems: string[] = [];
  if (faults > 0) problems.push('shards expected no faults');
  if (lateShare > 0) problems.push('shards expected lateShare 0');
  if (link !== 'token-bucket') problems.push(`shards expected link token-bucket, got ${link}`);
  if (!(latencyMs > 0)) problems.push(`shards expected latencyMs > 0, got ${latencyMs}`);
  const others = checkers.filter((name) => !SHARDED_CHECKERS.includes(name));
  if (others.length > 0)
    problems.push(`shards expected checkers of ${SHARDED_CHECKERS.join(', ')}, got ${others.join(', ')}`);
  return problems;
}

/** The swarm settings of a node of this run, but for its id. */
export function swarmSettings(options: SimOptions, role: 'agent' | 'origin'): Omit<SwarmConfig, 'peerId'> {
  const agent = { ...DEFAULT_SWARM_CONFIG, ...options.agentSwarm };
  return role === 'agent' ? { ...agent, role } : { ...agent, ...options.originSwarm, role };
}
