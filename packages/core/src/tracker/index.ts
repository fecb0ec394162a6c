export { Random } from '../random/index.js';
export {
  decodeAnnounceRequest,
  decodeAnnounceResponse,
  encodeAnnounceRequest,
  encodeAnnounceResponse,
  isDialable,
  type DecodedAnnounce,
} from './announce-json.js';
export {
  DEFAULT_ANNOUNCE_INTERVAL_MS,
  DEFAULT_ANNOUNCE_LIMIT,
  handOut,
  wantsPeers,
  type Announcer,
} from './handout.js';
export {
  DEFAULT_PEER_STORE_LIMITS,
  PeerStore,
  type PeerStoreLimits,
  type PeerStoreStats,
  type Sample,
} from './peer-store.js';
export { Tracker, type Announce, type TrackerOptions } from './tracker.js';
