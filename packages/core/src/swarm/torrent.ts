/**
 * One blob of the swarm, from the first wish until it leaves memory. Owns its state, its waiting pulls, its
 * connections by peer and the dial candidates; the exchange of pieces is the dispatcher's. Source: spec p2p.md §4.5, §4.6.
 *
 *   fetching → opening → leeching → committing → seeding
 *   any → draining (host work must end) → gone, or deleting → gone, or from the start again when somebody waits
 */
import {
  pieceCount,
  pieceLengthAt,
  type Bitfield,
  type Digest,
  type MetaInfo,
  type PeerId,
  type PeerInfo,
} from '../content/index.js';
import type { Handshake } from '../wire/index.js';
import { sayGoodbye } from './announcing.js';
import type { Connection } from './connection.js';
import type { SwarmContext } from './context.js';
import { DialCandidates } from './dial-candidates.js';
import { Dispatcher } from './dispatcher.js';
import type { Due } from './due.js';
import type { CloseReason, Failure, SwarmEvent } from './events.js';
import { misfitOf, ownHandshake } from './handshakes.js';
import { LayerFetch } from './layer-fetch.js';
import { unwantPieces, wantPieces } from './pull-pieces.js';
import type { Pull } from './pulls.js';
import { blameSender, dialOrigins, recover } from './recovery.js';
import { Rotation } from './rotation.js';
import type { Timer } from './timers.js';

/** Where a torrent is between the wish for a blob and its end. */
export type TorrentState = 'fetching' | 'opening' | 'leeching' | 'committing' | 'seeding' | 'draining' | 'deleting';
type BlobOpened = Extract<SwarmEvent, { type: 'blob-opened' }>;
type PieceStored = Extract<SwarmEvent, { type: 'piece-stored' }>;

export class Torrent {
  readonly digest: Digest;
  namespace: string;
  state: TorrentState = 'opening';
  dispatcher: Dispatcher | undefined;
  /** Pending and active connections. Kept by `Connections`. */
  readonly connections = new Map<PeerId, Connection>();
  /** How many of them we dial or dialled. Kept by `Connections`. */
  dials = 0;
  /** How many of these to origins. */
  originDials = 0;
  readonly candidates = new DialCandidates();
  readonly layer: LayerFetch;
  readonly pulls = new Set<Pull>();
  /** Last time a piece went out; the opening for torrents that peers or the program asked to serve. */
  lastReadAt = -Infinity;
  readonly #context: SwarmContext;
  readonly #stall: Timer<Due>;
  readonly #rotation: Rotation;
  readonly #rotationTimer: Timer<Due>;
  readonly #removals: number[] = [];
  #seedWanted = false;
  #openUnderWay = false;
  #openedBlind = false;
  #commitUnderWay = false;
  /** Pieces that the commit under way forgets when the blob is bad. */
  #doubts: Bitfield | undefined;

  constructor(context: SwarmContext, digest: Digest, namespace: string) {
    this.#context = context;
    this.digest = digest;
    this.namespace = namespace;
    this.#stall = context.timers.create({ kind: 'stall', digest });
    this.#rotation = new Rotation(context, this);
    this.layer = new LayerFetch(context, this);
    this.#rotationTimer = context.timers.create({ kind: 'rotation', digest });
  }

  get metainfo(): MetaInfo | undefined {
    return this.dispatcher?.metainfo;
  }

  /** True while peers can be attached and served. */
  get isOpen(): boolean {
    return this.state === 'leeching' || this.state === 'committing' || this.state === 'seeding';
  }

  /** True when it may leave memory to make room: nobody waits, nobody is connected. */
  get isIdle(): boolean {
    return (
      (this.state === 'seeding' || this.state === 'leeching') && this.pulls.size === 0 && this.connections.size === 0
    );
  }

