/**
 * A torrent never has more connections than its limit (dials under way count), own dials never more than
 * their share unless few others come, dials to origins never more than theirs; the node never has more connections or
 * unanswered dials than its limits. After quiet both ends of each connection agree that it exists, for which blob, and who
 * is there, and neither machine keeps one that has no socket.
 */
import type { Digest, PeerId } from '../../content/index.js';
import type { SwarmConfig } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import type { SimNode } from '../node.js';
import { swarmSettings } from '../options.js';
import type { CheckerFactory } from './checker.js';
import { inspect } from './inspection.js';

interface Conn {
  readonly digest: Digest;
  /** We dialled an origin. */
  readonly toOrigin: boolean;
}

interface Books {
  readonly conns: Map<number, Conn>;
  readonly perTorrent: Map<Digest, number>;
  readonly dialsPerTorrent: Map<Digest, number>;
  readonly originDialsPerTorrent: Map<Digest, number>;
  /** Dials that have not been answered or given up. */
  readonly pending: Set<number>;
}

const isDial = (conn: number): boolean => conn % 2 === 0;

export const capacity: CheckerFactory = (violated, options) => {
  const all = new Map<SimHost, Books>();
  /** Who is an origin, as trackers say. */
  const origins = new Set<PeerId>();
  const limits: Readonly<Record<'agent' | 'origin', Omit<SwarmConfig, 'peerId'>>> = {
    agent: swarmSettings(options, 'agent'),
    origin: swarmSettings(options, 'origin'),
  };

  const add = (map: Map<Digest, number>, digest: Digest, by: number): number => {
    const count = (map.get(digest) ?? 0) + by;
    if (count === 0) map.delete(digest);
    else map.set(digest, count);
    return count;
  };

  const within = (count: number, most: number, what: string, host: SimHost): void => {
    if (count > most) violated(`${count} ${what}, limit ${most}`, host);
  };

  const began = (host: SimHost, books: Books, conn: number, digest: Digest, toOrigin: boolean): void => {
    const limit = limits[host.nodeState.role];
    books.conns.set(conn, { digest, toOrigin });
    const count = add(books.perTorrent, digest, 1);
    within(count, limit.connectionsPerTorrentMax, 'connections of one torrent', host);
    within(books.conns.size, limit.connectionsMax, 'connections of the node', host);
    if (!isDial(conn)) return;
    books.pending.add(conn);
    within(books.pending.size, limit.pendingDialsMax, 'dials without an answer', host);
    const dials = add(books.dialsPerTorrent, digest, 1);
    const isLonely = count <= limit.lonelyDialsMax;
    const share = Math.max(limit.dialsPerTorrentMax, isLonely ? limit.lonelyDialsMax : 0);
    within(dials, share, 'own dials of one torrent', host);
    // A torrent without any other connection may try an origin as its last resort, whatever its share.
    if (toOrigin)
      within(
        add(books.originDialsPerTorrent, digest, 1),
        Math.max(1, limit.originDialsMax),
        'dials of one torrent to origins',
        host,
      );
  };

  const ended = (books: Books, conn: number): void => {
    const known = books.conns.get(conn);
    if (known === undefined) return;
    books.conns.delete(conn);
    books.pending.delete(conn);
    add(books.perTorrent, known.digest, -1);
    if (isDial(conn)) add(books.dialsPerTorrent, known.digest, -1);
    if (known.toOrigin) add(books.originDialsPerTorrent, known.digest, -1);
  };

  /** After quiet: sockets, machine and the machine at the other end say the same. */
  const agree = (host: SimHost, books: Books | undefined, nodes: readonly SimNode[]): void => {
    const { connections, torrents } = inspect(host);
    if (connections !== host.endpoints.size)
      violated(`the machine counts ${connections} connections, there are ${host.endpoints.size} sockets`, host);
    const active = new Map<number, { readonly peer: PeerId; readonly digest: Digest }>();
    for (const { digest, connections: ours } of torrents)
      for (const { conn, peer, phase } of ours) if (phase === 'active') active.set(conn, { peer, digest });
    for (const [conn, end] of host.endpoints) {
      if (end.state === 'dialling' || end.state === 'handshaking') continue;
      if (books?.conns.has(conn) !== true)
        violated(`connection ${conn} is open, but the machine has given it up`, host);
      const ours = active.get(conn);
      const { other, far } = end;
      // Ends on other shards are compared when the results are merged.
      if (far === undefined && other?.state !== 'open')
        return violated(`connection ${conn} is open here and ${other?.state ?? 'unknown'} at the other end`, host);
      const there = far === undefined ? other?.host.nodeState : nodes[far.node];
      if (ours?.peer !== there?.peerId || ours?.digest !== end.digest)
        violated(`connection ${conn} is believed to lead to ${ours?.peer ?? 'nobody'}`, host);
    }
    for (const conn of active.keys())
      if (host.endpoints.get(conn)?.state !== 'open') violated(`connection ${conn} is active and has no socket`, host);
  };

  const emptyBooks = (): Books => ({
    conns: new Map(),
    perTorrent: new Map(),
    dialsPerTorrent: new Map(),
    originDialsPerTorrent: new Map(),
    pending: new Set(),
  });

  const booksOf = (host: SimHost): Books => {
    let books = all.get(host);
    if (books === undefined) all.set(host, (books = emptyBooks()));
    return books;
  };

  return {
    // Most steps neither begin nor end a connection.
    concerns: ['announce-answered', 'dial-failed', 'connection-closed', 'dial-succeeded', 'close', 'dial', 'accept'],
    step(host, _now, event, effects) {
      if (event.type === 'announce-answered') for (const peer of event.peers) if (peer.origin) origins.add(peer.peerId);
      if (event.type === 'dial-failed' || event.type === 'connection-closed') ended(booksOf(host), event.conn);
      else if (event.type === 'dial-succeeded') booksOf(host).pending.delete(event.conn);
      for (const effect of effects) {
        if (effect.type === 'close') ended(booksOf(host), effect.conn);
        else if (effect.type === 'dial')
          began(host, booksOf(host), effect.conn, effect.handshake.digest, origins.has(effect.peer));
        else if (effect.type === 'accept') began(host, booksOf(host), effect.conn, effect.handshake.digest, false);
      }
    },
    died(host) {
      all.delete(host);
    },
    end(view) {
      for (const { host } of view.nodes) if (host !== undefined) agree(host, all.get(host), view.nodes);
    },
  };
};
