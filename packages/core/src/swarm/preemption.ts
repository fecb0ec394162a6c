/**
 * The preemption tick: which connections and torrents have been of no use for too long. Source: spec p2p.md §3.6; differs
 * where §10.7, §10.12 call Go's rules weaknesses.
 */
import type { Connection } from './connection.js';
import type { SwarmContext } from './context.js';
import type { CloseReason } from './events.js';
import type { Torrent } from './torrent.js';

/** An upload that makes no progress for so many idle limits is dead. Guess. */
const STUCK_UPLOAD_LIMITS = 4;

export function preempt(context: SwarmContext): void {
  const { now, config, connections, torrents } = context;
  connections.blacklist.purge(now);
  for (const connection of [...connections.all()]) {
    const reason = connection.phase === 'active' ? overdue(context, connection) : undefined;
    if (reason !== undefined) connections.close(connection, reason);
  }
  for (const torrent of [...torrents.values()]) {
    const quietMs = now - torrent.lastReadAt;
    const sends = (): boolean => [...torrent.connections.values()].some((connection) => connection.sending > 0);
    if (torrent.state === 'seeding' && quietMs >= config.seederIdleMs && !sends()) torrent.drop('idle', 'idle', false);
    else if (torrent.state === 'leeching' && torrent.pulls.size === 0 && quietMs >= config.connectionIdleMs) {
      torrent.drop('idle', 'cancelled', false);
    } else makeWay(context, torrent);
  }
}

/**
 * A download that gets nothing while all its slots are taken gives one up, so that somebody who has more can have it:
 * leechers that fill each other's slots would otherwise wait for each other for ever.
 */
function makeWay({ now, config, connections }: SwarmContext, torrent: Torrent): void {
  const { dispatcher } = torrent;
  if (torrent.state !== 'leeching' || dispatcher === undefined || connections.mayDial(torrent)) return;
  if (now - dispatcher.lastStoredAt < config.connectionIdleMs) return;
  let stillest: Connection | undefined;
  for (const connection of dispatcher.attached) {
    if (connection.sending > 0 || connection.writing > 0) continue;
    if (now - connection.progressAt < config.connectionIdleMs) continue;
    if (stillest === undefined || connection.progressAt < stillest.progressAt) stillest = connection;
  }
  if (stillest !== undefined) connections.close(stillest, 'idle');
}

/** Why the connection should go, if it should. Two leechers that wait for the same rare pieces stay together. */
function overdue(context: SwarmContext, connection: Connection): CloseReason | undefined {
  const { now, config } = context;
  const dispatcher = connection.torrent.dispatcher;
  if (dispatcher === undefined) return 'idle';
  const { own } = dispatcher;
  const stillMs = now - connection.progressAt;
  const moves = connection.sending > 0 || connection.writing > 0;
  if (stillMs >= config.connectionIdleMs) {
    const useless = own.wantedMissing === 0 || connection.expiries > 0;
    if (moves ? stillMs >= STUCK_UPLOAD_LIMITS * config.connectionIdleMs : useless) return 'idle';
  }
  const transfers = moves || connection.asked.length > 0;
  if (now - connection.activeAt > config.connectionAgeMs && (connection.ours || !transfers)) return 'too-old';
  return undefined;
}
