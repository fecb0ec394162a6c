/**
 * Requests in flight of one torrent, and who is writing which piece. Every operation costs O(requests of one connection)
 * or O(copies of one piece), both bounded by configuration. Source: spec p2p.md §5.2.
 *
 * Keeps, per connection, the pieces whose request expired or was answered by somebody else: their payload may still
 * come and is then not unsolicited. Never decides whom to ask.
 */

/** Remembered late pieces of one connection; older ones are forgotten. Guess: far above any pipeline. */
const LATE_MAX = 64;

export interface PieceRequest {
  readonly piece: number;
  readonly conn: number;
  readonly deadlineAt: number;
}

export class PieceRequests {
  readonly #byPiece = new Map<number, PieceRequest[]>();
  readonly #byConn = new Map<number, PieceRequest[]>();
  readonly #late = new Map<number, Set<number>>();
  readonly #writers = new Map<number, number>();
  readonly #writing = new Map<number, number>();

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

  inFlight(conn: number): number {
    return this.#byConn.get(conn)?.length ?? 0;
  }

  of(conn: number): readonly PieceRequest[] {
    return this.#byConn.get(conn) ?? [];
  }

  isAsked(conn: number, piece: number): boolean {
    return this.of(conn).some((request) => request.piece === piece);
  }

  add(conn: number, piece: number, deadlineAt: number): void {
    const request = { piece, conn, deadlineAt };
    push(this.#byPiece, piece, request);
    push(this.#byConn, conn, request);
    this.#late.get(conn)?.delete(piece);
  }

  /** The request is over. @returns false when there was none */
  settle(conn: number, piece: number): boolean {
    if (!take(this.#byConn, conn, (request) => request.piece === piece)) return false;
    take(this.#byPiece, piece, (request) => request.conn === conn);
    return true;
  }

  /** Give the request up but expect its payload. */
  expire(conn: number, piece: number): void {
    if (!this.settle(conn, piece)) return;
    let late = this.#late.get(conn);
    if (late === undefined) this.#late.set(conn, (late = new Set()));
    late.add(piece);
    if (late.size > LATE_MAX) for (const oldest of late) return void late.delete(oldest);
  }

  /** All requests for `piece` are pointless now. @returns the connections that were asked */
  expirePiece(piece: number): readonly number[] {
    const conns = (this.#byPiece.get(piece) ?? []).map((request) => request.conn);
    for (const conn of conns) this.expire(conn, piece);
    return conns;
  }

  /** A payload of `piece` came from `conn`. @returns true when it had been asked for and is not forgotten */
  expects(conn: number, piece: number): boolean {
    return this.isAsked(conn, piece) || (this.#late.get(conn)?.has(piece) ?? false);
  }

  /** Remembered late pieces of a connection. */
  late(conn: number): number {
    return this.#late.get(conn)?.size ?? 0;
  }

  /** The payload of a late piece came: it is not expected twice. */
  forgetLate(conn: number, piece: number): void {
    this.#late.get(conn)?.delete(piece);
  }

  /** The connection is gone. @returns the pieces it was asked for */
  drop(conn: number): readonly number[] {
    const pieces = this.of(conn).map((request) => request.piece);
    for (const piece of pieces) this.settle(conn, piece);
    this.#late.delete(conn);
    return pieces;
  }

  /** Who is writing `piece`. */
  writerOf(piece: number): number | undefined {
    return this.#writers.get(piece);
  }

  get writers(): number {
    return this.#writers.size;
  }

  /** Pieces being written, with their connections. */
  writersByPiece(): ReadonlyMap<number, number> {
    return this.#writers;
  }

  isWriting(conn: number): boolean {
    return this.#writing.has(conn);
  }

  /** `conn` starts to write `piece`; one writer per piece. */
  startWriting(conn: number, piece: number): void {
    this.#writers.set(piece, conn);
    this.#writing.set(conn, (this.#writing.get(conn) ?? 0) + 1);
  }

  stopWriting(piece: number): void {
    const conn = this.#writers.get(piece);
    if (conn === undefined) return;
    this.#writers.delete(piece);
    const left = (this.#writing.get(conn) ?? 1) - 1;
    if (left > 0) this.#writing.set(conn, left);
    else this.#writing.delete(conn);
  }
}

function push(table: Map<number, PieceRequest[]>, key: number, request: PieceRequest): void {
  const list = table.get(key);
  if (list === undefined) table.set(key, [request]);
  else list.push(request);
}

function take(table: Map<number, PieceRequest[]>, key: number, is: (request: PieceRequest) => boolean): boolean {
  const list = table.get(key);
  const at = list?.findIndex(is) ?? -1;
  if (list === undefined || at < 0) return false;
  list.splice(at, 1);
  if (list.length === 0) table.delete(key);
  return true;
}
