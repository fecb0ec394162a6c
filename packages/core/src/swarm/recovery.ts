/**
 * After a blob without a root did not fit its digest: every piece that did not come from an origin is in doubt, is
 * forgotten and fetched again, from origins only. What comes then is compared with what lay there; who sent bytes
 * that differ is banned for the torrent. Once per opening: a second mismatch, with everything from origins, is final.
 *
 * Decides nothing about pulls: the torrent does.
 */
import type { Bitfield, PeerId } from '../content/index.js';
import type { Connection } from './connection.js';
import type { SwarmContext } from './context.js';
import { Dispatcher } from './dispatcher.js';
import type { Torrent } from './torrent.js';

/** Origins that are connected at a time. Guess: Kraken's usual number of replicas. */
const ORIGINS_MAX = 3;

/** The dispatcher of a torrent whose `doubts` have been forgotten on disk; peers stay attached. */
export function recover(context: SwarmContext, torrent: Torrent, failed: Dispatcher, doubts: Bitfield): Dispatcher {
  const have = failed.own.have.clone();
  for (const piece of doubts) have.clear(piece);
  failed.stop();
  const dispatcher = new Dispatcher(context, torrent, failed.metainfo, have, failed.senders);
  dispatcher.originsOnly = true;
  for (const connection of failed.attached) {
    const bits = failed.peers.bits(connection);
    failed.requests.drop(connection);
    context.timers.clear(connection.timer);
    if (bits !== undefined) dispatcher.attach(connection, bits);
  }
  context.observe({ kind: 'blob-doubted', digest: torrent.digest, pieces: doubts.count });
  return dispatcher;
}

/** Connect with origins of the last announce. A torrent without a free slot gives up an agent for each. */
export function dialOrigins(context: SwarmContext, torrent: Torrent): void {
  const { connections } = context;
  let origins = 0;
  for (const connection of torrent.connections.values()) if (connection.origin) origins++;
  for (const peer of torrent.candidates.origins()) {
    if (origins >= ORIGINS_MAX) return;
    if (torrent.connections.has(peer.peerId)) continue;
    if (!connections.mayDial(torrent)) {
      const agent = dispensable(torrent, torrent.dials >= context.config.dialsPerTorrentMax);
      if (agent === undefined) return;
      connections.close(agent, 'rotated');
      if (!connections.mayDial(torrent)) return;
    }
    if (connections.dial(torrent, peer)) origins++;
  }
}

/** Bytes that `peer` sent turned out to be other than an origin's. */
export function blameSender(context: SwarmContext, torrent: Torrent, peer: PeerId, piece: number): void {
  const { connections, observe } = context;
  observe({ kind: 'peer-blamed', digest: torrent.digest, peer, piece });
  const connection = torrent.connections.get(peer);
  if (connection === undefined) connections.penalise(torrent.digest, peer, 'ban');
  else connections.blame(connection);
}

/** An agent to give up, that we dialled when a dial slot is wanted: rather one of ours, a Go peer would stay away for half a minute. */
function dispensable(torrent: Torrent, dialled: boolean): Connection | undefined {
  let any: Connection | undefined;
  for (const connection of torrent.connections.values()) {
    if (connection.origin || connection.phase === 'closing' || (dialled && connection.inbound)) continue;
    if (connection.ours) return connection;
    any ??= connection;
  }
  return any;
}
