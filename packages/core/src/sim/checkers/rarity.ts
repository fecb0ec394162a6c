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

  /** The first piece of which two bitfields differ, or -1. */
  const difference = (a: Bitfield, b: Bitfield): number => {
    for (let w = 0; w < a.words.length; w++) {
      const differs = (a.words[w] as number) ^ (b.words[w] as number);
      if (differs !== 0) return w * 32 + (31 - Math.clz32(differs & -differs));
    }
    return -1;
  };

  const addTo = (counts: Uint32Array, bits: Bitfield): void => {
    for (let w = 0; w < bits.words.length; w++) {
      for (let rest = bits.words[w] as number; rest !== 0; rest &= rest - 1) {
        const piece = w * 32 + (31 - Math.clz32(rest & -rest));
        counts[piece] = (counts[piece] as number) + 1;
      }
    }
  };

  const lookAt = (host: SimHost, told: Told, view: TorrentView): void => {
    const partial = new Uint32Array(view.pieces);
    let complete = 0;
    for (const { conn, bits, phase } of view.connections) {
      if (phase !== 'active' || bits === undefined) continue;
      const truth = told.get(conn)?.bits;
      if (truth === undefined) return violated(`connection ${conn} is active, but never began`, host);
      const piece = difference(bits, truth);
      if (piece >= 0)
        violated(
          `connection ${conn}: believes ${bits.has(piece)} of piece ${piece}, was told ${truth.has(piece)}`,
          host,
        );
      if (bits.isComplete) complete++;
      else addTo(partial, bits);
    }
    for (let piece = 0; piece < view.pieces; piece++) {
      const count = (partial[piece] as number) + complete;
      if (view.rarity[piece] !== count)
        violated(`counts ${view.rarity[piece]} peers with piece ${piece}, ${count} have it`, host);
    }
    let missing = 0;
    view.groups.forEach((group, g) => {
      missing += group.length;
      for (const piece of group) {
        if (partial[piece] !== g)
          violated(`piece ${piece} is in rarity group ${g}, ${partial[piece]} partial peers have it`, host);
        if (view.haveBits?.has(piece) === true) violated(`piece ${piece} is in a rarity group, but here`, host);
      }
    });
    if (missing + view.have !== view.pieces)
      violated(`${missing} pieces in the rarity groups, ${view.pieces - view.have} are missing`, host);
  };

  const compare = (host: SimHost, { connections, digest, pieces }: TorrentView): void => {
    for (const { conn, bits, phase } of connections) {
      if (phase !== 'active' || bits === undefined) continue;
      const have = host.endpoints.get(conn)?.other?.host.nodeState.disk.file(digest)?.have;
      const piece = difference(bits, have ?? new Bitfield(pieces));
      if (piece >= 0)
        violated(`connection ${conn}: believes ${bits.has(piece)} of piece ${piece}, which is not so`, host);
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
