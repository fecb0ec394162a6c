/**
 * The swarm machine of one node (Kraken: scheduler). Routes events to torrents and connections, admits pulls and
 * incoming connections, fires deadlines. Source: spec p2p.md §3, §4.
 *
 * Nothing that a peer or a host says makes it throw; late and repeated completions are ignored.
 */
import type { Digest, InfoHash, PeerId } from '../content/index.js';
import { unreachable } from '../errors/index.js';
import type { Machine, Millis } from '../machine/index.js';
import { PIECE_CHOICES, type PieceChoices } from '../policy/piece-choice/index.js';
import type { Random } from '../random/index.js';
import type { Handshake } from '../wire/index.js';
import { announce, sayGoodbye } from './announcing.js';
import type { SwarmConfig } from './config.js';
import type { Connection } from './connection.js';
import type { Due } from './due.js';
import type { CloseReason, Failure, SwarmEffect, SwarmEvent } from './events.js';
import { inspectSwarm, torrentStatus, type SwarmView, type TorrentStatus } from './inspect.js';
import { MachineContext } from './machine-context.js';
import { preempt } from './preemption.js';
import type { Timer } from './timers.js';
import { Torrent } from './torrent.js';

/** Goodbyes sent at shutdown; the tracker forgets the rest by itself. Guess. */
const GOODBYES_MAX = 100;

type EventOf<Type extends SwarmEvent['type']> = Extract<SwarmEvent, { type: Type }>;
type PieceEvent = EventOf<'piece-stored' | 'piece-sent' | 'piece-send-failed'>;

/** One entry of {@link SwarmMachine.blacklistSnapshot}. */
export interface BlacklistEntry {
  readonly peerId: PeerId;
  readonly infoHash: InfoHash;
  readonly remainingMs: number;
}

export class SwarmMachine implements Machine<SwarmEvent, SwarmEffect> {
  readonly #context: MachineContext;
  readonly #preemption: Timer<Due>;
  #stopped = false;

  /**
   * @param random owned by the machine from now on
   * @param pieceChoices what `config.pieceChoice` may name
   * @throws KrakenError `config-invalid` for an unknown piece choice
   */
  constructor(config: SwarmConfig, random: Random, pieceChoices: PieceChoices = PIECE_CHOICES) {
    this.#context = new MachineContext(config, random, pieceChoices);
    this.#preemption = this.#context.timers.create({ kind: 'preemption' });
  }

  step(now: Millis, event: SwarmEvent): SwarmEffect[] {
    const out: SwarmEffect[] = [];
    this.#context.now = now;
    this.#context.out = out;
    if (this.#stopped) this.#afterShutdown(event);
    else {
      this.#handle(event);
      this.#fireDue();
    }
    return out;
  }

  nextWakeup(): Millis | undefined {
    return this.#stopped ? undefined : this.#context.timers.next;
  }

  /** Everything, as plain data for checkers and tests. */
  inspect(): SwarmView {
    return inspectSwarm(this.#context);
  }

  /** One torrent, for HTTP; `undefined` when it is not in memory. */
  status(digest: Digest): TorrentStatus | undefined {
    const torrent = this.#context.torrents.get(digest);
    return torrent === undefined ? undefined : torrentStatus(torrent);
  }

  /** Peers that are left alone at `now`. */
  blacklistSnapshot(now: Millis): BlacklistEntry[] {
    const entries: BlacklistEntry[] = [];
    for (const { digest, peerId, remainingMs } of this.#context.connections.blacklist.entries(now)) {
      const infoHash = this.#context.torrents.get(digest)?.metainfo?.infoHash;
      if (infoHash !== undefined) entries.push({ peerId, infoHash, remainingMs });
    }
    return entries;
  }

  #handle(event: SwarmEvent): void {
    const { torrents, connections, fetches, announces } = this.#context;
    // The most frequent first.
    switch (event.type) {
      case 'message-received':
        return this.#messageReceived(event);
      case 'payload-started':
        return this.#payloadStarted(event);
      case 'piece-stored':
      case 'piece-sent':
      case 'piece-send-failed':
        return this.#pieceEnded(event);
      case 'woke':
        return;
      case 'pull-requested':
        return this.#pullRequested(event);
      case 'pull-cancelled':
        return this.#failPull(event.pull, { code: 'cancelled', says: 'The caller gave up.' });
      case 'reader-moved':
        return this.#readerMoved(event);
      case 'seed-requested':
        return this.#seedRequested(event);
      case 'remove-requested':
        return (torrents.get(event.digest) ?? this.#add(event.digest, '')).remove(event.request);
      case 'blob-evicted':
        return torrents.get(event.digest)?.evicted();
      case 'reconfigured':
        this.#context.configure(event.config);
        return this.#armPreemption();
      case 'shutdown-requested':
        return this.#shutDown();
      case 'metainfo-fetched':
        if (fetches.delete(event.digest)) torrents.get(event.digest)?.metainfoFetched(event.metainfo);
        return;
      case 'metainfo-fetch-failed':
        if (fetches.delete(event.digest)) torrents.get(event.digest)?.metainfoFailed(event.failure);
        return;
      case 'blob-opened':
        return torrents.get(event.digest)?.opened(event);
      case 'blob-open-failed':
        return torrents.get(event.digest)?.openFailed(event.failure);
      case 'layer-fetched':
        return torrents.get(event.digest)?.layer.fetched(event.conn);
      case 'layer-fetch-failed':
        return torrents.get(event.digest)?.layer.failed(event.conn, event.failure);
      case 'announce-answered':
        return this.#announceAnswered(event);
      case 'announce-failed':
        return announces.failed(event.digest);
      case 'dial-succeeded':
        return this.#dialSucceeded(event);
      case 'dial-failed':
        return connections.dialFailed(event.conn, event.failure)?.refill();
      case 'blob-committed':
        return torrents.get(event.digest)?.committed();
      case 'blob-commit-failed':
        return torrents.get(event.digest)?.commitFailed(event.failure, event.doubted === true);
      case 'blob-deleted':
        return torrents.get(event.digest)?.deleted();
      case 'blob-delete-failed':
        return torrents.get(event.digest)?.deleted(event.failure);
      case 'handshake-received':
        return this.#handshakeReceived(event);
      case 'connection-closed':
        return connections.closed(event.conn, event.reason)?.refill();
      default:
        return unreachable(event);
    }
  }

  // Wishes of the embedding program.

  #pullRequested({ pull: id, namespace, digest, range, streaming, deadlineAt }: EventOf<'pull-requested'>): void {
    const { pulls, torrents, config } = this.#context;
    if (pulls.get(id) !== undefined) return;
    if (pulls.size >= config.pullsMax) {
      return pulls.refuse(id, { code: 'too-many-pulls', says: `${config.pullsMax} pulls are waiting` });
    }
    const known = torrents.get(digest);
    if (known === undefined && !this.#makeRoom()) {
      return pulls.refuse(id, { code: 'too-many-pulls', says: `${config.torrentsMax} torrents are busy` });
    }
    const torrent = known ?? this.#add(digest, namespace);
    torrent.join(pulls.add({ id, namespace, digest, range, streaming, deadlineAt }));
    if (known === undefined) torrent.begin();
  }

  #failPull(id: number, failure: Failure): void {
    const { pulls, torrents } = this.#context;
    const pull = pulls.get(id);
    if (pull === undefined) return;
    pulls.finish(pull, failure);
    torrents.get(pull.digest)?.leave(pull);
  }

