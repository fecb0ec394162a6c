/**
 * One end of one simulated connection: what the socket host of a real node keeps per socket. Owns the
 * payload that is being received, the payloads that wait to be sent, and the promise that each piece effect
 * is completed before the connection ends.
 */
import type { Digest, PeerId } from '../content/index.js';
import type { CloseReason, PieceVerdict } from '../swarm/index.js';
import type { PieceContent } from './disk.js';
import type { SimHost } from './host.js';
import type { Network } from './network.js';
import { Transfer, TransferQueue, type Flow, type Nic } from './links/index.js';
import type { FarEnd } from './shards/far-end.js';

/** One piece on its way. */
export class PieceTransfer extends Transfer {
  constructor(
    readonly digest: Digest,
    readonly piece: number,
    length: number,
    readonly content: PieceContent,
  ) {
    super(length);
  }
}

/** Payloads from one end to the other. */
export class PieceFlow implements Flow<PieceTransfer> {
  readonly queue = new TransferQueue<PieceTransfer>();
  readonly from: Nic;
  readonly to: Nic;
  modelSlot = -1;
  readonly #network: Network;
  readonly #sender: Endpoint;
  readonly #receiver: Endpoint;

  constructor(sender: Endpoint, receiver: Endpoint) {
    this.#network = sender.host.network;
    this.#sender = sender;
    this.#receiver = receiver;
    this.from = sender.host.nic;
    this.to = receiver.host.nic;
  }

  get latencyMs(): number {
    return this.#network.latencyMs;
  }

  get closed(): boolean {
    return this.#receiver.isDeaf;
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
  /** The link was cut: nothing arrives here any more, and nobody has noticed. */
  broken = false;
  /** The other end; unset until the other host has accepted the socket. */
  other: Endpoint | undefined;
  /** Payloads that leave from here; unset until the connection is accepted. */
  out: PieceFlow | undefined;
  /** Where the other end is when another shard runs its host; `other` is unset then. */
  far: FarEnd | undefined;
  /** Who is there, by its handshake or by our dial. */
  remote: PeerId | undefined;
  /** The payload that is being read, and whether it was permitted. */
  #reading: PieceTransfer | undefined;
  #permitted = false;
  /** Headers behind the payload that is being read. */
  #heads: PieceTransfer[] | undefined;
  /** Pieces read in full whose write is under way. */
  #writing = 0;
  #closeReason: CloseReason | undefined;
  /** The other side has closed the connection; what it had sent before is still being read. */
  #ended: CloseReason | undefined;

  constructor(
    readonly host: SimHost,
    readonly conn: number,
    readonly digest: Digest,
    state: EndpointState,
  ) {
    this.state = state;
  }

  /** Nothing is read here any more. */
  get isDeaf(): boolean {
    return this.broken || this.state === 'closing' || this.state === 'closed';
  }

  /** Effect `send-piece`. */
  sendPiece(digest: Digest, piece: number, length: number, content: PieceContent): void {
    const flow = this.out;
    if (this.state !== 'open' || this.#ended !== undefined || flow === undefined) {
      this.#sendFailed(digest, piece);
      return;
    }
    flow.queue.push(new PieceTransfer(digest, piece, length, content));
    this.sendQueued();
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
      (this.#heads ??= []).push(transfer);
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
    // Payloads of one connection are received in order, so it is the one that is being read.
    if (this.state !== 'open' || this.#reading !== transfer) return;
    const permitted = this.#permitted;
    this.#reading = undefined;
    if (permitted) {
      this.#writing++;
      this.host.writePiece(this, transfer);
    }
    const next = this.#heads?.shift();
    if (next !== undefined) this.headArrived(next);
    this.#closeWhenRead();
  }

  /** The disk is done with a piece that was read. */
  pieceWritten(transfer: PieceTransfer, verdict: PieceVerdict): void {
    const { digest, piece } = transfer;
    this.#writing--;
    const replaced = verdict === 'ok' ? this.host.nodeState.disk.replaced(digest, piece) : undefined;
    const compared = replaced === undefined ? {} : { replaced };
    this.host.post({ type: 'piece-stored', conn: this.conn, digest, piece, verdict, ...compared });
    if (verdict === 'ok') this.host.pieceStored(digest, piece);
    if (this.state === 'closing') this.#finishClose();
  }

  /**
   * The other side has closed the connection. What it had handed to its card before is read to the end, then
   * the connection is over here too; what was to go there is lost.
   */
  ended(reason: CloseReason): void {
    if (this.state !== 'open' || this.#ended !== undefined) return;
    this.#ended = reason;
    this.#stopSending();
    this.#closeWhenRead();
  }

  #closeWhenRead(): void {
    if (this.#ended !== undefined && (this.#reading === undefined || this.#reading.cut)) this.close(this.#ended);
  }

  /** Either side ended the connection. Later calls change nothing: the first reason stands. */
  close(reason: CloseReason): void {
    if (this.state === 'closed' || this.state === 'closing') return;
    this.state = 'closing';
    this.#closeReason = reason;
    this.#heads = undefined;
    if (this.#reading !== undefined && this.#permitted) {
      const { digest, piece } = this.#reading;
      this.host.post({ type: 'piece-stored', conn: this.conn, digest, piece, verdict: 'aborted' });
    }
    this.#reading = undefined;
    this.#stopSending();
    const inbound = this.far === undefined ? this.other?.out : this.out;
    if (inbound !== undefined) this.host.network.links.deafened(inbound);
    this.#finishClose();
  }

  /** The host lost power. */
  die(): void {
    this.state = 'closed';
    const { links } = this.host.network;
    if (this.out !== undefined) links.abort(this.out);
    if (this.other?.out !== undefined) links.deafened(this.other.out);
  }

  #stopSending(): void {
    if (this.out === undefined) return;
    this.host.network.links.abort(this.out);
    for (const { digest, piece } of this.out.queue.clear()) this.#sendFailed(digest, piece);
  }

  #finishClose(): void {
    if (this.#writing > 0 || this.#closeReason === undefined) return;
    this.host.network.forget(this);
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

/** Is the piece layer of its connection's blob on the disk of this end's node? */
export function hasLayer(end: Endpoint | undefined): boolean {
  return end?.host.nodeState.disk.file(end.digest)?.hasLayer === true;
}
