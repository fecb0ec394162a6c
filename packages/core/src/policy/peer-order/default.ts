/** Peer order `default`: no preference. Source: spec tracker-agent-ring.md §2.2. */
import type { PeerOrder } from './peer-order.js';

/** Every peer is as good as any other: random agents first, origins last, as they are assembled. */
export const defaultOrder: PeerOrder = { rank: () => 0 };
