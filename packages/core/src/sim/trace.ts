/**
 * The fingerprint of a run: every step of every machine, folded into 64 bits. Same seed, same
 * fingerprint, on every engine: 32-bit integer arithmetic only (two lanes of FNV-1a over 32-bit words).
 */
import type { Millis } from '../machine/index.js';
import type { SwarmEvent } from '../swarm/index.js';
import type { PeerMessage } from '../wire/index.js';

/** Part of the fingerprint: a new event type gets a new number. */
const EVENT_NUMBERS: Readonly<Record<SwarmEvent['type'], number>> = {
  'pull-requested': 1,
  'pull-cancelled': 2,
  'reader-moved': 3,
  'seed-requested': 4,
  'remove-requested': 5,
  'blob-evicted': 6,
  reconfigured: 7,
  'shutdown-requested': 8,
  woke: 9,
  'metainfo-fetched': 10,
  'metainfo-fetch-failed': 11,
  'blob-opened': 12,
  'blob-open-failed': 13,
  'announce-answered': 14,
  'announce-failed': 15,
  'dial-succeeded': 16,
  'dial-failed': 17,
  'piece-stored': 18,
  'piece-sent': 19,
  'piece-send-failed': 20,
  'blob-committed': 21,
  'blob-commit-failed': 22,
  'blob-deleted': 23,
  'blob-delete-failed': 24,
  'handshake-received': 25,
  'message-received': 26,
  'payload-started': 27,
  'connection-closed': 28,
  'layer-fetched': 29,
  'layer-fetch-failed': 30,
};

const MESSAGE_NUMBERS: Readonly<Record<PeerMessage['type'], number>> = {
  'piece-request': 1,
  'announce-piece': 2,
  'cancel-piece': 3,
  complete: 4,
  error: 5,
  ignored: 6,
};

/** A hash of everything that happened: equal runs have equal ones. */
export class TraceHash {
  #low = 0x811c9dc5 | 0;
  #high = 0x9747b28c | 0;

  /** Fold one 32-bit word in. */
  word(value: number): void {
    this.#low = Math.imul(this.#low ^ value, 0x01000193);
    // The second lane sees the word rotated and carries the first along, or both would collide together.
    this.#high = Math.imul(this.#high ^ ((value << 13) | (value >>> 19)) ^ (this.#low >>> 15), 0x01000193);
  }

  /** Fold the characters of `text` in. */
  text(text: string): void {
    for (let i = 0; i < text.length; i++) this.word(text.charCodeAt(i));
  }

  /** Fold one step in: when, where, what, and how much came of it. */
  step(now: Millis, node: number, event: SwarmEvent, effects: number): void {
    const micros = Math.floor(now * 1000);
    this.word(micros | 0);
    this.word(Math.floor(micros / 0x100000000));
    this.word(Math.imul(node, 0x10000) ^ (EVENT_NUMBERS[event.type] << 8) ^ effects);
    switch (event.type) {
      case 'message-received':
        this.word(event.conn);
        this.word(MESSAGE_NUMBERS[event.message.type]);
        if (event.message.type !== 'complete' && event.message.type !== 'ignored') this.word(event.message.piece);
        break;
      case 'piece-stored':
        this.word(event.conn);
        this.word(event.piece);
        this.text(event.verdict);
        break;
      case 'piece-sent':
      case 'piece-send-failed':
      case 'payload-started':
        this.word(event.conn);
        this.word(event.piece);
        break;
      case 'connection-closed':
        this.word(event.conn);
        this.text(event.reason);
        break;
      case 'dial-succeeded':
      case 'dial-failed':
      case 'handshake-received':
        this.word(event.conn);
        break;
      case 'announce-answered':
        this.word(event.peers.length);
        for (const peer of event.peers) this.text(peer.peerId.slice(0, 8));
        break;
      case 'reader-moved':
        this.word(event.pull);
        this.word(event.piece);
        break;
      case 'pull-requested':
      case 'pull-cancelled':
        this.word(event.pull);
        break;
      default:
        break;
    }
  }

  /** 16 hex characters. */
  hex(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }
}
