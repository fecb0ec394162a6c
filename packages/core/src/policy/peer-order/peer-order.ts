/** What a peer-ordering policy is. Source: spec tracker-agent-ring.md §2. Knows no machine. */
import type { PeerInfo } from '../../content/index.js';

/**
 * Ranks the peers of a handout. Agents dial from the front and stop after about ten, so the order decides who gets
 * the load. Peers of equal rank keep their order, which is random for agents.
 */
export interface PeerOrder {
  /** Lower comes first. Must be a number (not NaN) and depend on `peer` alone. */
  rank(peer: PeerInfo): number;
}
