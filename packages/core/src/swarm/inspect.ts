/** Plain views of the swarm machine for checkers, tests and HTTP. Read only; O(everything). */
import type { Bitfield, Digest, InfoHash, PeerId } from '../content/index.js';
import type { ConnectionPhase } from './connection.js';
import type { SwarmContext } from './context.js';
import type { Torrent, TorrentState } from './torrent.js';

/** One connection. */
export interface ConnectionView {
  readonly conn: number;
  readonly peer: PeerId;
  readonly inbound: boolean;
  readonly origin: boolean;
  readonly phase: ConnectionPhase;
  /** Pieces of an active peer. */
  readonly bits?: Bitfield;
  /** Pieces asked of it. */
  readonly asked: readonly number[];
  /** Pieces not to be asked of it until a time, ms. */
  readonly avoid: ReadonlyMap<number, number>;
  /** Pieces whose payload may still come although the request is over. */
  readonly late: number;
  readonly sending: number;
  /** It is asked for nothing more and will be closed. */
  readonly retiring: boolean;
}

/** One torrent in full. */
export interface TorrentView {
  readonly digest: Digest;
  readonly state: TorrentState;
  readonly pieces: number;
  readonly have: number;
  /** Our pieces; absent until the blob is open. */
  readonly haveBits?: Bitfield;
  readonly wantedMissing: number;
  /** Nobody while the piece layer is missing; only origins after what agents sent proved wrong. */
  readonly asks: 'everybody' | 'origins' | 'nobody';
  readonly pulls: readonly number[];
  readonly connections: readonly ConnectionView[];
  /** Attached peers that have each piece. */
  readonly rarity: readonly number[];
  /** Missing pieces in the order of the rarity groups, for checks of the structure. */
  readonly groups: readonly (readonly number[])[];
  readonly open: readonly number[];
  /** Number of pieces that are asked for. */
  readonly inFlight: number;
  /** Pieces being written, with their connection. */
  readonly writers: readonly (readonly [piece: number, conn: number])[];
  /** Peers of the last announce that may be dialled. */
  readonly candidates: number;
  /** Peers that are left alone, or were lately. */
  readonly blacklisted: number;
}

/** The whole machine. */
export interface SwarmView {
  readonly torrents: readonly TorrentView[];
  /** Connections of the node, closing ones included. */
  readonly connections: number;
  readonly pulls: readonly number[];
  /** Metainfo being fetched. */
  readonly fetches: number;
}

/** State of one torrent, for HTTP. */
export interface TorrentStatus {
  readonly state: TorrentState;
  readonly infoHash?: InfoHash;
  /** Bytes. */
  readonly length?: number;
  readonly pieces: number;
  readonly have: number;
  readonly connections: number;
  readonly waitingPulls: number;
}

export function inspectSwarm(context: SwarmContext): SwarmView {
  return {
    torrents: [...context.torrents.values()].map((torrent) => inspectTorrent(context, torrent)),
    connections: context.connections.size,
    pulls: [...context.pulls.all()].map((pull) => pull.id),
    fetches: context.fetches.size,
  };
}

export function torrentStatus(torrent: Torrent): TorrentStatus {
  const { metainfo, dispatcher } = torrent;
  return {
    state: torrent.state,
    ...(metainfo === undefined ? {} : { infoHash: metainfo.infoHash, length: metainfo.length }),
    pieces: dispatcher?.own.have.length ?? 0,
    have: dispatcher?.own.have.count ?? 0,
    connections: torrent.connections.size,
    waitingPulls: torrent.pulls.size,
  };
}

function inspectTorrent(context: SwarmContext, torrent: Torrent): TorrentView {
  const { digest, state, dispatcher } = torrent;
  const pieces = dispatcher?.own.have.length ?? 0;
  const rarity = dispatcher?.peers.rarity;
  return {
    digest,
    state,
    pieces,
    have: dispatcher?.own.have.count ?? 0,
    ...(dispatcher === undefined ? {} : { haveBits: dispatcher.own.have }),
    wantedMissing: dispatcher?.own.wantedMissing ?? 0,
    asks: dispatcher?.held === true ? 'nobody' : dispatcher?.originsOnly === true ? 'origins' : 'everybody',
    pulls: [...torrent.pulls].map((pull) => pull.id),
    connections: [...torrent.connections.values()].map((connection) => {
      const { conn, peer, inbound, origin, phase, sending, avoid, retiring, asked, late } = connection;
      const bits = dispatcher?.peers.bits(connection);
      return {
        conn,
        peer,
        inbound,
        origin,
        phase,
        sending,
        asked: asked.map((request) => request.piece),
        avoid,
        retiring,
        late: late?.size ?? 0,
        ...(bits === undefined ? {} : { bits }),
      };
    }),
    rarity: list(pieces, (piece) => dispatcher?.peers.count(piece) ?? 0),
    groups: list(rarity?.groups ?? 0, (g) => list(rarity?.groupSize(g) ?? 0, (i) => rarity?.pieceAt(g, i) ?? -1)),
    open: [...(dispatcher?.own.open ?? [])],
    inFlight: dispatcher?.requests.size ?? 0,
    writers: (dispatcher?.requests.writersByPiece() ?? []).map(([piece, { conn }]) => [piece, conn] as const),
    candidates: torrent.candidates.size,
    blacklisted: context.connections.blacklist.size(digest),
  };
}

/** `Array.from` with a length is many times slower, and simulations look often. */
function list<T>(length: number, item: (index: number) => T): T[] {
  const items: T[] = [];
  for (let i = 0; i < length; i++) items.push(item(i));
  return items;
}
