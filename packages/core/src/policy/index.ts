export { PEER_ORDERS, type PeerOrder, type PeerOrderName } from './peer-order/index.js';
