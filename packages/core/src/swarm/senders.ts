/**
 * Who sent which piece of a blob that has no root, so that the pieces of a bad blob can be doubted and their senders found.
 * Two bytes a piece. Owns only that; source: spec p2p.md §10 (nobody is blamed in Go).
 */
import { Bitfield, type PeerId } from '../content/index.js';

/** Not received in this life of the torrent, or from somebody whose name is lost. */
const UNKNOWN = 0;
const ORIGIN = 1;
const FIRST_PEER = 2;
const CODES_MAX = 2 ** 16;

/** A connection of the torrent. */
export interface Sender {
  readonly peer: PeerId;
  readonly origin: boolean;
  /**
   * Its peer's code, 0 until it has sent something. Kept by {@link Senders}: a torrent that begins again gets new ones, and new
   * connections.
   */
  senderCode: number;
}

export class Senders {
  readonly #codes: Uint16Array;
  readonly #peers: PeerId[] = [];
  readonly #codeOf = new Map<PeerId, number>();

  constructor(pieces: number) {
    this.#codes = new Uint16Array(pieces);
  }

  /** @param sender absent when the connection is gone */
  note(piece: number, sender: Sender | undefined): void {
    this.#codes[piece] = sender === undefined ? UNKNOWN : sender.origin ? ORIGIN : this.#code(sender);
  }

  /** The agent that sent `piece`; `undefined` for an origin, or when it is not known. */
  of(piece: number): PeerId | undefined {
    const code = this.#codes[piece] ?? UNKNOWN;
    return code < FIRST_PEER ? undefined : this.#peers[code - FIRST_PEER];
  }

  /** Pieces that did not demonstrably come from an origin. */
  suspects(): Bitfield {
    const suspects = new Bitfield(this.#codes.length);
    this.#codes.forEach((code, piece) => {
      if (code !== ORIGIN) suspects.set(piece);
    });
    return suspects;
  }

  #code(sender: Sender): number {
    if (sender.senderCode === UNKNOWN) sender.senderCode = this.#codeOf.get(sender.peer) ?? this.#newCode(sender.peer);
    return sender.senderCode;
  }

  #newCode(peer: PeerId): number {
    const code = FIRST_PEER + this.#peers.length;
    if (code >= CODES_MAX) return UNKNOWN;
    this.#peers.push(peer);
    this.#codeOf.set(peer, code);
    return code;
  }
}
