/**
 * Requests in flight of one torrent, and who is writing which piece. What happens to every piece costs O(requests of one
 * connection); what happens when one piece is asked of several peers, or at the end of a blob, O(peers + requests in flight).
 * Source: spec p2p.md §5.2.
 *
 * What is asked of a connection lies on the connection; only this file changes it. Keeps there also the pieces whose request
 * expired or was answered by somebody else: their payload may still come and is then not unsolicited. Never decides whom to ask.
 */
import type { Connection } from './connection.js';

/** Remembered late pieces of one connection; older ones are forgotten. Guess: far above any pipeline. */
const LATE_MAX = 64;

/** One piece asked of one connection. */
export interface PieceRequest {
  readonly piece: number;
  deadlineAt: number;
  /** Counts requests, this one and those before it. */
  readonly turn: number;
  /** The turn in which its piece was first asked for; all copies of a piece have the same. */
  readonly pieceTurn: number;
}

export class PieceRequests {
  readonly #peers: { readonly peers: readonly Connection[] };
  /** By piece: of how many connections it is asked. */
  readonly #copies: Uint16Array;
  #size = 0;
  #turns = 0;
  /** Who writes what; few at a time. */
  readonly #writers: Connection[] = [];
  readonly #written: number[] = [];

  /** @param peers those who may be asked, as they are at each moment */
  constructor(pieces: number, peers: { readonly peers: readonly Connection[] }) {
    this.#copies = new Uint16Array(pieces);
    this.#peers = peers;
  }

  /** Pieces asked for, in the order in which they were first asked. O(peers + requests in flight). */
  piecesInFlight(): number[] {
    const first = new Map<number, number>();
    for (const { asked } of this.#peers.peers) for (const { piece, pieceTurn } of asked) first.set(piece, pieceTurn);
    return [...first].sort(([, a], [, b]) => a - b).map(([piece]) => piece);
  }

  /** Number of peers that `piece` is asked from. */
  copies(piece: number): number {
    return this.#copies[piece] ?? 0;
  }

  /** Pieces that are asked for. */
  get size(): number {
    return this.#size;
  }

  isAsked(connection: Connection, piece: number): boolean {
    return place(connection.asked, piece) >= 0;
  }

  add(connection: Connection, piece: number, deadlineAt: number): void {
    const copies = this.copies(piece);
    const turn = ++this.#turns;
    const pieceTurn = copies === 0 ? turn : (this.#requestsFor(piece)[0]?.request.pieceTurn ?? turn);
    if (copies === 0) this.#size++;
    this.#copies[piece] = copies + 1;
    connection.asked.push({ piece, deadlineAt, turn, pieceTurn });
    connection.late?.delete(piece);
  }

  /** The payload has begun: the request of `connection`, or a late one, has a new deadline and is the newest of its peer. */
  begin(connection: Connection, piece: number, deadlineAt: number): void {
    const at = place(connection.asked, piece);
    if (at < 0) return this.add(connection, piece, deadlineAt);
    const request = connection.asked[at] as PieceRequest;
    connection.late?.delete(piece);
    request.deadlineAt = deadlineAt;
    take(connection.asked, at);
    connection.asked.push(request);
  }

  /** The request is over. @returns false when there was none */
  settle(connection: Connection, piece: number): boolean {
    const at = place(connection.asked, piece);
    if (at < 0) return false;
    take(connection.asked, at);
    const copies = this.copies(piece) - 1;
    this.#copies[piece] = copies;
    if (copies === 0) this.#size--;
    return true;
  }

  /** Give the request up but expect its payload. */
  expire(connection: Connection, piece: number): void {
    if (!this.settle(connection, piece)) return;
    const late = (connection.late ??= new Set());
    late.add(piece);
    if (late.size > LATE_MAX) for (const oldest of late) return void late.delete(oldest);
  }

  /** All requests for `piece` are pointless now. @returns the connections that were asked */
  expirePiece(piece: number): readonly Connection[] {
    if (this.copies(piece) === 0) return NOBODY;
    const connections = this.#requestsFor(piece).map(({ connection }) => connection);
    for (const connection of connections) this.expire(connection, piece);
    return connections;
  }

  /** A payload of `piece` came from `connection`. @returns true when it had been asked for and is not forgotten */
  expects(connection: Connection, piece: number): boolean {
    return this.isAsked(connection, piece) || (connection.late?.has(piece) ?? false);
  }

  /** The payload of a late piece came: it is not expected twice. */
  forgetLate(connection: Connection, piece: number): void {
    connection.late?.delete(piece);
  }

  /** The connection is gone. @returns the pieces it was asked for */
  drop(connection: Connection): readonly number[] {
    const pieces = connection.asked.map((request) => request.piece);
    for (const piece of pieces) this.settle(connection, piece);
    connection.late = undefined;
    return pieces;
  }

  /** Who is writing `piece`. */
  writerOf(piece: number): Connection | undefined {
    for (let at = 0; at < this.#written.length; at++) if (this.#written[at] === piece) return this.#writers[at];
    return undefined;
  }

  get writers(): number {
    return this.#writers.length;
  }

  /** Pieces being written, with their connections. */
  writersByPiece(): [piece: number, connection: Connection][] {
    return this.#writers.map((connection, i) => [this.#written[i] as number, connection]);
  }

  /** `connection` starts to write `piece`; one writer per piece. */
  startWriting(connection: Connection, piece: number): void {
    this.#writers.push(connection);
    this.#written.push(piece);
    connection.writing++;
  }

  stopWriting(piece: number): void {
    const at = this.#written.indexOf(piece);
    const connection = this.#writers[at];
    if (connection === undefined) return;
    take(this.#writers, at);
    take(this.#written, at);
    connection.writing--;
  }

  /** Oldest first. O(peers + requests in flight). */
  #requestsFor(piece: number): { readonly connection: Connection; readonly request: PieceRequest }[] {
    const found = [];
    for (const connection of this.#peers.peers) {
      const at = place(connection.asked, piece);
      if (at >= 0) found.push({ connection, request: connection.asked[at] as PieceRequest });
    }
    return found.sort((a, b) => a.request.turn - b.request.turn);
  }
}

const NOBODY: readonly Connection[] = [];

/** Where the request for `piece` is, or -1. */
function place(requests: readonly PieceRequest[], piece: number): number {
  for (let at = 0; at < requests.length; at++) if (requests[at]?.piece === piece) return at;
  return -1;
}

/** Take an item out of a short list, where `splice` costs more than the list. */
function take(items: unknown[], at: number): void {
  for (let next = at + 1; next < items.length; next++) items[next - 1] = items[next];
  items.pop();
}
