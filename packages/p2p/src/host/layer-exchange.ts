/**
 * Piece layers between peers: serves parts of ours, and gathers a whole one from one peer, part by part. Owns what is being
 * gathered, one layer per connection, bounded by the piece count of the metainfo. Everything comes from one peer, so a
 * layer that does not fit its root has one culprit.
 *
 * Never decides whom to ask, never believes a layer: the torrent file checks it against the root.
 */
import { HASH_BYTES, layerBytes, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { encodeLayerMessage, type LayerMessage } from '@kraken/core/wire';
import type { Clock } from './clock.js';
import type { HeldFile } from './torrent-table.js';

/** Hashes of one message: 16 KiB, half of the longest frame. */
const HASHES_MAX = 512;
/** A part must come within this time. Guess. */
const PART_TIMEOUT_MS = 5000;

export interface LayerExchangeOptions {
  readonly clock: Clock;
  readonly torrent: (digest: Digest) => HeldFile | undefined;
  readonly send: (conn: number, frame: Uint8Array) => void;
}

interface Gathering {
  readonly layer: Uint8Array;
  /** Hash that comes next. */
  next: number;
  readonly settle: (error?: KrakenError) => void;
  cancelTimer: () => void;
}

export class LayerExchange {
  readonly #options: LayerExchangeOptions;
  /** What each connection exchanges. */
  readonly #digests = new Map<number, Digest>();
  readonly #gathering = new Map<number, Gathering>();
  /** Connections that wait for a part of ours: one at a time, so that nobody makes us read much. */
  readonly #serving = new Set<number>();

  constructor(options: LayerExchangeOptions) {
    this.#options = options;
  }

  /**
   * Ask the peer for the whole layer of `digest` and hand it to the torrent file.
   * @throws KrakenError `layer-invalid` when the peer's layer does not fit the root; `peer-unreachable` when it has none, is
   * silent or goes away
   */
  async fetch(conn: number, digest: Digest): Promise<void> {
    const held = this.#options.torrent(digest)?.use();
    if (held === undefined) throw new KrakenError('internal', `layer of ${digest}, which is not open`);
    try {
      const { proof, metainfo } = held.file;
      if (proof?.isWaiting !== true) return;
      const layer = new Uint8Array(layerBytes(metainfo.length, metainfo.pieceLength));
      await new Promise<void>((resolve, reject) => {
        const gathering: Gathering = {
          layer,
          next: 0,
          settle: (error) => {
            gathering.cancelTimer();
            this.#gathering.delete(conn);
            if (error === undefined) resolve();
            else reject(error);
          },
          cancelTimer: () => undefined,
        };
        this.#gathering.get(conn)?.settle(gone('asked again'));
        this.#gathering.set(conn, gathering);
        this.#ask(conn, gathering);
      });
      await proof.accept(layer);
    } finally {
      held.done();
    }
  }

  /** A handshake came over `conn`. */
  opened(conn: number, digest: Digest): void {
    this.#digests.set(conn, digest);
  }

  /** A message came from `conn`. */
  received(conn: number, message: LayerMessage): void {
    const digest = this.#digests.get(conn);
    if (digest === undefined) return;
    if (message.type === 'layer-request') void this.#serve(conn, digest, message.first, message.count);
    else this.#gathered(conn, message.first, message.hashes);
  }

  /** The connection is gone. */
  closed(conn: number): void {
    this.#digests.delete(conn);
    this.#gathering.get(conn)?.settle(gone('closed the connection'));
  }

  #ask(conn: number, gathering: Gathering): void {
    const { clock, send } = this.#options;
    const missing = gathering.layer.length / HASH_BYTES - gathering.next;
    const count = Math.min(HASHES_MAX, missing);
    gathering.cancelTimer();
    gathering.cancelTimer = clock.after(PART_TIMEOUT_MS, () => gathering.settle(gone('did not answer in time')));
    send(conn, encodeLayerMessage({ type: 'layer-request', first: gathering.next, count }));
  }

  #gathered(conn: number, first: number, hashes: Uint8Array): void {
    const gathering = this.#gathering.get(conn);
    // Late, or never asked for: it costs nothing.
    if (gathering === undefined || first !== gathering.next) return;
    const at = HASH_BYTES * first;
    if (hashes.length === 0 || at + hashes.length > gathering.layer.length) {
      gathering.settle(gone('does not have the layer'));
      return;
    }
    gathering.layer.set(hashes, at);
    gathering.next += hashes.length / HASH_BYTES;
    if (HASH_BYTES * gathering.next === gathering.layer.length) gathering.settle();
    else this.#ask(conn, gathering);
  }

  /** Answer with what there is of the part; with nothing when the layer is not here. */
  async #serve(conn: number, digest: Digest, first: number, count: number): Promise<void> {
    if (this.#serving.has(conn)) return;
    this.#serving.add(conn);
    const held = this.#options.torrent(digest)?.use();
    let hashes = new Uint8Array(0);
    try {
      const layer = await held?.file.layer?.();
      if (layer !== undefined) {
        hashes = layer.slice(HASH_BYTES * first, HASH_BYTES * (first + Math.min(count, HASHES_MAX)));
      }
    } catch {
      // Unreadable here; the peer asks somebody else.
    } finally {
      held?.done();
      this.#serving.delete(conn);
    }
    this.#options.send(conn, encodeLayerMessage({ type: 'layer-hashes', first, hashes }));
  }
}

function gone(what: string): KrakenError {
  return new KrakenError('peer-unreachable', `the peer ${what}`);
}
