export type { Handshake, PayloadHeader, PeerMessage } from './messages.js';
