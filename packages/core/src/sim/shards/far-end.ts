/** The other end of a connection whose host runs on another shard, and the payloads from here to it and back. */
import { PieceFlow, type Endpoint, type PieceTransfer } from '../endpoint.js';
import type { FarReceiver } from '../links/index.js';

/** Where an endpoint's other end is. */
export interface FarEnd {
  readonly shard: number;
  readonly node: number;
  /** Number by which that shard knows the other end; -1 until it has said so. */
  theirs: number;
  /** Number by which that shard names this end. */
  readonly ours: number;
}

/**
 * One end of a flow in both directions: what is queued leaves from here, what arrives is read here. It is closed when nobody
 * reads here any more; that nobody reads there is known when the hang-up comes, which ends the flow.
 */
export class FarFlow extends PieceFlow {
  /** The payload whose header has come and whose last byte has not. Payloads of one connection come one after the other. */
  arriving: PieceTransfer | undefined;

  constructor(
    end: Endpoint,
    readonly far: FarReceiver<PieceTransfer>,
  ) {
    super(end, end);
  }
}
