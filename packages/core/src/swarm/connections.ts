/**
 * All connections of the node: by number, and per torrent by peer. Enforces the capacities, mints dial numbers, closes,
 * and decides what a close means for the next dial. Source: spec p2p.md §3.
 *
 * Never knows pieces. A connection that is closing no longer counts for its torrent, but for the node until the host
 * has confirmed.
 */
import type { Digest, PeerId, PeerInfo } from '../content/index.js';
import { hasCapability, LAYER_CAPABILITY, type Handshake } from '../wire/index.js';
import { Blacklist, type BlacklistKind } from './blacklist.js';
import { Connection } from './connection.js';
import type { SwarmContext } from './context.js';
import type { CloseReason, Failure } from './events.js';
import type { Torrent } from './torrent.js';

/** What a close says about the peer. `useful-pause` is a pause when pieces went over the connection, a failure otherwise. */
const MEANING: Record<CloseReason, BlacklistKind | 'useful-pause' | 'nothing'> = {
  'remote-closed': 'useful-pause',
  'remote-reset': 'useful-pause',
  'protocol-error': 'failure',
  'io-error': 'pause',
  'at-capacity': 'pause',
  duplicate: 'nothing',
  self: 'nothing',
  'handshake-mismatch': 'failure',
  'handshake-timeout': 'failure',
  'unknown-blob': 'nothing',
  'both-complete': 'pause',
  idle: 'pause',
  'too-old': 'pause',
  rotated: 'pause',
  'bad-piece': 'ban',
  blacklisted: 'nothing',
  'torrent-removed': 'nothing',
  shutdown: 'nothing',
};

export class Connections {
  readonly blacklist = new Blacklist();
  readonly #context: SwarmContext;
  #nextDial = 2;
  /** Dials that have not been answered. */
  #pendingDials = 0;

  constructor(context: SwarmContext) {
    this.#context = context;
  }

  get size(): number {
    return this.#context.byConn.size;
  }

  all(): Iterable<Connection> {
    return this.#context.byConn.values();
  }

  /** True when the node or the torrent can take no more. */
  isFull(torrent: Torrent): boolean {
    const { config } = this.#context;
    return (
      this.#context.byConn.size >= config.connectionsMax || torrent.connections.size >= config.connectionsPerTorrentMax
    );
  }

  /** True when we may open one more connection for the torrent. */
  mayDial(torrent: Torrent): boolean {
    return this.#mayDialUpTo(torrent, this.#context.config.dialsPerTorrentMax);
  }

  /** The same for a torrent that few others dial. */
  mayDialLonely(torrent: Torrent): boolean {
    const { lonelyDialsMax } = this.#context.config;
    return torrent.connections.size < lonelyDialsMax && this.#mayDialUpTo(torrent, lonelyDialsMax);
  }

