export { PEER_ORDERS, type PeerOrder, type PeerOrderName, type PeerOrders } from './peer-order/index.js';
export {
  PIECE_CHOICES,
  type PieceChoice,
  type PieceChoices,
  type PieceQuestion,
  type RarityGroups,
} from './piece-choice/index.js';
export { SWARM_POLICIES, type SwarmPolicy } from './swarm-policy/index.js';
