/** Where a tracker keeps peers when not in its own memory, for instance in a store that several trackers share. */
import type { InfoHash, PeerId, PeerInfo } from '@kraken/core/content';

/**
 * Errors of `announce` and `leave` are only logged: the announcer still gets its peers. A failing `sample` leaves the
 * announcer with the origins.
 */
export interface PeerDirectory {
  /** Record or renew a peer. */
  announce(infoHash: InfoHash, peer: PeerInfo): Promise<void>;
  /** The peer left the swarm. */
  leave(infoHash: InfoHash, peerId: PeerId): Promise<void>;
  /** Up to `count` random peers in random order; the announcer may be among them. */
  sample(infoHash: InfoHash, count: number): Promise<readonly PeerInfo[]>;
}
