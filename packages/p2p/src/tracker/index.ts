export { DEFAULT_META_INFO_CACHE, type MetaInfoCacheOptions } from './metainfo-service.js';
export { createPassiveRing, type PassiveRingOptions } from './passive-ring.js';
export type { PeerDirectory } from './peer-directory.js';
export {
  createTrackerClient,
  DEFAULT_TRACKER_BODY_LIMITS,
  DEFAULT_TRACKER_TIMEOUTS,
  type ClosableTrackerClient,
  type TrackerBodyLimits,
  type TrackerClientOptions,
  type TrackerTimeouts,
} from './tracker-client.js';
export { createTrackerHandler, type TrackerHandlerOptions } from './tracker-handler.js';
