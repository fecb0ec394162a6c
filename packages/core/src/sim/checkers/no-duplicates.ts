/**
 * Outside end game a piece is asked of one peer at a time; in end game of no more than the allowed copies, and never of a
 * peer that is asked already or while somebody's payload of it is being received.
 *
 * Not a duplicate: asking again after the first request has expired (no sooner than the least time that a request is given),
 * was refused, or lost its connection; see `requests-under-way.ts`. End game: at most `endgameThreshold` pieces are
 * missing on the disk (workloads pull whole blobs, so what is missing is wanted).
 */
import type { Digest } from '../../content/index.js';
import type { Millis } from '../../machine/index.js';
import type { SwarmConfig, SwarmEffect } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import { swarmSettings } from '../options.js';
import type { CheckerFactory } from './checker.js';
import { RequestsUnderWay } from './requests-under-way.js';

export const noDuplicates: CheckerFactory = (violated, options) => {
  const all = new Map<SimHost, RequestsUnderWay>();
  const settings: Omit<SwarmConfig, 'peerId'> = swarmSettings(options, 'agent');

  const copiesMax = (host: SimHost, digest: Digest): number => {
    const have = host.nodeState.disk.file(digest)?.have;
    const missing = have === undefined ? Infinity : have.length - have.count;
    return settings.endgameDisabled || missing > settings.endgameThreshold ? 1 : settings.endgameCopiesMax;
  };

  const asks = (host: SimHost, under: RequestsUnderWay, conn: number, piece: number): void => {
    const digest = under.digestOf(conn);
    if (digest === undefined) return;
    const others = under.of(digest, piece);
    for (const other of others) {
      if (other.conn === conn) violated(`asked connection ${conn} twice for piece ${piece}`, host);
      if (other.receiving)
        violated(`asked for piece ${piece}, whose payload is coming from connection ${other.conn}`, host);
    }
    const most = copiesMax(host, digest);
    if (others.length >= most)
      violated(`asked ${others.length + 1} peers for piece ${piece}, ${most} may be asked at a time`, host);
  };

  const expires = (host: SimHost, under: RequestsUnderWay, effect: SwarmEffect, now: Millis): void => {
    if (effect.type !== 'observe' || effect.observation.kind !== 'request-expired') return;
    const { digest, piece, peer } = effect.observation;
    for (const { conn, at } of under.of(digest, piece)) {
      if (host.endpoints.get(conn)?.remote === peer && now < at + settings.requestTimeoutMinMs)
        violated(`the request for piece ${piece} expired after ${now - at} ms`, host);
    }
  };

  return {
    step(host, now, event, effects) {
      if (host.isOrigin) return;
      let under = all.get(host);
      if (under === undefined) all.set(host, (under = new RequestsUnderWay()));
      under.happened(event);
      for (const effect of effects) {
        if (effect.type === 'send' && effect.message.type === 'piece-request') {
          asks(host, under, effect.conn, effect.message.piece);
          under.add(effect.conn, effect.message.piece, now);
          continue;
        }
        expires(host, under, effect, now);
        under.asked(host, event, effect, now);
      }
    },
    died(host) {
      all.delete(host);
    },
  };
};
