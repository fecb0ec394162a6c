/**
 * Swaps one random connection that we dialled for a random other peer, now and then, so that the graph of a large swarm
 * stays random and slots come free for peers that arrive late (spec p2p.md §10.9). Go peers are never swapped away: each
 * close puts us on their blacklist. Peers that we could not replace stay.
 */
import type { Connection } from './connection.js';
import type { SwarmContext } from './context.js';
import type { Torrent } from './torrent.js';

export function rotate(context: SwarmContext, torrent: Torrent): void {
  const { config, connections, random, now } = context;
  const { digest, candidates } = torrent;
  const isFresh = (peer: Connection['peer']): boolean =>
    peer !== config.peerId && !torrent.connections.has(peer) && !connections.blacklist.blocks(digest, peer, now);
  const fresh = candidates.any(random, isFresh);
  if (fresh === undefined) return;
  if (!connections.mayDial(torrent)) {
    const swappable = [...torrent.connections.values()].filter((connection) => isSwappable(context, connection));
    const old = swappable[random.below(Math.max(1, swappable.length))];
    if (old === undefined) return;
    connections.close(old, 'rotated');
  }
  if (connections.mayDial(torrent)) connections.dial(torrent, fresh);
}

/** Ours to close, with nothing on its way, and not younger than a rotation. */
function isSwappable({ config, now }: SwarmContext, connection: Connection): boolean {
  if (connection.inbound || connection.phase !== 'active' || !connection.ours || connection.sending > 0) return false;
  if (connection.torrent.dispatcher?.requests.isWriting(connection.conn) !== false) return false;
  return now - connection.activeAt >= (config.rotationIntervalMs ?? 0);
}
