/**
 * A torrent never has more connections than its limit (dials under way count), own dials never more than
 * their share, the node never more than its limit; and after quiet both ends of each connection agree that
 * it exists, for which blob, and who is there, and neither machine keeps one that has no socket.
 */
import type { Digest, PeerId } from '../../content/index.js';
import type { SwarmConfig } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import { swarmSettings } from '../options.js';
import type { CheckerFactory } from './checker.js';
import { inspect } from './inspection.js';

interface Books {
  readonly digestOf: Map<number, Digest>;
  readonly perTorrent: Map<Digest, number>;
  readonly dialsPerTorrent: Map<Digest, number>;
}

const isDial = (conn: number): boolean => conn % 2 === 0;

export const capacity: CheckerFactory = (violated, options) => {
  const all = new Map<SimHost, Books>();
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

  const began = (host: SimHost, books: Books, conn: number, digest: Digest): void => {
    const limit = limits[host.isOrigin ? 'origin' : 'agent'];
    books.digestOf.set(conn, digest);
    const count = add(books.perTorrent, digest, 1);
    if (count > limit.connectionsPerTorrentMax)
      violated(`${count} connections of one torrent, limit ${limit.connectionsPerTorrentMax}`, host);
    if (books.digestOf.size > limit.connectionsMax)
      violated(`${books.digestOf.size} connections of the node, limit ${limit.connectionsMax}`, host);
    if (!isDial(conn)) return;
    const dials = add(books.dialsPerTorrent, digest, 1);
    const dialsMax = Math.max(limit.dialsPerTorrentMax, limit.lonelyDialsMax);
    if (dials > dialsMax) violated(`${dials} own dials of one torrent, limit ${dialsMax}`, host);
  };

  const ended = (books: Books, conn: number): void => {
    const digest = books.digestOf.get(conn);
    if (digest === undefined) return;
    books.digestOf.delete(conn);
    add(books.perTorrent, digest, -1);
    if (isDial(conn)) add(books.dialsPerTorrent, digest, -1);
  };

  /** After quiet: sockets, machine and the machine at the other end say the same. */
  const agree = (host: SimHost, books: Books | undefined): void => {
    const { connections, torrents } = inspect(host);
    if (connections !== host.endpoints.size)
      violated(`the machine counts ${connections} connections, there are ${host.endpoints.size} sockets`, host);
    const active = new Map<number, { readonly peer: PeerId; readonly digest: Digest }>();
    for (const { digest, connections: ours } of torrents)
      for (const { conn, peer, phase } of ours) if (phase === 'active') active.set(conn, { peer, digest });
    for (const [conn, end] of host.endpoints) {
      if (end.state === 'dialling' || end.state === 'handshaking') continue;
      const { other } = end;
      if (other?.state !== 'open')
        return violated(`connection ${conn} is open here and ${other?.state ?? 'unknown'} at the other end`, host);
      if (books?.digestOf.has(conn) !== true)
        violated(`connection ${conn} is open, but the machine has given it up`, host);
      const ours = active.get(conn);
      if (ours?.peer !== other.host.nodeState.peerId || ours.digest !== other.digest)
        violated(`connection ${conn} is believed to lead to ${ours?.peer ?? 'nobody'}`, host);
    }
    for (const conn of active.keys())
      if (host.endpoints.get(conn)?.state !== 'open') violated(`connection ${conn} is active and has no socket`, host);
  };

  return {
    step(host, _now, event, effects) {
      let books = all.get(host);
      if (books === undefined)
        all.set(host, (books = { digestOf: new Map(), perTorrent: new Map(), dialsPerTorrent: new Map() }));
      if (event.type === 'dial-failed' || event.type === 'connection-closed') ended(books, event.conn);
      for (const effect of effects) {
        if (effect.type === 'close') ended(books, effect.conn);
        else if (effect.type === 'dial') began(host, books, effect.conn, effect.handshake.digest);
        else if (effect.type === 'accept') began(host, books, effect.conn, effect.handshake.digest);
      }
    },
    died(host) {
      all.delete(host);
    },
    end(view) {
      for (const { host } of view.nodes) if (host !== undefined) agree(host, all.get(host));
    },
  };
};
