/**
 * The messages of the peer wire as values. Source: spec p2p.md §2.2–§2.4. Only the codec knows the
 * protobuf form.
 */
import type { Bitfield, Digest, InfoHash, PeerId } from '../content/index.js';

/** The first message in each direction (Kraken: BITFIELD). */
export interface Handshake {
  readonly peerId: PeerId;
  readonly digest: Digest;
  readonly infoHash: InfoHash;
  /** Namespace of the download; empty from an acceptor. */
  readonly namespace: string;
  /** Our pieces. As a sender `length` = number of pieces; from a peer, check it. */
  readonly bitfield: Bitfield;
  /** Peers attached to the sender's torrent. Go sends empty bitsets as values, so only the keys mean anything. */
  readonly neighbours: readonly PeerId[];
  /** Field 1 of the envelope: our extension; empty from Go. Without it: a Go peer. */
  readonly version: string;
}

/** Everything after the handshake, but payload headers. */
export type PeerMessage =
  | { readonly type: 'piece-request'; readonly piece: number; readonly offset: number; readonly length: number }
  | { readonly type: 'announce-piece'; readonly piece: number }
  | { readonly type: 'cancel-piece'; readonly piece: number }
  | { readonly type: 'complete' }
  /** Go's ErrorMessage with code PIECE_REQUEST_FAILED (0); other codes are kept for logs only. */
  | { readonly type: 'error'; readonly piece: number; readonly code: number; readonly text: string }
  /** A BITFIELD after the handshake, or a type number that we do not know: logged and ignored. */
  | { readonly type: 'ignored'; readonly says: string };

/**
 * Ours: parts of a piece layer between peers that both named the `layer` capability. They carry content, so hosts deal
 * with them and the swarm machine never sees one.
 */
export type LayerMessage =
  /** Send `count` hashes from piece `first` on. */
  | { readonly type: 'layer-request'; readonly first: number; readonly count: number }
  /** The hashes, 32 bytes each; none: the sender does not have the layer. */
  | { readonly type: 'layer-hashes'; readonly first: number; readonly hashes: Uint8Array };

/** Header of a payload; `length` raw bytes follow the frame. */
export interface PayloadHeader {
  readonly type: 'piece-payload';
  readonly piece: number;
  readonly offset: number;
  readonly length: number;
}
