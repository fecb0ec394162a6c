/**
 * What the machine reports about itself, as totals: of the node and of each torrent. Owns the tallies, all of
 * them bounded. Reports them to the metrics port; never influences anything.
 */
import type { Digest, PeerId } from '@kraken/core/content';
import type { Logger, Metrics } from '@kraken/core/ports';
import type { SwarmObservation } from '@kraken/core/swarm';

/** Traffic with one peer. */
export interface PeerTraffic {
  /** Payload bytes of verified or sent pieces. */
  bytes: number;
  /** Verified or sent. */
  pieces: number;
  /** The peer is an origin; only known for peers that we receive from. */
  origin: boolean;
}

/** Totals since the start, of a node or of one torrent. */
export interface TransferStats {
  /** Requests that were sent. */
  piecesRequested: number;
  /** Pieces that came, were right, and were stored. */
  piecesReceived: number;
  /** Payloads of pieces that we had or had not asked for. */
  piecesDuplicate: number;
  /** Payloads that were wrong or could not be stored. */
  piecesRejected: number;
  /** Of the received ones: proved by the piece layer. */
  piecesProven: number;
  /** Of the rejected ones: with a right CRC-32, given away by the piece layer. */
  piecesForged: number;
  /** Pieces of a bad blob without a root that turned out to be other than an origin's. */
  piecesBlamed: number;
  /** Pieces that were handed to sockets whole. */
  piecesSent: number;
  /** Requests that were not answered in time. */
  requestsExpired: number;
  /** Behind `piecesReceived`. */
  bytesReceived: number;
  /** Behind `piecesSent`. */
  bytesSent: number;
  /** The most recent peers: 4096 of a node, 64 of a torrent. */
  readonly fromPeers: Map<PeerId, PeerTraffic>;
  /** As `fromPeers`, of what was sent. */
  readonly toPeers: Map<PeerId, PeerTraffic>;
}

/** Peers per table of the node, and of a torrent, of which there are many. Guess. */
const PEERS_MAX = 4096;
const TORRENT_PEERS_MAX = 64;
/** Torrents whose totals are kept, the longest unused one is forgotten first. Guess. */
const TORRENTS_MAX = 1024;

export function emptyStats(): TransferStats {
  return {
    piecesRequested: 0,
    piecesReceived: 0,
    piecesDuplicate: 0,
    piecesRejected: 0,
    piecesProven: 0,
    piecesForged: 0,
    piecesBlamed: 0,
    piecesSent: 0,
    requestsExpired: 0,
    bytesReceived: 0,
    bytesSent: 0,
    fromPeers: new Map(),
    toPeers: new Map(),
  };
}

