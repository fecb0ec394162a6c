/**
 * Nobody idles: when an attached peer has an open piece (wanted, missing, asked of nobody) that may be asked of it, and there
 * is quota, it is asked at once. Looked at between steps.
 *
 * Quota: a fixed pipeline has quota until it is full; an adaptive one (limit 0) at least while nothing is asked of the peer.
 * May not be asked: pieces on the peer's avoid list, which was refused or let a request expire, until the time stated there.
 * Exceptions for origins that are spared: an origin with requests in flight does not idle; one without may be left alone for
 * a tenth of `originIdleMs` in favour of other agents' shares, and for all of it when an attached agent has each of the open
 * pieces. Which pieces are a node's share follows from its neighbours, and the machine draws until it finds one or gives
 * up; here only the waits count, from the first look at which the origin idles. Nor may anybody be asked while the piece
 * layer is missing, agents while a doubted blob is fetched from origins, or a connection that is about to be swapped.
 */
import { Bitfield } from '../../content/index.js';
import type { Millis } from '../../machine/index.js';
import type { ConnectionView, SwarmConfig, SwarmEffect, TorrentView } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import { swarmSettings } from '../options.js';
import type { CheckerFactory } from './checker.js';
import { inspect } from './inspection.js';

/** Part of `originIdleMs` for which an origin is spared what no attached agent has. */
const SHARE_WAIT = 0.1;

/** A peer on whose avoid list there are so many pieces is asked for nothing (docs/LIMITS.md). */
const AVOIDED_MAX = 64;
/** Rotations after which a connection that is to be swapped is closed or used again. */
const RETIRING_ROTATIONS = 6;

/** Since when an origin has been seen without requests although it has an open piece, and one that no agent has. */
interface Idle {
  anySince: Millis;
  rareSince: Millis;
}

export const noIdling: CheckerFactory = (violated, options) => {
  const settings: Omit<SwarmConfig, 'peerId'> = swarmSettings(options, 'agent');
  const idling = new Map<SimHost, Map<number, Idle>>();
  /** Since when connections have been seen being swapped. */
  const retirement = new Map<SimHost, Map<number, Millis>>();
  /** Steps of the hosts at which nothing could become idle without another step. */
  const calm = new WeakMap<SimHost, number>();

  const isAvoided = ({ avoid }: ConnectionView, piece: number, now: Millis): boolean =>
    (avoid.get(piece) ?? -Infinity) >= now;

  const hasQuota = ({ origin, asked, avoid }: ConnectionView): boolean => {
    if (avoid.size >= AVOIDED_MAX) return false;
    const fixed = origin ? settings.originPipelineLimit : settings.pipelineLimit;
    return asked.length < Math.max(1, fixed);
  };

  const heldByAgents = ({ pieces, connections }: TorrentView): Bitfield => {
    const held = new Bitfield(pieces);
    for (const { origin, phase, bits } of connections) {
      if (origin || phase !== 'active' || bits === undefined) continue;
      for (const piece of bits) held.set(piece);
    }
    return held;
  };

  /** A spared origin without requests: how long has it been so? */
  const sparedFor = (host: SimHost, conn: number, pieces: readonly number[], held: Bitfield, now: Millis): void => {
    const idles = idling.get(host) ?? new Map<number, Idle>();
    idling.set(host, idles);
    const rare = pieces.find((piece) => !held.has(piece));
    const idle = idles.get(conn) ?? { anySince: now, rareSince: now };
    idles.set(conn, idle);
    if (rare === undefined) idle.rareSince = now;
    const { originIdleMs } = settings;
    if (now - idle.rareSince > originIdleMs * SHARE_WAIT)
      violated(`origin ${conn} idles for ${now - idle.rareSince} ms, no agent has piece ${rare}`, host);
    if (now - idle.anySince > originIdleMs)
      violated(`origin ${conn} idles for ${now - idle.anySince} ms, it has piece ${pieces[0]}`, host);
  };

  /** One that is being swapped runs dry on purpose, but not for ever while something is wanted. */
  const retires = (host: SimHost, { conn, retiring }: ConnectionView, busy: boolean, now: Millis): boolean => {
    const times = retirement.get(host) ?? new Map<number, Millis>();
    if (!retiring || busy) {
      times.delete(conn);
      return retiring;
    }
    retirement.set(host, times);
    const since = times.get(conn) ?? now;
    times.set(conn, since);
    const most = RETIRING_ROTATIONS * (settings.rotationIntervalMs ?? 0);
    if (now - since > most) violated(`connection ${conn} is being swapped for ${now - since} ms`, host);
    return true;
  };

  /** @returns true when time alone can make it idle: the torrent must be looked at again even without a step */
  const lookAtTorrent = (host: SimHost, torrent: TorrentView, now: Millis): boolean => {
    const isIdle = torrent.pulls.length === 0 || torrent.open.length === 0 || torrent.asks === 'nobody';
    const busy = torrent.state !== 'leeching' || isIdle;
    let held: Bitfield | undefined;
    let timeMatters = false;
    for (const connection of torrent.connections) {
      if (connection.phase !== 'active' || retires(host, connection, busy, now)) continue;
      if (torrent.asks === 'origins' && !connection.origin) continue;
      const { conn, bits } = connection;
      const offered = busy || !hasQuota(connection) ? [] : torrent.open.filter((piece) => bits?.has(piece) === true);
      const pieces = offered.filter((piece) => !isAvoided(connection, piece, now));
      if (offered.length > 0) timeMatters = true;
      if (pieces.length === 0) {
        idling.get(host)?.delete(conn);
      } else if (!(connection.origin && settings.originSparing) || torrent.asks === 'origins') {
        violated(
          `connection ${conn} has the open piece ${pieces[0]} and is asked for ${connection.asked.length} pieces`,
          host,
        );
      } else if (connection.asked.length > 0) {
        idling.get(host)?.delete(conn);
      } else {
        sparedFor(host, conn, pieces, (held ??= heldByAgents(torrent)), now);
      }
    }
    return timeMatters;
  };

  /** Being asked ends an idle time between two looks. */
  const asked = (host: SimHost, effects: readonly SwarmEffect[]): void => {
    const idles = idling.get(host);
    if (idles === undefined || idles.size === 0) return;
    for (const effect of effects) {
      if (effect.type === 'close') idles.delete(effect.conn);
      else if (effect.type === 'send' && effect.message.type === 'piece-request') idles.delete(effect.conn);
    }
  };

  return {
    step(host, _now, event, effects) {
      if (event.type === 'connection-closed') {
        idling.get(host)?.delete(event.conn);
        retirement.get(host)?.delete(event.conn);
      }
      asked(host, effects);
    },
    look(view) {
      for (const { host } of view.nodes) {
        if (host === undefined || host.isOrigin || calm.get(host) === host.steps) continue;
        let timeMatters = false;
        for (const torrent of inspect(host).torrents) if (lookAtTorrent(host, torrent, view.now)) timeMatters = true;
        if (!timeMatters) calm.set(host, host.steps);
      }
    },
    died(host) {
      idling.delete(host);
      retirement.delete(host);
    },
  };
};
