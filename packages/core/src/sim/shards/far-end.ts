/** The other end of a connection whose host runs on another shard, and the payloads from here to it and back. */
import type { Endpoint, PieceTransfer } from '../endpoint.js';
import type { FarReceiver, Flow, Nic } from '../links/index.js';

/** Where an endpoint's other end is. */
export interface FarEnd {
  readonly shard: number;
  readonly node: number;
  /** Number by which that shard knows the other end; -1 until it has said so. */
  theirs: number;
  /** Number by which that shard names this end. */
  readonly ours: number;
}

/** One end of a flow in both directions: what is queued leaves from here, what arrives is read here. */
export class FarFlow implements Flow<PieceTransfer> {
  readonly queue: PieceTransfer[] = [];
  modelSlot = -1;
  /** The payload whose header has come and whose last byte has not. Payloads of one connection come one after the other. */
  arriving: PieceTransfer | undefined;
  readonly #end: Endpoint;

  constructor(
    end: Endpoint,
    readonly latencyMs: number,
    readonly far: FarReceiver<PieceTransfer>,
  ) {
    this.#end = end;
  }

  get from(): Nic {
    return this.#end.host.nic;
  }

  /** As seen by what arrives here; what leaves never asks. */
  get to(): Nic {
    return this.#end.host.nic;
  }

  /** Nobody reads here any more. That nobody reads there is known when the hang-up comes, which ends the flow. */
  get closed(): boolean {
    return this.#end.isDeaf;
  }

  headArrived(transfer: PieceTransfer): void {
    this.#end.headArrived(transfer);
  }

  sent(transfer: PieceTransfer): void {
    this.#end.pieceSent(transfer);
  }

  received(transfer: PieceTransfer): void {
    this.#end.pieceReceived(transfer);
  }
}
