/** What of a node outlives a crash: its identity, its address, its network card and its disk. */
import type { PeerId, PeerInfo } from '../content/index.js';
import type { PieceContent, SimDisk } from './disk.js';
import type { SimHost } from './host.js';
import type { Nic } from './links/index.js';
import type { Network } from './network.js';

export class SimNode {
  /** The present life; undefined while the node is off. */
  host: SimHost | undefined;
  /** What a node that lies puts on the wire for its good pieces. */
  served: () => PieceContent = () => 'good';
  /** Takes requests and sends no payload. */
  stalled = false;
  readonly #rates: { readonly up: number; readonly down: number };

  constructor(
    /** Dense from 0; agents first. */
    readonly number: number,
    readonly role: 'agent' | 'origin',
    readonly peerId: PeerId,
    readonly ip: string,
    readonly port: number,
    readonly nic: Nic,
    readonly disk: SimDisk,
  ) {
    this.#rates = { up: nic.upRate, down: nic.downRate };
  }

  /** Run the card at a fraction of its rates. */
  slowDown(factor: number, network: Network): void {
    this.nic.upRate = this.#rates.up * factor;
    this.nic.downRate = this.#rates.down * factor;
    network.links.rateChanged(this.nic);
  }

  /** Hold back payloads that are asked for from now on, or let go of them. */
  stall(stalled: boolean): void {
    this.stalled = stalled;
    if (stalled || this.host === undefined) return;
    for (const end of this.host.endpoints.values()) end.sendQueued();
  }

  /** As trackers hand it out for a blob. */
  peerInfo(complete: boolean): PeerInfo {
    return { peerId: this.peerId, ip: this.ip, port: this.port, origin: this.role === 'origin', complete };
  }
}
