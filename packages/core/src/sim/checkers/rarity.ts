/**
 * What a machine believes of its peers is what they told it: the bitfield of each active connection, the
 * rarity counts as their sum, and the order of the missing pieces by these counts. After quiet it is also what they have.
 */
import { Bitfield, type Digest } from '../../content/index.js';
import type { SwarmEvent, TorrentView } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import type { CheckerFactory } from './checker.js';
import { ChangedHosts, inspect } from './inspection.js';

type Told = Map<number, { readonly digest: Digest; bits: Bitfield }>;

export const rarity: CheckerFactory = (violated) => {
  const all = new Map<SimHost, Told>();
  const changed = new ChangedHosts();

  const hear = (told: Told, event: SwarmEvent): void => {
    if (event.type === 'handshake-received' || event.type === 'dial-succeeded') {
      const { digest, bitfield } = event.handshake;
      told.set(event.conn, { digest, bits: bitfield.clone() });
    } else if (event.type === 'connection-closed') {
      told.delete(event.conn);
    } else if (event.type === 'message-received') {
      const peer = told.get(event.conn);
      if (peer === undefined) return;
      const { message } = event;
      if (message.type === 'announce-piece' && message.piece < peer.bits.length) peer.bits.set(message.piece);
      if (message.type === 'complete') peer.bits = Bitfield.full(peer.bits.length);
    }
  };

  const lookAt = (host: SimHost, told: Told, view: TorrentView): void => {
    const counts = new Array<number>(view.pieces).fill(0);
    for (const { conn, bits, phase } of view.connections) {
      if (phase !== 'active' || bits === undefined) continue;
      const truth = told.get(conn)?.bits;
      if (truth === undefined) return violated(`connection ${conn} is active, but never began`, host);
      for (let piece = 0; piece < view.pieces; piece++) {
        if (bits.has(piece) !== truth.has(piece))
          violated(
            `connection ${conn}: believes ${bits.has(piece)} of piece ${piece}, was told ${truth.has(piece)}`,
            host,
          );
        if (bits.has(piece)) counts[piece] = (counts[piece] ?? 0) + 1;
      }
    }
    counts.forEach((count, piece) => {
      if (view.rarity[piece] !== count)
        violated(`counts ${view.rarity[piece]} peers with piece ${piece}, ${count} have it`, host);
    });
    const missing = view.groups.flat();
    if (missing.length + view.have !== view.pieces)
      violated(`${missing.length} pieces in the rarity groups, ${view.pieces - view.have} are missing`, host);
    for (const piece of missing) {
      if (view.haveBits?.has(piece) === true) violated(`piece ${piece} is in a rarity group, but here`, host);
    }
  };

  const compare = (host: SimHost, { connections, digest, pieces }: TorrentView): void => {
    for (const { conn, bits, phase } of connections) {
      if (phase !== 'active' || bits === undefined) continue;
      const have = host.endpoints.get(conn)?.other?.host.nodeState.disk.file(digest)?.have;
      for (let piece = 0; piece < pieces; piece++) {
        if (bits.has(piece) !== (have?.has(piece) === true))
          violated(`connection ${conn}: believes ${bits.has(piece)} of piece ${piece}, which is not so`, host);
      }
    }
  };

  return {
    step(host, _now, event) {
      const told: Told = all.get(host) ?? new Map<number, { readonly digest: Digest; bits: Bitfield }>();
      all.set(host, told);
      hear(told, event);
    },
    look(view) {
      for (const host of changed.since(view)) {
        const told = all.get(host);
        if (told === undefined) continue;
        for (const torrent of inspect(host).torrents) lookAt(host, told, torrent);
      }
    },
    died(host) {
      all.delete(host);
    },
    end(view) {
      for (const { host } of view.nodes) {
        for (const torrent of host === undefined ? [] : inspect(host).torrents)
          if (host !== undefined) compare(host, torrent);
      }
    },
  };
};
