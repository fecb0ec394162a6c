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

/** Before any time. Not 0: a field that begins as an integer costs every object made until then a change of its shape. */
const NEVER = -Infinity;

const NOTHING: ReadonlyMap<number, number> = new Map();

export class Connection {
  readonly conn: number;
  phase: ConnectionPhase;
  /** Where `PeerPieces` keeps what the peer has; -1 unless it is attached. Kept by `PeerPieces`. */
  row = -1;
  readonly torrent: Torrent;
  /** What is asked of it, in the order of asking. Kept by `PieceRequests`. */
  readonly asked: PieceRequest[] = [];
  /** How fast it answers. */
  readonly pace = new PeerPace();
  /** It is asked for nothing more and will be closed. Kept by `Rotation`. */
  retiring = false;
  /** The remote is an origin; only known for our dials. */
  readonly origin: boolean;
  /** Pieces not to be asked of it until a time, ms. Most connections never have one. */
  avoid: ReadonlyMap<number, number> = NOTHING;
  readonly timer: Timer<Due>;
  readonly peer: PeerId;
  readonly inbound: boolean;
  /** The remote speaks our version of the protocol; else it is a Go peer, or not known yet. */
  ours = false;
  /** The remote hands piece layers out. */
  layers = false;
  /** What our handshake says that we have; until the peer is attached. */
  snapshot: Bitfield | undefined;
  /** The handshake of a peer that waits. */
  handshake: Handshake | undefined;
  /** When we dialled. */
  dialledAt = NEVER;
  activeAt = NEVER;
  /** Last piece that came or went. */
  progressAt = NEVER;
  /** For {@link Senders}. */
  senderCode = 0;
  /** At least one piece went over it. */
  useful = false;
  /** Queued `send-piece`s. */
  sending = 0;
  /** Requests that expired since the last piece came. */
  expiries = 0;
  /** Payloads that nobody asked for. */
  unsolicited = 0;
  /** Since when nothing is asked of it. */
  idleSince = NEVER;
  /** Pieces whose payload may still come although the request is over. Kept by `PieceRequests`. */
  late: Set<number> | undefined;
  /** Pieces from it that are being written. Kept by `PieceRequests`. */
  writing = 0;
  #avoided: Map<number, number> | undefined;

  constructor(conn: number, torrent: Torrent, peer: PeerId, inbound: boolean, origin: boolean, timer: Timer<Due>) {
    this.conn = conn;
    this.torrent = torrent;
    this.peer = peer;
    this.inbound = inbound;
    this.origin = origin;
    this.timer = timer;
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
