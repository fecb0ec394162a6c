/**
 * Nobody dials a peer that it should leave alone, nobody accepts one that it has banned, nobody dials itself. Keeps books of
 * what each peer did, per torrent, and knows the least time for each (docs/LIMITS.md): 3 s after a clean close, the blacklist
 * time after a failure (jitter -10 %, doubled with each up to 5 min), 10 min after a bad piece (doubled with each).
 *
 * The documented last resort: a torrent without any other connection may dial a peer that failed, but not a banned one, and
 * not within 3 s. A connection that comes about forgives failures and pauses, a torrent that was committed or left memory
 * forgets them; bans stay. A ban begins with a bad piece, and when bytes of the peer prove other than an origin's.
 */
import type { Digest, PeerId } from '../../content/index.js';
import type { Millis } from '../../machine/index.js';
import type { CloseReason, Failure, SwarmConfig, SwarmEffect, SwarmEvent } from '../../swarm/index.js';
import type { SimHost } from '../host.js';
import { swarmSettings } from '../options.js';
import type { CheckerFactory } from './checker.js';

const PAUSE_MS = 3000;
const FAILURE_MAX_MS = 300_000;
const BAN_MS = 600_000;
/** The least that jitter leaves of a failure's time. */
const JITTER_MIN = 0.9;

type Meaning = 'pause' | 'failure' | 'ban';

/** What our own closes say about the peer; nothing when it is not here. A bad piece counts when it comes. */
const OWN_CLOSES: Partial<Record<CloseReason, Meaning>> = {
  'protocol-error': 'failure',
  'handshake-mismatch': 'failure',
  'handshake-timeout': 'failure',
  'io-error': 'pause',
  'at-capacity': 'pause',
  'both-complete': 'pause',
  idle: 'pause',
  'too-old': 'pause',
  rotated: 'pause',
};

/** What one peer did to one torrent. */
interface PeerRecord {
  failures: number;
  bans: number;
  lastAt: Millis;
  /** Not to be dialled before. */
  until: Millis;
  bannedUntil: Millis;
}

/** A peer of a torrent. */
interface PeerOf {
  readonly digest: Digest;
  readonly peer: PeerId;
}

interface Conn extends PeerOf {
  readonly inbound: boolean;
  active: boolean;
  /** A piece went over it. */
  useful: boolean;
  /** We closed it: what it says has been counted. */
  closed: boolean;
}

interface Books {
  readonly conns: Map<number, Conn>;
  readonly peers: Map<Digest, Map<PeerId, PeerRecord>>;
}

const isBad = (event: SwarmEvent): event is Extract<SwarmEvent, { type: 'piece-stored' }> =>
  event.type === 'piece-stored' && (event.verdict === 'bad-sum' || event.verdict === 'forged');

