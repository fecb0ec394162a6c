/** Peer order `completeness`: who has everything first, origins spared. Source: spec tracker-agent-ring.md §2.2. */
import type { PeerOrder } from './peer-order.js';

/** Agents that have the whole blob, then origins, then agents that are still downloading. */
export const completeness: PeerOrder = {
  rank: (peer) => (peer.origin ? 1 : peer.complete ? 0 : 2),
};