export class SwarmStats {
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #torrents = new Map<Digest, TransferStats>();
  readonly total = emptyStats();
  /** Connections that are attached to torrents. */
  connections = 0;
  /** Torrents in the machine. */
  torrents = 0;

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger;
    this.#metrics = metrics;
  }

  /** `undefined` for a torrent that was not seen, or long ago. */
  of(digest: Digest): TransferStats | undefined {
    return this.#torrents.get(digest);
  }

  note(seen: SwarmObservation): void {
    switch (seen.kind) {
      case 'torrent-added':
        this.torrents++;
        this.#metrics.gauge('torrents', this.torrents);
        if (!seen.rooted) this.#metrics.count('torrents_without_root');
        this.#logger.debug(seen, 'torrent added');
        return;
      case 'layer-fetched':
        this.#metrics.count('piece_layers_fetched', 1, { from: seen.from === undefined ? 'tracker' : 'peer' });
        return;
      case 'blob-doubted':
        this.#metrics.count('blobs_doubted');
        this.#logger.warn(seen, 'a blob without a root does not fit its digest; pieces are fetched again from origins');
        return;
      case 'peer-blamed':
        for (const stats of this.#both(seen.digest)) stats.piecesBlamed++;
        this.#metrics.count('peers_blamed');
        this.#logger.warn(seen, 'a peer had sent a forged piece');
        return;
      case 'torrent-completed':
        this.#logger.info(seen, 'torrent complete');
        return;
      case 'torrent-removed':
        this.torrents--;
        this.#metrics.gauge('torrents', this.torrents);
        this.#logger.debug(seen, 'torrent removed');
        return;
      case 'connection-added':
        this.connections++;
        this.#metrics.gauge('connections', this.connections);
        return;
      case 'connection-dropped':
        this.connections--;
        this.#metrics.gauge('connections', this.connections);
        this.#metrics.count('connections_dropped', 1, { reason: seen.reason });
        this.#logger.debug(seen, 'connection dropped');
        return;
      case 'connection-refused':
        this.#metrics.count('connections_refused', 1, { reason: seen.reason });
        return;
      case 'peer-blacklisted':
        this.#metrics.count('peers_blacklisted');
        this.#logger.debug(seen, 'peer blacklisted');
        return;
      case 'peer-misbehaved':
        this.#metrics.count('peers_misbehaved');
        this.#logger.warn(seen, 'peer broke the protocol');
        return;
      case 'piece-requested':
        for (const stats of this.#both(seen.digest)) stats.piecesRequested++;
        return;
      case 'piece-received':
        for (const stats of this.#both(seen.digest)) {
          stats.piecesReceived++;
          stats.bytesReceived += seen.length;
          if (seen.proven) stats.piecesProven++;
          this.#tally(stats, stats.fromPeers, seen.peer, seen.length, seen.fromOrigin);
        }
        this.#metrics.count('piece_bandwidth', seen.length * 8, { piece_bandwidth_direction: 'ingress' });
        this.#metrics.count('pieces_verified', 1, { by: seen.proven ? 'layer' : 'crc' });
        return;
      case 'piece-uploaded':
        for (const stats of this.#both(seen.digest)) {
          stats.piecesSent++;
          stats.bytesSent += seen.length;
          this.#tally(stats, stats.toPeers, seen.peer, seen.length, false);
        }
        this.#metrics.count('piece_bandwidth', seen.length * 8, { piece_bandwidth_direction: 'egress' });
        return;
      case 'piece-duplicate':
        for (const stats of this.#both(seen.digest)) stats.piecesDuplicate++;
        this.#metrics.count('pieces_duplicate');
        return;
      case 'piece-rejected':
        for (const stats of this.#both(seen.digest)) {
          stats.piecesRejected++;
          if (seen.verdict === 'forged') stats.piecesForged++;
        }
        this.#metrics.count('pieces_rejected', 1, { verdict: seen.verdict });
        this.#logger.warn(seen, 'piece rejected');
        return;
      case 'request-expired':
        for (const stats of this.#both(seen.digest)) stats.requestsExpired++;
        this.#metrics.count('piece_request_failures');
        return;
    }
  }

  /** A blob did not fit the root in its metainfo: whoever gave that is wrong. */
  noteRejectedRoot(): void {
    this.#metrics.count('roots_rejected');
    this.#logger.error({}, 'a blob does not fit the root in its metainfo; the root is not believed again');
  }

  *#both(digest: Digest): Iterable<TransferStats> {
    yield this.total;
    let own = this.#torrents.get(digest);
    if (own === undefined) {
      own = emptyStats();
      this.#torrents.set(digest, own);
      forgetOldest(this.#torrents, TORRENTS_MAX);
    }
    yield own;
  }

  #tally(stats: TransferStats, table: Map<PeerId, PeerTraffic>, peer: PeerId, bytes: number, origin: boolean): void {
    const traffic = table.get(peer) ?? { bytes: 0, pieces: 0, origin };
    traffic.bytes += bytes;
    traffic.pieces++;
    // To the end: those that are silent for longest are forgotten first.
    table.delete(peer);
    table.set(peer, traffic);
    forgetOldest(table, stats === this.total ? PEERS_MAX : TORRENT_PEERS_MAX);
  }
}

function forgetOldest<K>(table: Map<K, unknown>, limit: number): void {
  if (table.size <= limit) return;
  const [oldest] = table.keys();
  if (oldest !== undefined) table.delete(oldest);
}
