export type { ConnectionPhase } from './connection.js';
export { DEFAULT_SWARM_CONFIG, type SwarmConfig } from './config.js';
export type { CloseReason, Failure, PieceVerdict, SwarmEffect, SwarmEvent, SwarmObservation } from './events.js';
export type { ConnectionView, SwarmView, TorrentStatus, TorrentView } from './inspect.js';
export { PIPELINE_MAX } from './peer-pace.js';
export { recordSwarm, replaySwarm } from './recording.js';
export { SwarmMachine, type BlacklistEntry } from './swarm-machine.js';
export type { TorrentState } from './torrent.js';
