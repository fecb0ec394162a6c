/**
 * Requests in flight of one torrent, and who is writing which piece. Every operation costs O(requests of one connection)
 * or O(copies of one piece), both bounded by configuration. Source: spec p2p.md §5.2.
 *
 * What is asked of a connection lies on the connection; only this file changes it. Keeps there also the pieces whose request
 * expired or was answered by somebody else: their payload may still come and is then not unsolicited. Never decides whom to ask.
 */
import type { Connection } from './connection.js';

/** Remembered late pieces of one connection; older ones are forgotten. Guess: far above any pipeline. */
const LATE_MAX = 64;

export interface PieceRequest {
  readonly piece: number;
  readonly connection: Connection;
  deadlineAt: number;
}

export class PieceRequests {
  readonly #byPiece = new Map<number, PieceRequest[]>();
  /** Who writes what; few at a time. */
  readonly #writers: Connection[] = [];
  readonly #written: number[] = [];

  /** Pieces asked for, in the order in which they were first asked. */
  piecesInFlight(): Iterable<number> {
    return this.#byPiece.keys();
  }

  /** Number of peers that `piece` is asked from. */
  copies(piece: number): number {
    return this.#byPiece.get(piece)?.length ?? 0;
  }

  /** Pieces that are asked for. */
  get size(): number {
    return this.#byPiece.size;
  }

  isAsked(connection: Connection, piece: number): boolean {
    return place(connection.asked, piece) >= 0;
  }

  add(connection: Connection, piece: number, deadlineAt: number): void {
    const request: PieceRequest = { piece, connection, deadlineAt };
    const copies = this.#byPiece.get(piece);
    if (copies === undefined) this.#byPiece.set(piece, [request]);
    else copies.push(request);
    connection.asked.push(request);
    connection.late?.delete(piece);
  }

  /** The payload has begun: the request of `connection`, or a late one, has a new deadline and counts as the newest. */
  begin(connection: Connection, piece: number, deadlineAt: number): void {
    connection.late?.delete(piece);
    const at = place(connection.asked, piece);
    const request = connection.asked[at];
    const copies = this.#byPiece.get(piece);
    if (request === undefined || copies === undefined) return this.add(connection, piece, deadlineAt);
    request.deadlineAt = deadlineAt;
    toEnd(connection.asked, at);
    toEnd(copies, copies.indexOf(request));
    if (copies.length > 1) return;
    this.#byPiece.delete(piece);
    this.#byPiece.set(piece, copies);
  }

  /** The request is over. @returns false when there was none */
  settle(connection: Connection, piece: number): boolean {
    const at = place(connection.asked, piece);
    const request = connection.asked[at];
    if (request === undefined) return false;
    remove(connection.asked, at);
    const copies = this.#byPiece.get(piece);
    if (copies === undefined) return true;
    if (copies.length === 1) this.#byPiece.delete(piece);
    else remove(copies, copies.indexOf(request));
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
    const copies = this.#byPiece.get(piece);
    if (copies === undefined) return NOBODY;
    const connections = copies.map((request) => request.connection);
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
    return this.#written.length === 0 ? undefined : this.#writers[this.#written.indexOf(piece)];
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
    remove(this.#writers, at);
    remove(this.#written, at);
    connection.writing--;
  }
}

const NOBODY: readonly Connection[] = [];

/** Where the request for `piece` is, or -1. */
function place(requests: readonly PieceRequest[], piece: number): number {
  for (let at = 0; at < requests.length; at++) if (requests[at]?.piece === piece) return at;
  return -1;
}

function remove(items: unknown[], at: number): void {
  if (at === items.length - 1) items.pop();
  else items.splice(at, 1);
}

function toEnd(requests: PieceRequest[], at: number): void {
  if (at < requests.length - 1) requests.push(...requests.splice(at, 1));
}
