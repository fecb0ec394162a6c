/**
 * Everything that can grow stays within its limit (docs/LIMITS.md): requests at one peer and pieces queued for one peer
 * after each step, the rest of the machine's tables and the sockets of the simulated host after the steps of each interval.
 * Connections of one torrent and its dials are the business of `capacity`.
 */
import type { SwarmConfig, SwarmEffect, SwarmEvent, SwarmView, TorrentView } from '../../swarm/index.js';
import { PIPELINE_MAX } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import { swarmSettings } from '../options.js';
import type { CheckerFactory } from './checker.js';
import { ChangedHosts, inspect } from './inspection.js';
import { RequestsUnderWay } from './requests-under-way.js';

/** Limits that are no settings, as docs/LIMITS.md states them. */
const QUEUED_SENDS_MAX = 64;
const CANDIDATES_MAX = 100;
const LATE_MAX = 64;
const AVOIDED_MAX = 64;
const BLACKLISTED_MAX = 1000;

interface Books {
  readonly under: RequestsUnderWay;
  /** Pieces that the host was given to send, by connection. */
  readonly sends: Map<number, number>;
  pulls: number;
}

export const queueLimits: CheckerFactory = (violated, options) => {
  const all = new Map<SimHost, Books>();
  const changed = new ChangedHosts();
  const settings: Readonly<Record<'agent' | 'origin', Omit<SwarmConfig, 'peerId'>>> = {
    agent: swarmSettings(options, 'agent'),
    origin: swarmSettings(options, 'origin'),
  };
  const settingsOf = (host: SimHost): Omit<SwarmConfig, 'peerId'> => settings[host.nodeState.role];

  const within = (count: number, most: number, what: string, host: SimHost): void => {
    if (count > most) violated(`${count} ${what}, limit ${most}`, host);
  };

  const happened = (books: Books, event: SwarmEvent): void => {
    books.under.happened(event);
    if (event.type === 'pull-requested') books.pulls++;
    else if (event.type === 'piece-sent' || event.type === 'piece-send-failed') {
      const left = (books.sends.get(event.conn) ?? 0) - 1;
      if (left > 0) books.sends.set(event.conn, left);
      else books.sends.delete(event.conn);
    }
  };

  const asks = (host: SimHost, books: Books, conn: number): void => {
    const { pipelineLimit, originPipelineLimit } = settingsOf(host);
    const toOrigin = host.endpoints.get(conn)?.other?.host.isOrigin === true;
    const fixed = toOrigin ? originPipelineLimit : pipelineLimit;
    within(books.under.at(conn), fixed > 0 ? fixed : PIPELINE_MAX, `requests at connection ${conn}`, host);
  };

  const sends = (host: SimHost, books: Books, conn: number): void => {
    const count = (books.sends.get(conn) ?? 0) + 1;
    books.sends.set(conn, count);
    within(count, QUEUED_SENDS_MAX, `pieces queued for connection ${conn}`, host);
  };

  const performs = (host: SimHost, books: Books, event: SwarmEvent, effect: SwarmEffect, now: number): void => {
    if (effect.type === 'send' && effect.message.type === 'piece-request') {
      books.under.add(effect.conn, effect.message.piece, now);
      asks(host, books, effect.conn);
      return;
    }
    books.under.asked(host, event, effect, now);
    if (effect.type === 'send-piece') sends(host, books, effect.conn);
    else if (effect.type === 'pull-finished') books.pulls--;
  };

  const lookAtTorrent = (host: SimHost, torrent: TorrentView): void => {
    within(torrent.candidates, CANDIDATES_MAX, 'dial candidates of one torrent', host);
    within(torrent.blacklisted, BLACKLISTED_MAX, 'remembered peers of one torrent', host);
    for (const { conn, late, sending, avoid } of torrent.connections) {
      // Requests that were under way when the list filled up may be refused as well.
      within(avoid.size, AVOIDED_MAX + PIPELINE_MAX, `pieces not to be asked of connection ${conn}`, host);
      within(late, LATE_MAX, `late pieces at connection ${conn}`, host);
      within(sending, QUEUED_SENDS_MAX, `pieces to send over connection ${conn}`, host);
    }
  };

  const lookAt = (host: SimHost, view: SwarmView): void => {
    const { connectionsMax, torrentsMax, pullsMax } = settingsOf(host);
    const staying = view.torrents.filter(({ state }) => state !== 'deleting');
    within(staying.length, torrentsMax, 'torrents in memory', host);
    within(view.fetches, torrentsMax, 'fetches of metainfo', host);
    within(view.pulls.length, pullsMax, 'waiting pulls', host);
    within(view.connections, connectionsMax, 'connections of the node', host);
    within(host.endpoints.size, connectionsMax, 'sockets of the node', host);
    for (const torrent of view.torrents) lookAtTorrent(host, torrent);
    for (const { conn, out } of host.endpoints.values())
      within(out?.queue.length ?? 0, QUEUED_SENDS_MAX, `payloads queued at connection ${conn}`, host);
  };

  return {
    step(host, now, event, effects) {
      let books = all.get(host);
      if (books === undefined)
        all.set(host, (books = { under: new RequestsUnderWay(), sends: new Map<number, number>(), pulls: 0 }));
      happened(books, event);
      for (const effect of effects) performs(host, books, event, effect, now);
      within(books.pulls, settingsOf(host).pullsMax, 'waiting pulls', host);
    },
    look(view) {
      for (const host of changed.since(view)) lookAt(host, inspect(host));
    },
    died(host) {
      all.delete(host);
    },
  };
};
