/**
 * Both sides of the pairing in `events.ts`: the host completes each effect exactly once, the machine asks
 * for nothing twice at a time, uses no connection that has ended, and asks for nothing new after its
 * shutdown but what winds it down.
 */
import type { SwarmEffect, SwarmEvent } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import type { CheckerFactory } from './checker.js';

/** What one life of one node has under way. */
interface Books {
  /** Key of each effect under way, as `kind:name`. */
  readonly underWay: Map<string, number>;
  /** Connections that the machine was told of and that have not ended; true once it asked to close. */
  readonly conns: Map<number, boolean>;
  shutDown: boolean;
}

/** What a machine may still ask for after `shutdown-requested`; announces only to say goodbye, in the step of the shutdown. */
const AFTER_SHUTDOWN: ReadonlySet<SwarmEffect['type']> = new Set([
  'pull-finished',
  'removal-finished',
  'close',
  'close-blob',
  'discard-payload',
  'observe',
]);

function keyOfEffect(effect: SwarmEffect): string | undefined {
  switch (effect.type) {
    case 'fetch-metainfo':
      return `metainfo:${effect.digest}`;
    case 'open-blob':
      return `open:${effect.digest}`;
    case 'fetch-layer':
      return `layer:${effect.digest}:${effect.conn ?? 'tracker'}`;
    case 'announce':
      return `announce:${effect.digest}`;
    case 'dial':
      return `dial:${effect.conn}`;
    case 'receive-piece':
      return `receive:${effect.conn}:${effect.piece}`;
    case 'send-piece':
      return `send:${effect.conn}:${effect.piece}`;
    case 'commit-blob':
      return `commit:${effect.digest}`;
    case 'delete-blob':
      return `delete:${effect.digest}`;
    default:
      return undefined;
  }
}

function keyOfEvent(event: SwarmEvent): string | undefined {
  switch (event.type) {
    case 'metainfo-fetched':
    case 'metainfo-fetch-failed':
      return `metainfo:${event.digest}`;
    case 'blob-opened':
    case 'blob-open-failed':
      return `open:${event.digest}`;
    case 'layer-fetched':
    case 'layer-fetch-failed':
      return `layer:${event.digest}:${event.conn ?? 'tracker'}`;
    case 'announce-answered':
    case 'announce-failed':
      return `announce:${event.digest}`;
    case 'dial-succeeded':
    case 'dial-failed':
      return `dial:${event.conn}`;
    case 'piece-stored':
      return `receive:${event.conn}:${event.piece}`;
    case 'piece-sent':
    case 'piece-send-failed':
      return `send:${event.conn}:${event.piece}`;
    case 'blob-committed':
    case 'blob-commit-failed':
      return `commit:${event.digest}`;
    case 'blob-deleted':
    case 'blob-delete-failed':
      return `delete:${event.digest}`;
    default:
      return undefined;
  }
}

/** The connections that an effect uses, for the ones that need a live one. */
function connsOf(effect: SwarmEffect): readonly number[] {
  switch (effect.type) {
    case 'send':
    case 'send-piece':
    case 'accept':
    case 'receive-piece':
    case 'discard-payload':
      return [effect.conn];
    case 'broadcast':
      return effect.conns;
    default:
      return [];
  }
}

export const effectsCompletedOnce: CheckerFactory = (violated) => {
  const all = new Map<SimHost, Books>();

  const booksOf = (host: SimHost): Books => {
    let books = all.get(host);
    if (books === undefined) all.set(host, (books = { underWay: new Map(), conns: new Map(), shutDown: false }));
    return books;
  };

  const happened = (host: SimHost, books: Books, event: SwarmEvent): void => {
    const key = keyOfEvent(event);
    if (key !== undefined) {
      const count = books.underWay.get(key) ?? 0;
      if (count === 0) violated(`${event.type} completes nothing (${key})`, host);
      if (count === 1) books.underWay.delete(key);
      else books.underWay.set(key, count - 1);
    }
    if (event.type === 'shutdown-requested') books.shutDown = true;
    if (event.type === 'dial-succeeded' || event.type === 'handshake-received') {
      if (books.conns.has(event.conn)) violated(`connection ${event.conn} began twice`, host);
      books.conns.set(event.conn, false);
    }
    if (event.type === 'connection-closed') {
      if (!books.conns.delete(event.conn)) violated(`connection ${event.conn} ended, but was not there`, host);
    }
  };

  const asked = (host: SimHost, books: Books, event: SwarmEvent, effect: SwarmEffect): void => {
    const goodbye = event.type === 'shutdown-requested' && effect.type === 'announce' && effect.event === 'stopped';
    if (books.shutDown && !goodbye && !AFTER_SHUTDOWN.has(effect.type)) violated(`${effect.type} after shutdown`, host);
    const key = keyOfEffect(effect);
    if (key !== undefined) {
      const count = books.underWay.get(key) ?? 0;
      if (count > 0 && effect.type !== 'send-piece')
        violated(`${effect.type} while the same is under way (${key})`, host);
      books.underWay.set(key, count + 1);
    }
    if (effect.type === 'close') {
      if (books.conns.get(effect.conn) === true) violated(`connection ${effect.conn} closed twice`, host);
      if (!books.conns.has(effect.conn) && !books.underWay.has(`dial:${effect.conn}`)) {
        violated(`close of connection ${effect.conn}, which is not there`, host);
      }
      if (books.conns.has(effect.conn)) books.conns.set(effect.conn, true);
      return;
    }
    for (const conn of connsOf(effect)) {
      const closing = books.conns.get(conn);
      if (closing === undefined) violated(`${effect.type} on connection ${conn}, which is not there`, host);
      if (closing === true) violated(`${effect.type} on connection ${conn} after its close`, host);
    }
  };

  return {
    step(host, _now, event, effects) {
      const books = booksOf(host);
      happened(host, books, event);
      for (const effect of effects) asked(host, books, event, effect);
    },
    died(host) {
      all.delete(host);
    },
    end() {
      for (const [host, books] of all) {
        for (const key of books.underWay.keys()) {
          // Announces and dials go round for as long as a torrent lives.
          if (!key.startsWith('announce:') && !key.startsWith('dial:')) violated(`never completed: ${key}`, host);
        }
      }
    },
    afterShutdown(view) {
      for (const { host } of view.nodes) {
        if (host === undefined) continue;
        const books = all.get(host);
        for (const conn of books?.conns.keys() ?? []) violated(`connection ${conn} is there after shutdown`, host);
        for (const key of books?.underWay.keys() ?? []) violated(`never completed: ${key}`, host);
      }
    },
  };
};
