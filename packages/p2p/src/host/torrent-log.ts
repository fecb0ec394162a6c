/**
 * The torrent log: what becomes of downloads, torrents and connections, with Kraken's messages and fields, through
 * the node's logger. Source: spec p2p.md §9.4. Owns the words. Never influences anything.
 */
import { digestHex, type Digest, type InfoHash, type PeerId } from '@kraken/core/content';
import type { Logger } from '@kraken/core/ports';
import type { Failure, SwarmObservation } from '@kraken/core/swarm';

export interface Download {
  readonly namespace: string;
  readonly digest: Digest;
  /** Bytes; absent when it never became known. */
  readonly size: number | undefined;
  readonly elapsedMs: number;
  readonly failure: Failure | undefined;
}

/** What one peer did for a torrent. */
interface PeerTally {
  requestsSent: number;
  goodPieces: number;
  duplicatePieces: number;
  piecesSent: number;
}

interface TorrentEntry {
  readonly infoHash: InfoHash;
  complete: boolean;
  /** Of peers, the first so many. */
  readonly peers: Map<PeerId, PeerTally>;
}

/** Torrents that are known; more than a node has in memory. */
const TORRENTS_MAX = 16_384;
/** Peers told of per torrent; 0.3 KiB each, of thousands of torrents. Guess. */
const PEERS_MAX = 64;

export class TorrentLog {
  readonly #logger: Logger;
  readonly #torrents = new Map<Digest, TorrentEntry>();

  constructor(logger: Logger) {
    this.#logger = logger;
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
        this.#removed(seen.digest, seen.reason);
        return;
      case 'connection-added':
        this.#logger.debug(
          this.#connection(seen.digest, seen.peer),
          seen.inbound ? 'Incoming connection accept' : 'Outgoing connection accept',
        );
        return;
      case 'connection-refused':
        this.#logger.debug(
          { ...this.#connection(seen.digest, seen.peer), error: seen.reason },
          'Incoming connection reject',
        );
        return;
      case 'piece-requested':
        this.#tally(seen.digest, seen.peer, 'requestsSent');
        return;
      case 'piece-received':
        this.#tally(seen.digest, seen.peer, 'goodPieces');
        return;
      case 'piece-duplicate':
        this.#tally(seen.digest, seen.peer, 'duplicatePieces');
        return;
      case 'piece-uploaded':
        this.#tally(seen.digest, seen.peer, 'piecesSent');
        return;
      default:
      // Counted elsewhere, or logged as what it is.
    }
  }

  dialFailed(digest: Digest, peer: PeerId, failure: Failure): void {
    this.#logger.debug(
      { ...this.#connection(digest, peer), error: failure.says, code: failure.code },
      'Outgoing connection reject',
    );
  }

  /** A call that waited for a blob has its answer. */
  downloaded({ namespace, digest, size, elapsedMs, failure }: Download): void {
    const fields = { namespace, name: digestHex(digest), ...(size === undefined ? {} : { size }) };
    if (failure === undefined) {
      this.#logger.info({ ...fields, download_time: elapsedMs / 1000 }, 'Download success');
      return;
    }
    const failed = { ...fields, error: failure.says, code: failure.code };
    // The caller's wish is no failure of ours; Go's callers cannot give up.
    if (failure.code === 'cancelled' || failure.code === 'shutting-down')
      this.#logger.debug(failed, 'Download failure');
    else this.#logger.error(failed, 'Download failure');
  }

  #added(digest: Digest, infoHash: InfoHash, complete: boolean): void {
    this.#torrents.delete(digest);
    this.#torrents.set(digest, { infoHash, complete, peers: new Map() });
    if (this.#torrents.size <= TORRENTS_MAX) return;
    const [oldest] = this.#torrents.keys();
    if (oldest !== undefined) this.#torrents.delete(oldest);
  }

  #completed(digest: Digest): void {
    const torrent = this.#torrents.get(digest);
    if (torrent === undefined) return;
    torrent.complete = true;
    const summaries = [...torrent.peers].map(([peerId, tally]) => ({
      peer_id: peerId,
      requests_sent: tally.requestsSent,
      good_pieces_received: tally.goodPieces,
      duplicate_pieces_received: tally.duplicatePieces,
    }));
    this.#logger.debug({ ...this.#torrent(digest), seeder_summaries: summaries }, 'Seeder summaries');
  }

  #removed(digest: Digest, reason: string): void {
    const torrent = this.#torrents.get(digest);
    if (torrent === undefined) return;
    const fields = this.#torrent(digest);
    // A download that nobody waits for any more, or a seed that nobody reads.
    if (reason === 'idle' || reason === 'cancelled')
      this.#logger.debug(fields, torrent.complete ? 'Seed timeout' : 'Leech timeout');
    const summaries = [...torrent.peers].map(([peerId, tally]) => ({
      peer_id: peerId,
      pieces_sent: tally.piecesSent,
    }));
    this.#logger.debug({ ...fields, leecher_summaries: summaries }, 'Leecher summaries');
    // Gone from memory, and from here: a node may see very many in its life.
    this.#torrents.delete(digest);
  }

  #tally(digest: Digest, peer: PeerId, what: keyof PeerTally): void {
    const peers = this.#torrents.get(digest)?.peers;
    if (peers === undefined) return;
    const known = peers.get(peer);
    if (known !== undefined) known[what]++;
    else if (peers.size < PEERS_MAX)
      peers.set(peer, { requestsSent: 0, goodPieces: 0, duplicatePieces: 0, piecesSent: 0, [what]: 1 });
  }

  #torrent(digest: Digest): { name: string; info_hash?: InfoHash } {
    const infoHash = this.#torrents.get(digest)?.infoHash;
    return { name: digestHex(digest), ...(infoHash === undefined ? {} : { info_hash: infoHash }) };
  }

  #connection(digest: Digest, peer: PeerId): object {
    return { ...this.#torrent(digest), remote_peer_id: peer };
  }
}
