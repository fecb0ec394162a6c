/**
 * What the parts of the swarm machine share during a step: the clock reading, the effects so far, settings, the tables.
 * Made and refreshed by `SwarmMachine` only.
 */
import type { Digest } from '../content/index.js';
import type { PieceChoice } from '../policy/piece-choice/index.js';
import type { Random } from '../random/index.js';
import type { AnnounceQueue } from './announce-queue.js';
import type { SwarmConfig } from './config.js';
import type { ConnMap } from './conn-map.js';
import type { Connection } from './connection.js';
import type { Connections } from './connections.js';
import type { Due } from './due.js';
import type { SwarmEffect, SwarmObservation } from './events.js';
import type { Pulls } from './pulls.js';
import type { Timers } from './timers.js';
import type { Torrent } from './torrent.js';

export interface SwarmContext {
  /** Time of the step under way. */
  readonly now: number;
  /** Effects of the step under way, in order. */
  readonly out: SwarmEffect[];
  readonly config: SwarmConfig;
  readonly choose: PieceChoice;
  readonly random: Random;
  readonly timers: Timers<Due>;
  readonly torrents: Map<Digest, Torrent>;
  /** All connections by number. Kept by `connections`. */
  readonly byConn: ConnMap<Connection>;
  readonly connections: Connections;
  readonly pulls: Pulls;
  readonly announces: AnnounceQueue;
  /** Digests whose metainfo is being fetched; outlives the torrent. */
  readonly fetches: Set<Digest>;
  readonly observe: (observation: SwarmObservation) => void;
}
