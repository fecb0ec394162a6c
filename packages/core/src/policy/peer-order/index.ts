/** The table of peer-ordering policies. A new policy is one file and one line here; the shared tests run it at once. */
import { completeness } from './completeness.js';
import { defaultOrder } from './default.js';
import type { PeerOrder } from './peer-order.js';

export type { PeerOrder } from './peer-order.js';

/** Peer orders by name. */
export type PeerOrders = Readonly<Record<string, PeerOrder>>;

/** By the name in the configuration [peerhandoutpolicy.priority]. */
export const PEER_ORDERS = {
  default: defaultOrder,
  completeness,
} as const satisfies PeerOrders;

/** A name in {@link PEER_ORDERS}. */
export type PeerOrderName = keyof typeof PEER_ORDERS;
