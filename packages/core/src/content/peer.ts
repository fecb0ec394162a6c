/** A peer as the tracker hands it out, and who a node is. Source: spec p2p.md §1.4, §1.5. */
import type { PeerId } from './ids.js';

/** A peer of one torrent (Kraken: PeerInfo). */
export interface PeerInfo {
  readonly peerId: PeerId;
  /** Address to dial: IPv4, IPv6 (no brackets) or a host name. */
  readonly ip: string;
  readonly port: number;
  readonly origin: boolean;
  readonly complete: boolean;
}

/** Who a node is (Kraken: PeerContext). */
export interface PeerContext {
  readonly ip: string;
  readonly port: number;
  readonly peerId: PeerId;
  readonly zone: string;
  readonly cluster: string;
  readonly origin: boolean;
}