export const bannedDials: CheckerFactory = (violated, options) => {
  const all = new Map<SimHost, Books>();
  const settings: Readonly<Record<'agent' | 'origin', Omit<SwarmConfig, 'peerId'>>> = {
    agent: swarmSettings(options, 'agent'),
    origin: swarmSettings(options, 'origin'),
  };

  let now: Millis = 0;

  const recordOf = (books: Books, { digest, peer }: PeerOf): PeerRecord => {
    const peers = books.peers.get(digest) ?? new Map<PeerId, PeerRecord>();
    books.peers.set(digest, peers);
    const record = peers.get(peer) ?? { failures: 0, bans: 0, lastAt: now, until: -Infinity, bannedUntil: -Infinity };
    peers.set(peer, record);
    return record;
  };
  const offends = (host: SimHost, books: Books, who: PeerOf, meaning: Meaning): void => {
    const { blacklistMs, blacklistDisabled } = settings[host.nodeState.role];
    if (meaning === 'failure' && blacklistDisabled) return;
    const record = recordOf(books, who);
    // What ended long ago may have been forgotten.
    if (now >= record.until + FAILURE_MAX_MS) record.failures = record.bans = 0;
    record.lastAt = now;
    let forMs = PAUSE_MS;
    if (meaning === 'failure') {
      const doubled = blacklistMs * 2 ** record.failures++;
      forMs = JITTER_MIN * Math.min(doubled, Math.max(blacklistMs, FAILURE_MAX_MS));
    }
    if (meaning === 'ban') {
      forMs = BAN_MS * 2 ** Math.min(record.bans++, 10);
      record.bannedUntil = now + forMs;
    }
    record.until = Math.max(record.until, now + forMs);
  };

  const forgets = (books: Books, digest: Digest): void => {
    for (const record of books.peers.get(digest)?.values() ?? []) {
      record.until = record.bannedUntil;
      record.failures = 0;
    }
  };

  const activated = (books: Books, conn: Conn): void => {
    conn.active = true;
    const peers = books.peers.get(conn.digest);
    if ((peers?.get(conn.peer)?.bannedUntil ?? -Infinity) <= now) peers?.delete(conn.peer);
  };

  const dialFailed = (host: SimHost, books: Books, number: number, failure: Failure): void => {
    const conn = books.conns.get(number);
    books.conns.delete(number);
    if (conn === undefined || conn.closed) return;
    offends(host, books, conn, failure.code === 'too-many-connections' ? 'pause' : 'failure');
  };

  const ended = (host: SimHost, books: Books, number: number): void => {
    const conn = books.conns.get(number);
    books.conns.delete(number);
    if (conn === undefined || conn.closed || !conn.active) return;
    offends(host, books, conn, conn.useful ? 'pause' : 'failure');
  };

  const happened = (host: SimHost, books: Books, event: SwarmEvent): void => {
    switch (event.type) {
      case 'handshake-received': {
        const { digest, peerId } = event.handshake;
        const conn = { digest, peer: peerId, inbound: true, active: false, useful: false, closed: false };
        books.conns.set(event.conn, conn);
        return;
      }
      case 'dial-failed':
        return dialFailed(host, books, event.conn, event.failure);
      case 'connection-closed':
        return ended(host, books, event.conn);
      case 'piece-sent': {
        const conn = books.conns.get(event.conn);
        if (conn !== undefined) conn.useful = true;
        return;
      }
      case 'piece-stored': {
        const conn = books.conns.get(event.conn);
        if (conn === undefined) return;
        if (event.verdict === 'ok') conn.useful = true;
        if (isBad(event)) offends(host, books, conn, 'ban');
        return;
      }
      case 'blob-committed':
        return forgets(books, event.digest);
      default:
    }
  };

  const closes = (host: SimHost, books: Books, number: number, reason: CloseReason): void => {
    const conn = books.conns.get(number);
    if (conn === undefined || conn.closed) return;
    conn.closed = true;
    if (conn.inbound && !conn.active) return;
    const meaning = OWN_CLOSES[reason];
    if (meaning !== undefined) offends(host, books, conn, meaning);
  };

  const dials = (host: SimHost, books: Books, effect: Extract<SwarmEffect, { type: 'dial' }>): void => {
    const { peer, handshake } = effect;
    const { digest } = handshake;
    if (peer === host.nodeState.peerId) violated('dials itself', host);
    let others = 0;
    for (const conn of books.conns.values()) {
      if (conn.digest !== digest || conn.closed) continue;
      others++;
      if (conn.peer === peer) violated(`dials peer ${peer}, which is connected`, host);
    }
    books.conns.set(effect.conn, { digest, peer, inbound: false, active: false, useful: false, closed: false });
    const record = books.peers.get(digest)?.get(peer);
    if (record === undefined || now >= record.until) return;
    if (now < record.bannedUntil)
      violated(`dials peer ${peer}, which is banned for ${record.bannedUntil - now} ms more`, host);
    const isLastResort = others === 0 && now >= record.lastAt + PAUSE_MS;
    if (!isLastResort) violated(`dials peer ${peer}, which is left alone for ${record.until - now} ms more`, host);
  };

  const performs = (host: SimHost, books: Books, effect: SwarmEffect): void => {
    switch (effect.type) {
      case 'close':
        return closes(host, books, effect.conn, effect.reason);
      case 'dial':
        return dials(host, books, effect);
      case 'accept': {
        const conn = books.conns.get(effect.conn);
        if (conn === undefined) return;
        const bannedUntil = books.peers.get(conn.digest)?.get(conn.peer)?.bannedUntil ?? -Infinity;
        if (now < bannedUntil) violated(`accepts peer ${conn.peer}, which is banned`, host);
        return activated(books, conn);
      }
      case 'close-blob':
      case 'delete-blob':
        return forgets(books, effect.digest);
      case 'observe': {
        const { observation } = effect;
        if (observation.kind === 'peer-blamed') offends(host, books, observation, 'ban');
        return;
      }
      default:
    }
  };

  return {
    step(host, at, event, effects) {
      now = at;
      let books = all.get(host);
      if (books === undefined)
        all.set(host, (books = { conns: new Map<number, Conn>(), peers: new Map<Digest, Map<PeerId, PeerRecord>>() }));
      happened(host, books, event);
      if (event.type === 'dial-succeeded') {
        const conn = books.conns.get(event.conn);
        const refused = effects.some((effect) => effect.type === 'close' && effect.conn === event.conn);
        if (conn !== undefined && !conn.closed && !refused) activated(books, conn);
      }
      for (const effect of effects) performs(host, books, effect);
      if (isBad(event) && books.conns.get(event.conn)?.closed === false)
        violated(`keeps connection ${event.conn}, which sent a bad piece`, host);
    },
    died(host) {
      all.delete(host);
    },
  };
};
