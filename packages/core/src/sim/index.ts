export { judge, judgeGrowth, MEASURES, verdictLine, type Bounds, type Growth, type Verdict } from './bounds.js';
export { CHECKERS, CheckFailed, type Checker, type CheckerFactory, type SimView } from './checkers/index.js';
export type { Want } from './client.js';
export { VirtualClock, type Task } from './clock.js';
export { SimDisk, type PieceContent, type SimDiskOptions, type SimFile } from './disk.js';
export { FAULTS, type Fault, type FaultTarget, type Injection } from './faults/index.js';
export {
  LINK_MODELS,
  type Flow,
  type LinkModel,
  type LinkModelContext,
  type Nic,
  type Transfer,
} from './links/index.js';
export { Random } from '../random/index.js';
export { DEFAULT_SIM_OPTIONS, simOptions, type SimOptions } from './options.js';
export { POLICIES } from './policies.js';
export { percentile, reportLine, type SimCounts, type SimReport } from './report.js';
export { SCENARIOS, type Scenario } from './scenarios/index.js';
export { storeAndForwardSeconds } from './store-and-forward.js';
export { Simulation, type MachineFactory } from './simulation.js';
export { TraceHash } from './trace.js';
export { drawOptions } from './draw.js';
