/** One connection of the swarm, from the first wish until `connection-closed` or `dial-failed`. Data of several owners. */
import type { Bitfield, PeerId } from '../content/index.js';
import type { Handshake } from '../wire/index.js';
import type { Due } from './due.js';
import { PeerPace } from './peer-pace.js';
import type { PieceRequest } from './piece-requests.js';
import type { Timer } from './timers.js';
import type { Torrent } from './torrent.js';

/**
 * `waiting`: came in, the torrent is not open yet. `dialling`: we connect. `active`: attached. `closing`: we closed it, or
 * gave the dial up; the host has yet to confirm.
 */
export type ConnectionPhase = 'waiting' | 'dialling' | 'active' | 'closing';

const NOTHING: ReadonlyMap<number, number> = new Map();

export class Connection {
  phase: ConnectionPhase;
  /** Where `PeerPieces` keeps what the peer has; -1 unless it is attached. Kept by `PeerPieces`. */
  row = -1;
  /** The remote speaks our version of the protocol; else it is a Go peer, or not known yet. */
  ours = false;
  /** The remote hands piece layers out. */
  layers = false;
  /** What our handshake says that we have; until the peer is attached. */
  snapshot: Bitfield | undefined;
  /** The handshake of a peer that waits. */
  handshake: Handshake | undefined;
  /** When we dialled. */
  dialledAt = 0;
  activeAt = 0;
  /** Last piece that came or went. */
  progressAt = 0;
  /** At least one piece went over it. */
  useful = false;
  /** Queued `send-piece`s. */
  sending = 0;
  /** Requests that expired since the last piece came. */
  expiries = 0;
  /** It is asked for nothing more and will be closed. Kept by `Rotation`. */
  retiring = false;
  /** Payloads that nobody asked for. */
  unsolicited = 0;
  /** How fast it answers. */
  readonly pace = new PeerPace();
  /** Since when nothing is asked of it. */
  idleSince = 0;
  /** What is asked of it, in the order of asking. Kept by `PieceRequests`. */
  readonly asked: PieceRequest[] = [];
  /** Pieces whose payload may still come although the request is over. Kept by `PieceRequests`. */
  late: Set<number> | undefined;
  /** Pieces from it that are being written. Kept by `PieceRequests`. */
  writing = 0;
  /** Pieces not to be asked of it until a time, ms. Most connections never have one. */
  avoid: ReadonlyMap<number, number> = NOTHING;
  #avoided: Map<number, number> | undefined;

  constructor(
    readonly conn: number,
    readonly torrent: Torrent,
    readonly peer: PeerId,
    readonly inbound: boolean,
    /** The remote is an origin; only known for our dials. */
    readonly origin: boolean,
    readonly timer: Timer<Due>,
  ) {
    this.phase = inbound ? 'waiting' : 'dialling';
  }

  /** Do not ask it for `piece` until a time, ms. */
  avoidUntil(piece: number, until: number): void {
    if (this.#avoided === undefined) this.avoid = this.#avoided = new Map();
    this.#avoided.set(piece, until);
  }

  /** Forget what was to be avoided until `now` at the latest. */
  forgive(now: number): void {
    if (this.#avoided === undefined) return;
    for (const [piece, until] of this.#avoided) if (until <= now) this.#avoided.delete(piece);
  }
}
