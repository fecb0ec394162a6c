/**
 * Nobody is asked for a piece that they have not announced, nobody asks for a piece that they have, and
 * nobody serves one that they do not have.
 */
import { Bitfield } from '../../content/index.js';
import type { SwarmEffect, SwarmEvent } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import type { CheckerFactory } from './checker.js';

export const requestsInBitfield: CheckerFactory = (violated) => {
  /** What the peer behind each connection has told, by life. */
  const told = new Map<SimHost, Map<number, Bitfield>>();

  const heard = (known: Map<number, Bitfield>, event: SwarmEvent): void => {
    switch (event.type) {
      case 'handshake-received':
      case 'dial-succeeded':
        known.set(event.conn, event.handshake.bitfield.clone());
        return;
      case 'connection-closed':
        known.delete(event.conn);
        return;
      case 'message-received': {
        const field = known.get(event.conn);
        if (field === undefined) return;
        const { message } = event;
        if (message.type === 'announce-piece' && message.piece < field.length) field.set(message.piece);
        if (message.type === 'complete') known.set(event.conn, Bitfield.full(field.length));
        return;
      }
      default:
    }
  };

  const asked = (host: SimHost, known: Map<number, Bitfield>, effect: SwarmEffect): void => {
    if (effect.type === 'send' && effect.message.type === 'piece-request') {
      const { piece } = effect.message;
      if (known.get(effect.conn)?.has(piece) !== true)
        violated(`asked connection ${effect.conn} for piece ${piece}, which it has not announced`, host);
      const digest = host.endpoints.get(effect.conn)?.digest;
      if (digest !== undefined && host.nodeState.disk.file(digest)?.have.has(piece) === true) {
        violated(`asked for piece ${piece}, which is here`, host);
      }
    }
    if (effect.type === 'send-piece' && host.nodeState.disk.file(effect.digest)?.have.has(effect.piece) !== true) {
      violated(`sends piece ${effect.piece}, which is not here`, host);
    }
  };

  return {
    step(host, _now, event, effects) {
      let known = told.get(host);
      if (known === undefined) {
        known = new Map<number, Bitfield>();
        told.set(host, known);
      }
      heard(known, event);
      for (const effect of effects) asked(host, known, effect);
    },
    died(host) {
      told.delete(host);
    },
  };
};
