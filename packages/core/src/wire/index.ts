export { FRAME_HEADER_BYTES, FRAME_LENGTH_MAX, FrameDecoder, type FrameStep } from './frame.js';
export { decodeHandshake, encodeHandshake } from './handshake.js';
export { decodeMessage, encodeMessage, encodePayloadHeader } from './message-codec.js';
export type { Handshake, PayloadHeader, PeerMessage } from './messages.js';
