export { DEFAULT_SWARM_CONFIG, type SwarmConfig } from './config.js';
export type { CloseReason, Failure, PieceVerdict, SwarmEffect, SwarmEvent, SwarmObservation } from './events.js';
