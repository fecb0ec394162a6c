/**
 * The network events of a node, one JSON object per line, with Kraken's names and fields. Source: spec p2p.md §9.3.
 * Owns the translation of the machine's observations. Never influences anything.
 *
 * Differs from Go: piece 0 is written, not left out.
 */
import type { Bitfield, Digest, InfoHash, PeerId } from '@kraken/core/content';
import type { Logger } from '@kraken/core/ports';
import type { SwarmObservation } from '@kraken/core/swarm';
import type { Clock } from './clock.js';
import { LineFile } from './line-file.js';

/** Where network events are written. */
export interface NetworkEventOptions {
  /** JSON lines, appended. */
  readonly path: string;
  /** A file so long is kept as `<path>.previous`, and a new one begins. Default 256 MiB. Guess. */
  readonly sizeLimitBytes?: number;
}

export interface NetworkEventContext {
  readonly self: PeerId;
  /** `connstate.max_open_conn` at start. */
  readonly connCapacity: number;
  /** Our pieces of a blob that is open. */
  readonly have: (digest: Digest) => Bitfield | undefined;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
}

interface EventFields {
  readonly peer?: PeerId;
  readonly piece?: number;
  readonly bitfield?: readonly boolean[];
  readonly duration_ms?: number;
  readonly conn_capacity?: number;
}

const SIZE_LIMIT_BYTES = 256 * 2 ** 20;
/** Torrents whose info hash is known; more than a node has in memory. */
const TORRENTS_MAX = 16_384;

/** @throws KrakenError `config-invalid` when the file cannot be made */
export function openNetworkEvents(
  options: NetworkEventOptions,
  context: NetworkEventContext,
  logger: Logger,
  clock: Clock,
): NetworkEvents {
  const file = new LineFile(
    {
      path: options.path,
      sizeLimitBytes: options.sizeLimitBytes ?? SIZE_LIMIT_BYTES,
      atLimit: 'begin-anew',
      what: 'network events',
    },
    logger,
    clock,
  );
  return new NetworkEvents(context, file);
}

export class NetworkEvents {
  readonly #context: NetworkEventContext;
  readonly #file: Pick<LineFile, 'append' | 'close'>;
  readonly #torrents = new Map<Digest, { readonly infoHash: InfoHash; complete: boolean }>();

  constructor(context: NetworkEventContext, file: Pick<LineFile, 'append' | 'close'>) {
    this.#context = context;
    this.#file = file;
  }

  note(seen: SwarmObservation): void {
    switch (seen.kind) {
      case 'torrent-added':
        this.#added(seen.digest, seen.infoHash, seen.complete);
        return;
      case 'torrent-completed':
        this.#completed(seen.digest);
        return;
      case 'torrent-removed':
        if (this.#torrents.get(seen.digest)?.complete === false) this.#write('torrent_cancelled', seen.digest, {});
        return;
      case 'connection-added':
        this.#write('add_active_conn', seen.digest, { peer: seen.peer });
        return;
      case 'connection-dropped':
        this.#write('drop_active_conn', seen.digest, { peer: seen.peer });
        return;
      case 'peer-blacklisted':
        this.#write('blacklist_conn', seen.digest, { peer: seen.peer, duration_ms: Math.round(seen.durationMs) });
        return;
      case 'piece-requested':
        this.#write('request_piece', seen.digest, { peer: seen.peer, piece: seen.piece });
        return;
      case 'piece-received':
        this.#write('receive_piece', seen.digest, { peer: seen.peer, piece: seen.piece });
        return;
      default:
      // Go has no event for it.
    }
  }

  close(): void {
    this.#file.close();
  }

  #added(digest: Digest, infoHash: InfoHash, complete: boolean): void {
    this.#torrents.delete(digest);
    this.#torrents.set(digest, { infoHash, complete: false });
    if (this.#torrents.size > TORRENTS_MAX) {
      const [oldest] = this.#torrents.keys();
      if (oldest !== undefined) this.#torrents.delete(oldest);
    }
    const { connCapacity, have } = this.#context;
    const pieces = have(digest);
    this.#write('add_torrent', digest, {
      ...(pieces === undefined
        ? {}
        : { bitfield: Array.from({ length: pieces.length }, (_piece, i) => pieces.has(i)) }),
      conn_capacity: connCapacity,
    });
    if (complete) this.#completed(digest);
  }

  #completed(digest: Digest): void {
    const torrent = this.#torrents.get(digest);
    if (torrent !== undefined) torrent.complete = true;
    this.#write('torrent_complete', digest, {});
  }

  #write(event: string, digest: Digest, fields: EventFields): void {
    const torrent = this.#torrents.get(digest)?.infoHash;
    if (torrent === undefined) return;
    const { self, wallClock } = this.#context;
    const ts = new Date(wallClock()).toISOString();
    this.#file.append(JSON.stringify({ event, torrent, self, ts, ...fields }));
  }
}