  #readerMoved({ pull: id, piece }: EventOf<'reader-moved'>): void {
    const pull = this.#context.pulls.get(id);
    if (pull !== undefined && Number.isSafeInteger(piece) && piece >= 0) pull.reader = piece;
  }

  #seedRequested({ namespace, digest }: EventOf<'seed-requested'>): void {
    const known = this.#context.torrents.get(digest);
    if (known === undefined && !this.#makeRoom()) return;
    const torrent = known ?? this.#add(digest, namespace);
    torrent.seed();
    if (known === undefined) torrent.begin();
  }

  #shutDown(): void {
    const { torrents, pulls, connections, announces } = this.#context;
    this.#stopped = true;
    let goodbyes = 0;
    for (const digest of announces.digests()) {
      if (goodbyes === GOODBYES_MAX) break;
      const torrent = torrents.get(digest);
      if (torrent !== undefined && sayGoodbye(this.#context, torrent)) goodbyes++;
    }
    for (const pull of [...pulls.all()]) pulls.finish(pull, SHUTTING_DOWN);
    for (const torrent of torrents.values()) torrent.stop(SHUTTING_DOWN);
    for (const connection of [...connections.all()]) connections.close(connection, 'shutdown');
  }

  /** Completions are ignored; whoever still asks gets an answer. */
  #afterShutdown(event: SwarmEvent): void {
    const { out, pulls } = this.#context;
    if (event.type === 'pull-requested') pulls.refuse(event.pull, SHUTTING_DOWN);
    else if (event.type === 'remove-requested') {
      out.push({ type: 'removal-finished', request: event.request, failure: SHUTTING_DOWN });
    } else if (event.type === 'handshake-received') out.push({ type: 'close', conn: event.conn, reason: 'shutdown' });
    else if (event.type === 'payload-started')
      out.push({ type: 'discard-payload', conn: event.conn, length: event.length });
  }

  // Connections.

  #dialSucceeded({ conn, handshake }: EventOf<'dial-succeeded'>): void {
    const connection = this.#context.byConn.get(conn);
    if (connection?.phase === 'dialling') connection.torrent.dialled(connection, handshake);
  }

  #handshakeReceived({ conn, handshake }: EventOf<'handshake-received'>): void {
    const { byConn, connections, torrents } = this.#context;
    if (byConn.get(conn) !== undefined) return;
    const known = torrents.get(handshake.digest);
    const refusal = this.#refusal(handshake, known);
    if (refusal !== undefined) return connections.refuse(conn, handshake.digest, handshake.peerId, refusal);
    const torrent = known ?? this.#add(handshake.digest, handshake.namespace);
    const connection = connections.admit(conn, torrent, handshake);
    if (known === undefined) torrent.begin();
    else if (torrent.isOpen) torrent.accept(connection);
  }

  /** Why an incoming connection is not taken in. Gives our own dial up when theirs wins. */
  #refusal(handshake: Handshake, torrent: Torrent | undefined): CloseReason | undefined {
    const { config, connections, now } = this.#context;
    const { peerId, digest } = handshake;
    if (peerId === config.peerId) return 'self';
    if (connections.blacklist.bans(digest, peerId, now)) return 'blacklisted';
    if (connections.size >= config.connectionsMax) return 'at-capacity';
    if (torrent === undefined) return this.#makeRoom() ? undefined : 'at-capacity';
    const other = torrent.connections.get(peerId);
    if (other === undefined) return connections.isFull(torrent) ? 'at-capacity' : undefined;
    // Both dialled: the dial of the lower peer id wins. A Go peer knows no such rule and refuses ours, so its own wins.
    const theirsWins = handshake.version === '' || peerId < config.peerId;
    if (other.phase !== 'dialling' || !theirsWins) return 'duplicate';
    connections.close(other, 'duplicate');
    return undefined;
  }

  #messageReceived({ conn, message }: EventOf<'message-received'>): void {
    const connection = this.#active(conn);
    connection?.torrent.dispatcher?.onMessage(connection, message);
  }

  #payloadStarted({ conn, piece, offset, length }: EventOf<'payload-started'>): void {
    const connection = this.#active(conn);
    const dispatcher = connection?.torrent.dispatcher;
    if (connection !== undefined && dispatcher !== undefined) dispatcher.onPayload(connection, piece, offset, length);
    else this.#context.out.push({ type: 'discard-payload', conn, length });
  }

  #pieceEnded(event: PieceEvent): void {
    const { byConn, torrents } = this.#context;
    const connection = byConn.get(event.conn);
    if (event.type === 'piece-stored') {
      const isOf = connection !== undefined && connection.torrent.digest === event.digest;
      const torrent = isOf ? connection.torrent : torrents.get(event.digest);
      torrent?.pieceStored(connection, event);
    } else if (connection !== undefined && connection.sending > 0) {
      connection.sending--;
      if (event.type === 'piece-sent') connection.torrent.pieceSent(connection, event.piece);
    }
  }

  #active(conn: number): Connection | undefined {
    const connection = this.#context.byConn.get(conn);
    return connection !== undefined && connection.phase === 'active' ? connection : undefined;
  }

  // Torrents and time.

  #announceAnswered({ digest, peers, intervalMs }: EventOf<'announce-answered'>): void {
    const { torrents, announces } = this.#context;
    const torrent = torrents.get(digest);
    if (torrent === undefined) announces.answered(digest, intervalMs, 'enough');
    else torrent.announceAnswered(peers, intervalMs);
  }

  #announce(torrent: Torrent | undefined): void {
    if (torrent !== undefined) announce(this.#context, torrent);
  }

  #add(digest: Digest, namespace: string): Torrent {
    const torrent = new Torrent(this.#context, digest, namespace);
    this.#context.torrents.set(digest, torrent);
    this.#armPreemption();
    return torrent;
  }

  /** @returns true when one more torrent fits, perhaps after the longest idle one left memory */
  #makeRoom(): boolean {
    const { torrents, config } = this.#context;
    if (torrents.size < config.torrentsMax) return true;
    let oldest: Torrent | undefined;
    for (const torrent of torrents.values()) {
      if (torrent.isIdle && (oldest === undefined || torrent.lastReadAt < oldest.lastReadAt)) oldest = torrent;
    }
    oldest?.drop('idle', 'idle', false);
    return torrents.size < config.torrentsMax;
  }

  #armPreemption(): void {
    const { timers, config, now, torrents } = this.#context;
    if (config.preemptionDisabled || torrents.size === 0) timers.clear(this.#preemption);
    else timers.setBy(this.#preemption, now + config.preemptionIntervalMs);
  }

  #fireDue(): void {
    const { timers, now } = this.#context;
    let timer = timers.takeDue(now);
    if (timer === undefined) return;
    const due: Due[] = [];
    for (; timer !== undefined; timer = timers.takeDue(now)) due.push(timer.what);
    for (const what of due) this.#fire(what);
  }

  #fire(due: Due): void {
    const { torrents } = this.#context;
    switch (due.kind) {
      case 'announce':
        return this.#announce(torrents.get(due.digest));
      case 'pull':
        return this.#failPull(due.pull, { code: 'pull-timeout', says: 'The deadline of the pull has passed.' });
      case 'connection': {
        const connection = this.#active(due.conn);
        return connection === undefined ? undefined : connection.torrent.dispatcher?.onTimer(connection);
      }
      case 'stall':
        return torrents.get(due.digest)?.checkStall();
      case 'layer':
        return torrents.get(due.digest)?.layer.turn();
      case 'rotation':
        return torrents.get(due.digest)?.rotate();
      case 'preemption':
        preempt(this.#context);
        return this.#armPreemption();
      default:
        return unreachable(due);
    }
  }
}

const SHUTTING_DOWN: Failure = { code: 'shutting-down', says: 'The node is stopping.' };
