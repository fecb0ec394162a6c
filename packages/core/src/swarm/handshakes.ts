/** Handshakes of an open torrent: ours, and whether one of a peer fits. Source: spec p2p.md §2.4, §3.3, §3.4. */
import { pieceCount, type PeerId } from '../content/index.js';
import type { Handshake } from '../wire/index.js';
import type { SwarmConfig } from './config.js';
import type { CloseReason } from './events.js';
import type { Torrent } from './torrent.js';

/** Neighbours named in a handshake, so that it fits a frame of 32 KiB beside a large bitfield. */
const NEIGHBOURS_MAX = 64;

/** Our handshake, with a snapshot of our pieces. The torrent is open. */
export function ownHandshake(torrent: Torrent, namespace: string, config: SwarmConfig): Handshake {
  const { dispatcher, digest } = torrent;
  if (dispatcher === undefined) throw new TypeError('expected an open torrent');
  const { have } = dispatcher.own;
  const neighbours: PeerId[] = [];
  for (const { peer } of dispatcher.attached) {
    if (neighbours.length === NEIGHBOURS_MAX) break;
    neighbours.push(peer);
  }
  return {
    peerId: config.peerId,
    digest,
    infoHash: dispatcher.metainfo.infoHash,
    namespace,
    bitfield: have.isComplete ? have : have.clone(),
    neighbours,
    version: config.protocolVersion,
  };
}

/** Why a peer with this handshake cannot be attached, if so. */
export function misfitOf(torrent: Torrent, handshake: Handshake, config: SwarmConfig): CloseReason | undefined {
  const { metainfo } = torrent;
  if (metainfo?.infoHash !== handshake.infoHash || handshake.bitfield.length !== pieceCount(metainfo)) {
    return 'handshake-mismatch';
  }
  if (torrent.state === 'seeding' && handshake.bitfield.isComplete) return 'both-complete';
  let mutual = 0;
  for (const neighbour of handshake.neighbours) if (torrent.connections.has(neighbour)) mutual++;
  return mutual > config.mutualConnectionsMax ? 'at-capacity' : undefined;
}
