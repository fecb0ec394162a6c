/**
 * One end of one simulated connection: what the socket host of a real node keeps per socket. Owns the
 * payload that is being received, the payloads that wait to be sent, and the promise that each piece effect
 * is completed before the connection ends.
 */
import type { Digest, PeerId } from '../content/index.js';
import type { CloseReason } from '../swarm/index.js';
import type { PieceContent } from './disk.js';
import type { Flow, Nic, Transfer } from './links/index.js';
import type { SimHost } from './host.js';

/** One piece on its way. */
export interface PieceTransfer extends Transfer {
  readonly digest: Digest;
  readonly piece: number;
  readonly content: PieceContent;
}

/** Payloads from one end to the other. */
export class PieceFlow implements Flow<PieceTransfer> {
  readonly queue: PieceTransfer[] = [];
  modelSlot = -1;
  modelRate = 0;
  readonly #sender: Endpoint;
  readonly #receiver: Endpoint;

  constructor(
    sender: Endpoint,
    receiver: Endpoint,
    public latencyMs: number,
  ) {
    this.#sender = sender;
    this.#receiver = receiver;
  }

  get from(): Nic {
    return this.#sender.host.nic;
  }

  get to(): Nic {
    return this.#receiver.host.nic;
  }

  get closed(): boolean {
    return this.#receiver.broken || this.#receiver.state === 'closed' || this.#receiver.state === 'closing';
  }

  headArrived(transfer: PieceTransfer): void {
    this.#receiver.headArrived(transfer);
  }

  sent(transfer: PieceTransfer): void {
    this.#sender.pieceSent(transfer);
  }

  received(transfer: PieceTransfer): void {
    this.#receiver.pieceReceived(transfer);
  }
}

export type EndpointState = 'dialling' | 'handshaking' | 'open' | 'closing' | 'closed';

export class Endpoint {
  state: EndpointState;
  /** The other end; unset until the other host has accepted the socket. */
  other: Endpoint | undefined;
  /** Payloads that leave from here; unset until both ends exist. */
  out: PieceFlow | undefined;
  /** The link was cut: nothing arrives here any more, and nobody has noticed. */
  broken = false;
  /** Who is there, by its handshake or by our dial. */
  remote: PeerId | undefined;
  /** The payload that is being read, and whether it was permitted. */
  #reading: PieceTransfer | undefined;
  #permitted = false;
  /** Headers behind the payload that is being read. */
  readonly #heads: PieceTransfer[] = [];
  /** Pieces read in full whose write is under way. */
  #writing = 0;
  #closeReason: CloseReason | undefined;

  constructor(
    readonly host: SimHost,
    readonly conn: number,
    readonly digest: Digest,
    state: EndpointState,
  ) {
    this.state = state;
  }

  /** Effect `send-piece`. */
  sendPiece(digest: Digest, piece: number, length: number, content: PieceContent): void {
    const flow = this.out;
    if (this.state !== 'open' || flow === undefined) {
      this.#sendFailed(digest, piece);
      return;
    }
    flow.queue.push({ digest, piece, length, content, sent: 0 });
    if (flow.queue.length === 1) this.sendQueued();
  }

  /** Set what waits in motion, unless something holds it back. */
  sendQueued(): void {
    const flow = this.out;
    if (flow === undefined || flow.queue.length === 0 || flow.closed || this.host.nodeState.stalled) return;
    this.host.network.links.wake(flow);
  }

  pieceSent(transfer: PieceTransfer): void {
    if (this.state !== 'open') return;
    this.host.network.bytesSent(this.host, transfer);
    this.host.post({ type: 'piece-sent', conn: this.conn, digest: transfer.digest, piece: transfer.piece });
  }

  headArrived(transfer: PieceTransfer): void {
    if (this.state !== 'open') return;
    if (this.#reading !== undefined) {
      this.#heads.push(transfer);
      return;
    }
    this.#reading = transfer;
    this.#permitted = false;
    this.host.post({
      type: 'payload-started',
      conn: this.conn,
      piece: transfer.piece,
      offset: 0,
      length: transfer.length,
    });
  }

  /** Effects `receive-piece` and `discard-payload`. */
  permit(receive: boolean): void {
    this.#permitted = receive;
  }

  pieceReceived(transfer: PieceTransfer): void {
    if (this.state !== 'open') return;
    // A head can come later than its payload only when both were buffered behind another payload.
    if (this.#reading !== transfer) return;
    const permitted = this.#permitted;
    this.#reading = undefined;
    if (permitted) {
      this.#writing++;
      this.host.writePiece(transfer, (verdict) => {
        this.#writing--;
        this.host.post({
          type: 'piece-stored',
          conn: this.conn,
          digest: transfer.digest,
          piece: transfer.piece,
          verdict,
        });
        if (verdict === 'ok') this.host.pieceStored(transfer.digest, transfer.piece);
        if (this.state === 'closing') this.#finishClose();
      });
    }
    const next = this.#heads.shift();
    if (next !== undefined) this.headArrived(next);
  }

  /** Either side ended the connection. Later calls change nothing: the first reason stands. */
  close(reason: CloseReason): void {
    if (this.state === 'closed' || this.state === 'closing') return;
    this.state = 'closing';
    this.#closeReason = reason;
    this.#heads.length = 0;
    if (this.#reading !== undefined && this.#permitted) {
      const { digest, piece } = this.#reading;
      this.host.post({ type: 'piece-stored', conn: this.conn, digest, piece, verdict: 'aborted' });
    }
    this.#reading = undefined;
    if (this.out !== undefined) {
      const unsent = this.out.queue.splice(0);
      this.host.network.links.abort(this.out);
      for (const { digest, piece } of unsent) this.#sendFailed(digest, piece);
    }
    this.#finishClose();
  }

  #finishClose(): void {
    if (this.#writing > 0 || this.#closeReason === undefined) return;
    this.state = 'closed';
    this.host.endpoints.delete(this.conn);
    this.host.post({ type: 'connection-closed', conn: this.conn, reason: this.#closeReason });
  }

  #sendFailed(digest: Digest, piece: number): void {
    this.host.post({
      type: 'piece-send-failed',
      conn: this.conn,
      digest,
      piece,
      failure: { code: 'network-error', says: 'the connection has ended' },
    });
  }
}
