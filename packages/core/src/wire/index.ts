export { FRAME_HEADER_BYTES, FRAME_LENGTH_MAX, FrameDecoder, type FrameStep } from './frame.js';
export { decodeHandshake, encodeHandshake } from './handshake.js';
export { hasCapability, LAYER_CAPABILITY } from './capabilities.js';
export { decodeMessage, encodeLayerMessage, encodeMessage, encodePayloadHeader } from './message-codec.js';
export type { Handshake, LayerMessage, PayloadHeader, PeerMessage } from './messages.js';
