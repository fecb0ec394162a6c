/**
 * A peer in the tracker's memory, with its JSON text. Owns the text alone.
 *
 * A peer is handed out some fifty times between two of its announces, and spelling it costs more than all the rest of an
 * answer. The text lies in the object itself: among half a million peers every look elsewhere misses the processor's caches.
 */
import { peerInfoToJson, type PeerId, type PeerInfo } from '../content/index.js';
import { detached, flat } from '../content/detached.js';

export class RecordedPeer implements PeerInfo {
  readonly peerId: PeerId;
  readonly ip: string;
  readonly port: number;
  readonly origin = false;
  readonly complete: boolean;
  #text: string | undefined;

  /** The `origin` flag is not kept: origins are known from the origin cluster, not from what they say. */
  constructor(peer: PeerInfo) {
    this.peerId = peer.peerId;
    this.ip = detached(peer.ip);
    this.port = peer.port;
    this.complete = peer.complete;
  }

  /** As in an answer to an announce. */
  get text(): string {
    return (this.#text ??= flat(peerInfoToJson(this)));
  }

  /** Whether `peer`, of the same id, says the same. */
  isStill(peer: PeerInfo): boolean {
    return this.complete === peer.complete && this.port === peer.port && this.ip === peer.ip;
  }
}