  #mayDialUpTo(torrent: Torrent, dialsMax: number): boolean {
    return (
      !this.isFull(torrent) && torrent.dials < dialsMax && this.#pendingDials < this.#context.config.pendingDialsMax
    );
  }

  /** Dial `peer` unless it is us, blacklisted, connected, or one origin too many. The caller checked {@link mayDial}. */
  dial(torrent: Torrent, peer: PeerInfo): boolean {
    const { now, config } = this.#context;
    if (peer.peerId === config.peerId || torrent.connections.has(peer.peerId)) return false;
    if (this.blacklist.blocks(torrent.digest, peer.peerId, now)) return false;
    if (peer.origin && torrent.originDials >= config.originDialsMax) return false;
    this.#dial(torrent, peer);
    return true;
  }

  /** For a torrent without any connection: dial one peer that failed a while ago. The caller checked {@link mayDial}. */
  dialLastResort(torrent: Torrent): void {
    const { now, config, random } = this.#context;
    const peer = torrent.candidates.any(
      random,
      (id) => id !== config.peerId && this.blacklist.isLastResort(torrent.digest, id, now),
    );
    if (peer !== undefined) this.#dial(torrent, peer);
  }

  #dial(torrent: Torrent, peer: PeerInfo): void {
    const { config, out } = this.#context;
    const conn = this.#nextDial;
    this.#nextDial += 2;
    const connection = this.#add(conn, torrent, peer.peerId, false, peer.origin);
    connection.dialledAt = this.#context.now;
    torrent.dials++;
    if (peer.origin) torrent.originDials++;
    this.#pendingDials++;
    const handshake = torrent.handshake(torrent.namespace);
    connection.snapshot = handshake.bitfield;
    const { ip, port } = peer;
    out.push({ type: 'dial', conn, peer: peer.peerId, ip, port, handshake, timeoutMs: config.handshakeTimeoutMs });
  }

  /** Take an accepted socket in; it waits until the torrent attaches it. The caller checked capacity and duplicates. */
  admit(conn: number, torrent: Torrent, handshake: Handshake): Connection {
    const connection = this.#add(conn, torrent, handshake.peerId, true, false);
    connection.handshake = handshake;
    return connection;
  }

  /** Pending → active. */
  activate(connection: Connection, version: string): void {
    const { now } = this.#context;
    if (connection.phase === 'dialling') {
      this.#pendingDials--;
      // Connecting and shaking hands are two.
      connection.pace.roundTripMs = (now - connection.dialledAt) / 2;
    }
    connection.phase = 'active';
    connection.ours = version !== '';
    connection.layers = hasCapability(version, LAYER_CAPABILITY);
    connection.activeAt = now;
    connection.progressAt = now;
    connection.idleSince = now;
    connection.handshake = undefined;
    this.blacklist.forgive(connection.torrent.digest, connection.peer);
    const { inbound, peer, torrent } = connection;
    this.#context.observe({ kind: 'connection-added', digest: torrent.digest, peer, inbound });
  }

  /** Close from our side. Detached at once; the number stays taken until the host confirms. */
  close(connection: Connection, reason: CloseReason): void {
    if (connection.phase === 'closing') return;
    this.#context.out.push({ type: 'close', conn: connection.conn, reason });
    this.#leave(connection, reason);
  }

  /** The host says that a connection is gone. @returns its torrent */
  closed(conn: number, reason: CloseReason): Torrent | undefined {
    const connection = this.#context.byConn.get(conn);
    if (connection === undefined) return undefined;
    if (connection.phase !== 'closing') this.#leave(connection, reason);
    this.#context.byConn.delete(conn);
    return connection.torrent;
  }

  /** The host says that a dial failed. @returns its torrent */
  dialFailed(conn: number, failure: Failure): Torrent | undefined {
    const connection = this.#context.byConn.get(conn);
    if (connection === undefined || connection.inbound || connection.phase === 'active') return undefined;
    if (connection.phase === 'dialling') {
      this.#pendingDials--;
      this.#unlink(connection);
      // The peer read our handshake and hung up: most likely it is full. No reason travels on this wire.
      this.penalise(
        connection.torrent.digest,
        connection.peer,
        failure.code === 'too-many-connections' ? 'pause' : 'failure',
      );
    }
    connection.phase = 'closing';
    this.#context.byConn.delete(conn);
    return connection.torrent;
  }

  /** Refuse a socket that was never taken in. */
  refuse(conn: number, digest: Digest, peer: PeerId, reason: CloseReason): void {
    this.#context.out.push({ type: 'close', conn, reason });
    this.#context.observe({ kind: 'connection-refused', digest, peer, reason });
  }

  penalise(digest: Digest, peer: PeerId, kind: BlacklistKind): void {
    const { config, now, random } = this.#context;
    if (kind === 'failure' && config.blacklistDisabled) return;
    const jitter = 0.9 + 0.2 * random.unit();
    const durationMs = this.blacklist.add(digest, peer, kind, now, config.blacklistMs, jitter);
    if (kind !== 'pause') this.#context.observe({ kind: 'peer-blacklisted', digest, peer, durationMs });
  }

  /** The peer sent what is demonstrably wrong: no more connections with it for a while, for this torrent. */
  blame(connection: Connection): void {
    if (connection.phase === 'closing') this.penalise(connection.torrent.digest, connection.peer, 'ban');
    else this.close(connection, 'bad-piece');
  }

  #add(conn: number, torrent: Torrent, peer: PeerId, inbound: boolean, origin: boolean): Connection {
    const timer = this.#context.timers.create({ kind: 'connection', conn });
    const connection = new Connection(conn, torrent, peer, inbound, origin, timer);
    this.#context.byConn.set(conn, connection);
    torrent.connections.set(peer, connection);
    return connection;
  }

  #leave(connection: Connection, reason: CloseReason): void {
    const { torrent, peer } = connection;
    const wasActive = connection.phase === 'active';
    if (connection.phase === 'dialling') this.#pendingDials--;
    connection.phase = 'closing';
    this.#unlink(connection);
    if (wasActive) {
      torrent.detached(connection);
      this.#context.observe({ kind: 'connection-dropped', digest: torrent.digest, peer, reason });
    } else if (connection.inbound) {
      this.#context.observe({ kind: 'connection-refused', digest: torrent.digest, peer, reason });
    }
    const meaning = MEANING[reason];
    if (meaning === 'nothing' || (connection.inbound && !wasActive)) return;
    if (meaning === 'useful-pause') this.penalise(torrent.digest, peer, connection.useful ? 'pause' : 'failure');
    else this.penalise(torrent.digest, peer, meaning);
  }

  #unlink(connection: Connection): void {
    const { torrent } = connection;
    this.#context.timers.clear(connection.timer);
    torrent.connections.delete(connection.peer);
    if (connection.inbound) return;
    torrent.dials--;
    if (connection.origin) torrent.originDials--;
  }
}
