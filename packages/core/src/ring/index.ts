export { ActiveHealth, DEFAULT_ACTIVE_HEALTH, type ActiveHealthConfig } from './active-health.js';
export { murmur3, type Hash64 } from './murmur3.js';
export { DEFAULT_PASSIVE_HEALTH, PassiveHealth, type PassiveHealthConfig } from './passive-health.js';
export {
  hashOf,
  hashToFraction,
  hashToInteger,
  orderWeighted,
  RendezvousRing,
  weightedScore,
  type WeightedNode,
} from './rendezvous.js';
export { DEFAULT_MAX_REPLICA, Ring, type HealthCheck } from './ring.js';
