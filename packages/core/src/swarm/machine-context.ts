/** The context that `SwarmMachine` makes for its parts and refreshes at each step. */
import type { Digest } from '../content/index.js';
import { KrakenError } from '../errors/index.js';
import { PIECE_CHOICES, type PieceChoice, type PieceChoices } from '../policy/piece-choice/index.js';
import type { Random } from '../random/index.js';
import { AnnounceQueue } from './announce-queue.js';
import type { SwarmConfig } from './config.js';
import { ConnMap } from './conn-map.js';
import type { Connection } from './connection.js';
import { Connections } from './connections.js';
import type { SwarmContext } from './context.js';
import type { Due } from './due.js';
import type { SwarmEffect, SwarmObservation } from './events.js';
import { Pulls } from './pulls.js';
import { Timers } from './timers.js';
import type { Torrent } from './torrent.js';

export class MachineContext implements SwarmContext {
  now = -Infinity;
  out: SwarmEffect[] = [];
  readonly byConn = new ConnMap<Connection>();
  readonly timers = new Timers<Due>();
  config: SwarmConfig;
  choose: PieceChoice;
  readonly random: Random;
  readonly #pieceChoices: PieceChoices;
  readonly torrents = new Map<Digest, Torrent>();
  readonly fetches = new Set<Digest>();
  readonly connections: Connections = new Connections(this);
  readonly pulls: Pulls = new Pulls(this);
  readonly announces: AnnounceQueue = new AnnounceQueue(this);

  /** @throws KrakenError `config-invalid` for an unknown piece choice */
  constructor(config: SwarmConfig, random: Random, pieceChoices: PieceChoices = PIECE_CHOICES) {
    this.config = config;
    this.#pieceChoices = pieceChoices;
    this.choose = pieceChoice(pieceChoices, config.pieceChoice);
    this.random = random;
  }

  /** @throws KrakenError `config-invalid`; the old settings then stay */
  configure(config: SwarmConfig): void {
    this.choose = pieceChoice(this.#pieceChoices, config.pieceChoice);
    this.config = config;
  }

  /** Bound, so that parts can take it out of the context. */
  readonly observe = (observation: SwarmObservation): void => {
    this.out.push({ type: 'observe', observation });
  };
}

function pieceChoice(known: PieceChoices, name: string): PieceChoice {
  const choice = Object.hasOwn(known, name) ? known[name] : undefined;
  if (choice !== undefined) return choice;
  throw new KrakenError(
    'config-invalid',
    `unknown piece choice: expected ${Object.keys(known).join(' or ')}, got ${JSON.stringify(name)}`,
  );
}