  /** Our handshake for a dial (with the namespace) or a reply (empty namespace). */
  handshake(namespace: string): Handshake {
    return ownHandshake(this, namespace, this.#context.config);
  }

  // Wishes.

  /** A pull joins. */
  join(pull: Pull): void {
    this.pulls.add(pull);
    if (this.isOpen) this.#admit(pull);
  }

  /** A pull was answered. The last one that goes stops a download at once. */
  leave(pull: Pull): void {
    if (!this.pulls.delete(pull)) return;
    if (this.dispatcher !== undefined) unwantPieces(this.dispatcher, pull);
    if (this.pulls.size > 0) return;
    if (this.state === 'fetching') this.#end();
    else if (this.state === 'leeching') this.#quiet();
  }

  /** Start from nothing: what to do first depends on who asks. */
  begin(): void {
    const { config, fetches, out } = this.#context;
    if (this.pulls.size > 0 && config.role === 'agent') {
      this.state = 'fetching';
      const [first] = this.pulls;
      if (first !== undefined) this.namespace = first.namespace;
      if (fetches.has(this.digest)) return;
      fetches.add(this.digest);
      out.push({ type: 'fetch-metainfo', namespace: this.namespace, digest: this.digest });
    } else this.#open(undefined);
  }

  seed(): void {
    this.#seedWanted = true;
  }

  remove(request: number): void {
    this.#removals.push(request);
    this.#failPulls({ code: 'removed', says: 'The blob was removed.' });
    this.#seedWanted = false;
    if (this.state !== 'deleting') this.drop('torrent-removed', 'removed', true);
  }

  /** The store dropped the blob. Pulls that wait start over. */
  evicted(): void {
    if (this.isOpen) this.drop('torrent-removed', 'evicted', true);
  }

  // Host completions.

  metainfoFetched(metainfo: MetaInfo): void {
    if (this.state !== 'fetching') return;
    if (metainfo.digest === this.digest) return this.#open(metainfo);
    this.#failPulls({ code: 'metainfo-invalid', says: `metainfo names ${metainfo.digest}, expected ${this.digest}` });
    this.drop('unknown-blob', 'metainfo-invalid', false);
  }

  metainfoFailed(failure: Failure): void {
    if (this.state !== 'fetching') return;
    this.#failPulls(failure);
    this.drop('unknown-blob', failure.code, false);
  }

  opened(event: BlobOpened): void {
    if (!this.#openUnderWay) return;
    this.#openUnderWay = false;
    if (this.state !== 'opening') return this.#drained();
    const { metainfo, committed } = event;
    const { have } = event;
    if (metainfo.digest !== this.digest || have.length !== pieceCount(metainfo)) {
      this.#context.out.push({ type: 'close-blob', digest: this.digest });
      return this.#openFailed({ code: 'metainfo-invalid', says: 'the opened blob does not fit its metainfo' });
    }
    if (committed) for (let piece = have.firstClear(); piece >= 0; piece = have.firstClear(piece)) have.set(piece);
    this.dispatcher = new Dispatcher(this.#context, this, metainfo, have);
    this.layer.isMissing = this.dispatcher.held = event.layerMissing === true && !committed;
    this.state = committed ? 'seeding' : 'leeching';
    if (committed || this.pulls.size === 0) this.lastReadAt = this.#context.now;
    this.#seedWanted = false;
    this.#context.observe({
      kind: 'torrent-added',
      digest: this.digest,
      infoHash: metainfo.infoHash,
      complete: committed,
      rooted: metainfo.piecesRoot !== undefined,
    });
    if (committed) this.#becomeSeed();
    else if (have.isComplete) this.#commit();
    for (const pull of [...this.pulls]) this.#admit(pull);
    for (const connection of [...this.connections.values()])
      if (connection.phase === 'waiting') this.accept(connection);
  }

  openFailed(failure: Failure): void {
    if (!this.#openUnderWay) return;
    this.#openUnderWay = false;
    if (this.state !== 'opening') return this.#drained();
    this.#seedWanted = false;
    this.#openFailed(failure);
  }

  announceAnswered(peers: readonly PeerInfo[], intervalMs: number): void {
    const { announces, connections, config } = this.#context;
    if (this.state === 'leeching') {
      this.candidates.replace(peers, config.peerId);
      this.dialMore();
    }
    const short = connections.mayDial(this) && this.connections.size < config.dialsPerTorrentMax;
    announces.answered(this.digest, intervalMs, connections.isFull(this) ? 'full' : short ? 'more' : 'enough');
  }

  pieceStored(connection: Connection | undefined, { conn, piece, verdict, replaced }: PieceStored): void {
    const { dispatcher } = this;
    if (dispatcher === undefined || dispatcher.requests.writerOf(piece)?.conn !== conn) return;
    const before = replaced === 'different' ? dispatcher.senders?.of(piece) : undefined;
    const isNew = dispatcher.onStored(connection, piece, verdict);
    if (connection !== undefined) this.#rotation.transferEnded(connection);
    if (this.state === 'draining') return this.#drained();
    if (verdict === 'disk-full' || verdict === 'io-error') {
      const failure: Failure = { code: verdict, says: `piece ${piece} could not be stored` };
      this.#failPulls(failure);
      return this.drop('io-error', verdict, false);
    }
    if (!isNew) return;
    if (before !== undefined) blameSender(this.#context, this, before, piece);
    for (const pull of dispatcher.readers.stored(piece, dispatcher.own.have)) this.#finish(pull);
    if (dispatcher.own.have.isComplete && this.state === 'leeching') this.#commit();
  }

  pieceSent(connection: Connection, piece: number): void {
    const { now, observe } = this.#context;
    const { digest, metainfo } = this;
    const length = metainfo === undefined ? 0 : pieceLengthAt(metainfo, piece);
    observe({ kind: 'piece-uploaded', digest, peer: connection.peer, piece, length });
    connection.progressAt = now;
    connection.useful = true;
    this.lastReadAt = now;
    this.#rotation.transferEnded(connection);
  }

  committed(): void {
    if (!this.#commitUnderWay) return;
    this.#commitUnderWay = false;
    if (this.state !== 'committing') return this.#drained();
    const { dispatcher } = this;
    if (dispatcher === undefined) return;
    const { connections, observe, now } = this.#context;
    this.state = 'seeding';
    this.lastReadAt = now;
    observe({ kind: 'torrent-completed', digest: this.digest, infoHash: dispatcher.metainfo.infoHash });
    for (const pull of [...this.pulls]) this.#finish(pull);
    connections.blacklist.clear(this.digest);
    dispatcher.sayComplete();
    this.#becomeSeed();
  }

  commitFailed(failure: Failure, doubted: boolean): void {
    if (!this.#commitUnderWay) return;
    this.#commitUnderWay = false;
    if (this.state !== 'committing') return this.#drained();
    if (doubted && this.#doubts !== undefined) return this.#recover(this.#doubts, failure);
    this.#failPulls(failure);
    this.drop('torrent-removed', failure.code, true);
  }

  /** The files are gone, or could not be deleted. */
  deleted(failure?: Failure): void {
    if (this.state !== 'deleting') return;
    for (const request of this.#removals.splice(0)) {
      this.#context.out.push({ type: 'removal-finished', request, ...(failure === undefined ? {} : { failure }) });
    }
    this.#end();
  }

  // Connections.

  /** Dial candidates of the last announce while there are slots and something is missing. */
  dialMore(): void {
    const { connections, config } = this.#context;
    if (this.state !== 'leeching' || (this.dispatcher?.own.wantedMissing ?? 0) === 0) return;
    if (this.dispatcher?.originsOnly === true) return dialOrigins(this.#context, this);
    while (
      connections.mayDial(this) &&
      this.dials < this.candidates.dialsMax(config.dialsPerTorrentMax, config.firstDialsMax)
    ) {
      const peer = this.candidates.take();
      if (peer === undefined) {
        if (this.connections.size === 0) connections.dialLastResort(this);
        return;
      }
      connections.dial(this, peer);
    }
  }

  /** A slot came free: fill it at once, if that is the policy. */
  refill(): void {
    if (this.#context.config.refill) this.dialMore();
  }

  /** Swap a connection, if it is time. */
  rotate(): void {
    const { timers, config, now } = this.#context;
    const intervalMs = config.rotationIntervalMs ?? 0;
    if (intervalMs <= 0 || this.state !== 'leeching' || this.pulls.size === 0) return;
    timers.set(this.#rotationTimer, now + intervalMs);
    this.#rotation.turn();
  }

  /** Attach a peer that came in, or close it with a reason. The torrent is open. */
  accept(connection: Connection): void {
    const { connections, out } = this.#context;
    const { dispatcher } = this;
    const { handshake } = connection;
    if (dispatcher === undefined || handshake === undefined) return;
    const misfit = misfitOf(this, handshake, this.#context.config);
    if (misfit !== undefined) return connections.close(connection, misfit);
    out.push({ type: 'accept', conn: connection.conn, handshake: this.handshake('') });
    connections.activate(connection, handshake.version);
    dispatcher.attach(connection, handshake.bitfield);
  }

  /** Our dial got its reply. */
  dialled(connection: Connection, handshake: Handshake): void {
    const { connections } = this.#context;
    const { dispatcher } = this;
    if (dispatcher === undefined) return;
    if (handshake.peerId !== connection.peer || handshake.digest !== this.digest) {
      return connections.close(connection, 'handshake-mismatch');
    }
    const misfit = misfitOf(this, { ...handshake, neighbours: [] }, this.#context.config);
    if (misfit !== undefined) return connections.close(connection, misfit);
    connections.activate(connection, handshake.version);
    dispatcher.attach(connection, handshake.bitfield);
  }

  /** An active connection is gone. */
  detached(connection: Connection): void {
    this.dispatcher?.detach(connection);
  }

  // Time.

  /** Pulls that got nothing for too long fail. */
  checkStall(): void {
    const { now, config } = this.#context;
    const { dispatcher } = this;
    if (this.state !== 'leeching' || dispatcher === undefined || config.preemptionDisabled) return;
    for (const pull of [...this.pulls]) {
      const stalledAt = Math.max(dispatcher.lastStoredAt, pull.joinedAt) + config.leecherIdleMs;
      if (now >= stalledAt) {
        const says = `no piece came for ${config.leecherIdleMs} ms`;
        this.#finish(pull, { code: 'pull-stalled', says });
      } else this.#context.timers.setBy(this.#stall, stalledAt);
    }
  }

  /**
   * Leave memory; files stay unless a removal waits. Host work that is under way ends first.
   * @param goodbye tell the tracker that we have nothing to offer any more
   */
  drop(closeReason: CloseReason, says: string, goodbye: boolean): void {
    const { announces, connections, observe } = this.#context;
    const { dispatcher } = this;
    if (this.state === 'draining') return this.#drained();
    this.state = 'draining';
    this.#stopClocks();
    dispatcher?.stop();
    if (goodbye && dispatcher !== undefined) sayGoodbye(this.#context, this);
    announces.stop(this.digest);
    this.candidates.clear();
    for (const connection of [...this.connections.values()]) connections.close(connection, closeReason);
    connections.blacklist.clear(this.digest);
    if (dispatcher !== undefined) observe({ kind: 'torrent-removed', digest: this.digest, reason: says });
    this.#drained();
  }

  #open(metainfo: MetaInfo | undefined): void {
    this.state = 'opening';
    this.#openUnderWay = true;
    this.#openedBlind = metainfo === undefined;
    const { digest, namespace } = this;
    this.#context.out.push({ type: 'open-blob', namespace, digest, ...(metainfo === undefined ? {} : { metainfo }) });
  }

  #openFailed(failure: Failure): void {
    if (this.#openedBlind && this.pulls.size > 0 && this.#context.config.role === 'agent') {
      // Only looked up locally so far, for a peer; a pull that joined meanwhile can still fetch it.
      this.#closeWaiting();
      return this.begin();
    }
    this.#failPulls(failure);
    this.drop('unknown-blob', failure.code, false);
  }

  #closeWaiting(): void {
    for (const connection of [...this.connections.values()])
      this.#context.connections.close(connection, 'unknown-blob');
  }

  /** A pull meets the open torrent. */
  #admit(pull: Pull): void {
    const { dispatcher } = this;
    if (dispatcher === undefined) return;
    this.#context.pulls.open(pull, dispatcher.metainfo);
    if (this.state === 'seeding' || !wantPieces(dispatcher, pull)) return this.#finish(pull);
    if (this.state === 'leeching') this.#leech();
  }

  #leech(): void {
    const { announces, timers, config, now, random } = this.#context;
    if (!announces.has(this.digest)) announces.start(this.digest, false);
    if (!config.preemptionDisabled) timers.setBy(this.#stall, now + config.leecherIdleMs);
    const rotationMs = config.rotationIntervalMs ?? 0;
    // The first swap at a random moment, so that torrents and nodes that start together do not swap together.
    if (rotationMs > 0) timers.setBy(this.#rotationTimer, now + rotationMs * (1 + random.unit()));
    this.layer.begin();
    this.dispatcher?.fillAll();
    this.dialMore();
  }

  /** Pieces that agents sent are fetched again from origins. In-order readers have seen bad bytes, perhaps: they fail. */
  #recover(doubts: Bitfield, failure: Failure): void {
    if (this.dispatcher === undefined) return;
    this.dispatcher = recover(this.#context, this, this.dispatcher, doubts);
    this.state = 'leeching';
    for (const pull of [...this.pulls]) {
      pull.wanting = false;
      if (pull.streaming) this.#finish(pull, failure);
      else this.#admit(pull);
    }
  }

  #stopClocks(): void {
    this.layer.stop();
    this.#context.timers.clear(this.#stall);
    this.#context.timers.clear(this.#rotationTimer);
  }

  /** Nobody waits any more: stop asking and announcing, go on serving until the next preemption tick. */
  #quiet(): void {
    this.#context.announces.stop(this.digest);
    this.#stopClocks();
  }

  #commit(): void {
    this.state = 'committing';
    this.#commitUnderWay = true;
    this.#stopClocks();
    const doubts = (this.#doubts = this.dispatcher?.doubts());
    this.#context.out.push({ type: 'commit-blob', digest: this.digest, ...(doubts === undefined ? {} : { doubts }) });
  }

  #becomeSeed(): void {
    this.candidates.clear();
    this.#stopClocks();
    this.#context.announces.start(this.digest, true);
  }

  #finish(pull: Pull, failure?: Failure): void {
    this.#context.pulls.finish(pull, failure);
    this.leave(pull);
  }

  /** Answer all pulls; the torrent is dropped right after. */
  #failPulls(failure: Failure): void {
    const pulls = [...this.pulls];
    this.pulls.clear();
    for (const pull of pulls) this.#context.pulls.finish(pull, failure);
  }

  /** The node stops: ask for nothing more, answer removals. */
  stop(failure: Failure): void {
    this.dispatcher?.stop();
    for (const request of this.#removals.splice(0))
      this.#context.out.push({ type: 'removal-finished', request, failure });
  }

  /** True while the host works for this torrent. */
  #isBusy(): boolean {
    return this.#openUnderWay || this.#commitUnderWay || (this.dispatcher?.requests.writers ?? 0) > 0;
  }

  /** While draining: go on when no host work is under way. */
  #drained(): void {
    if (this.state !== 'draining' || this.#isBusy()) return;
    const { out } = this.#context;
    if (this.#removals.length > 0) {
      this.state = 'deleting';
      this.dispatcher = undefined;
      out.push({ type: 'delete-blob', digest: this.digest });
      return;
    }
    out.push({ type: 'close-blob', digest: this.digest });
    this.#end();
  }

  /** Gone from memory, or from the start for those who came meanwhile. */
  #end(): void {
    const { torrents } = this.#context;
    this.dispatcher = undefined;
    for (const pull of this.pulls) pull.wanting = false;
    if (this.pulls.size > 0 || this.connections.size > 0 || this.#seedWanted) this.begin();
    else torrents.delete(this.digest);
  }
}
