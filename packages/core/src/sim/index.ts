export { judge, judgeGrowth, MEASURES, verdictLine, type Bounds, type Growth, type Verdict } from './bounds.js';
export { CHECKERS, CheckFailed, type Checker, type CheckerFactory, type SimView } from './checkers/index.js';
export type { Want } from './client.js';
export { VirtualClock, type Task } from './clock.js';
export { SimDisk, type PieceContent, type SimDiskOptions, type SimFile } from './disk.js';
export { FAULTS, type Fault, type FaultTarget, type Injection, type PlannedFault } from './faults/index.js';
export {
  LINK_MODELS,
  type FarArrivals,
  type FarReceiver,
  type Flow,
  type LinkModel,
  type LinkModelContext,
  type Nic,
  Transfer,
  TransferQueue,
} from './links/index.js';
export type { NetworkCounts } from './network.js';
export { Random } from '../random/index.js';
export { DEFAULT_SIM_OPTIONS, shardProblems, simOptions, type SimOptions } from './options.js';
export { POLICIES } from './policies.js';
export {
  percentile,
  reportLine,
  type BackendCounts,
  type MeasuredParts,
  type ReportedWant,
  type SimCounts,
  type SimReport,
} from './report.js';
export { SCENARIOS, type Scenario } from './scenarios/index.js';
export { SCENARIO_CHECKERS } from './scenarios/scenario.js';
export { storeAndForwardSeconds } from './store-and-forward.js';
export type { FarEnd } from './shards/far-end.js';
export { createShardMemory, Meeting, ShardAbandoned, type Agreed, type ShardMemory } from './shards/meeting.js';
export { mergeShards, type OpenFarEnd, type ShardResult } from './shards/merge.js';
export { Shard } from './shards/shard.js';
export { Simulation, type MachineFactory, type RunPart, type RunWatch, type SimProgress } from './simulation.js';
export { TraceHash } from './trace.js';
export { drawOptions } from './draw.js';
export { failureOf, type RunOnce, type SimFailure } from './failure.js';
export { firstVisible, shrinkFailure, type ShrunkFailure } from './shrink.js';
