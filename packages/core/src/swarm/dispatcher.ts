/**
 * Exchanges the pieces of one open torrent with its attached peers: decides what to ask of whom, permits payloads,
 * serves requests (Kraken: dispatch). Source: spec p2p.md §5.
 *
 * Never dials, never answers pulls, never commits: the torrent does. Work per event is O(attached peers) at most; in end
 * game, for each piece that is asked, as much as sorting the requests in flight.
 */
import { pieceLengthAt, type Bitfield, type MetaInfo } from '../content/index.js';
import type { PeerMessage } from '../wire/index.js';
import { Candidates } from './candidates.js';
import type { Connection } from './connection.js';
import type { SwarmContext } from './context.js';
import type { PieceVerdict } from './events.js';
import { OriginSparing, type Sparing } from './origin-sparing.js';
import { OwnPieces } from './own-pieces.js';
import { PeerPieces } from './peer-pieces.js';
import { PieceRequests } from './piece-requests.js';
import { Readers } from './readers.js';
import { PIPELINE_MAX } from './peer-pace.js';
import { Senders } from './senders.js';
import type { Torrent } from './torrent.js';

/** A peer that refused a piece is not asked for it again for so long. Guess: 5 s. */
const REFUSAL_AVOID_MS = 5000;
/** A peer that so many pieces are not to be asked of is asked for nothing until some may be again. Guess: far above any pipeline. */
const AVOIDED_MAX = 64;
/** A payload that has started must end within so many request timeouts, and not before `PAYLOAD_MIN_MS`. Guess. */
const PAYLOAD_TIMEOUTS = 4;
const PAYLOAD_MIN_MS = 60_000;
/** Payloads that nobody asked for before the connection is closed. Guess. */
const UNSOLICITED_MAX = 16;
/** An adaptive pipeline keeps so many requests of the torrent in flight, however few peers there are. Kraken's depth. */
const IN_FLIGHT_MIN = 3;
/** Draws of the policy until a piece of our own share comes. Guess: with ten neighbours, 16 draws miss once in five times. */
const SHARE_DRAWS = 16;

export class Dispatcher {
  readonly peers: PeerPieces;
  readonly own: OwnPieces;
  readonly #pieces: number;
  #stopped = false;
  readonly #context: SwarmContext;
  readonly requests: PieceRequests;
  readonly metainfo: MetaInfo;
  readonly #torrent: Torrent;
  readonly readers = new Readers();
  /** Last time a piece was stored; the opening at first. */
  lastStoredAt: number;
  /** Pieces cannot be proved yet: nothing is asked for. */
  held = false;
  /** Only origins are asked: what agents sent proved wrong. */
  originsOnly = false;
  /** Who sent what, for blobs without a root. */
  readonly senders: Senders | undefined;
  readonly #candidates: Candidates;
  readonly #sparing: OriginSparing;
  /** Least round trip of our dials so far, ms. */
  #roundTripMs = Infinity;

  /** @param senders of an earlier exchange of the same download */
  constructor(context: SwarmContext, torrent: Torrent, metainfo: MetaInfo, have: Bitfield, senders?: Senders) {
    this.#context = context;
    this.#torrent = torrent;
    this.metainfo = metainfo;
    this.#pieces = have.length;
    this.own = new OwnPieces(have);
    this.peers = new PeerPieces(have);
    this.requests = new PieceRequests(have.length, this.peers);
    this.#candidates = new Candidates(this.own.open, this.peers, context.random);
    this.#sparing = new OriginSparing(context.config.peerId);
    this.lastStoredAt = context.now;
    const blames = metainfo.piecesRoot === undefined && context.config.role === 'agent';
    this.senders = blames ? (senders ?? new Senders(have.length)) : undefined;
  }

  /** Pieces to forget when the blob does not fit its digest; `undefined` when fetching any again would be pointless. */
  doubts(): Bitfield | undefined {
    const suspects = this.originsOnly ? undefined : this.senders?.suspects();
    return suspects === undefined || suspects.count === 0 ? undefined : suspects;
  }

  /** Attached peers, in the order of attaching. */
  get attached(): readonly Connection[] {
    return this.peers.peers;
  }

  /** Ask for nothing more; what is under way may finish. */
  stop(): void {
    this.#stopped = true;
  }

  /** A peer is connected. Tells it what we got since our handshake (spec p2p.md §5.9), then asks. */
  attach(connection: Connection, bits: Bitfield): void {
    this.peers.add(connection, bits);
    this.#takeRoundTrip(connection);
    this.#sparing.attach(connection, bits.count, this.#context.now);
    const { snapshot } = connection;
    connection.snapshot = undefined;
    if (snapshot !== undefined && snapshot.count < this.own.have.count) this.#catchUp(connection, snapshot);
    this.#torrent.layer.attached(connection);
    this.fill(connection);
  }

  /** A peer is gone: what it was asked for is asked elsewhere. */
  detach(connection: Connection): void {
    this.#sparing.detach(connection);
    this.peers.remove(connection);
    for (const piece of this.requests.drop(connection)) this.#release(piece);
    this.fillAll();
  }

  /** Ask every attached peer for more, up to its quota. */
  fillAll(): void {
    if (this.#stopped || this.own.wantedMissing === 0) return;
    for (const connection of this.attached) this.fill(connection);
  }

  /** Ask a peer for more, up to its quota. */
  fill(connection: Connection): void {
    if (this.#stopped || this.own.wantedMissing === 0 || connection.phase !== 'active' || connection.row < 0) return;
    const sparing = this.#sparingOf(connection);
    for (let quota = this.#quota(connection); quota > 0; quota--) {
      const piece = this.#pick(connection, sparing);
      if (piece < 0) break;
      this.#request(connection, piece);
    }
    if (sparing !== 'nothing' && connection.asked.length === 0) {
      const { config, timers } = this.#context;
      timers.setBy(connection.timer, this.#sparing.until(connection, sparing, config));
    }
  }

  onMessage(connection: Connection, message: PeerMessage): void {
    switch (message.type) {
      case 'piece-request':
        return this.#serve(connection, message.piece, message.offset, message.length);
      case 'announce-piece':
        return this.#announced(connection, message.piece);
      case 'complete':
        return this.#completed(connection);
      case 'error':
        return this.#refused(connection, message.piece, message.code);
      case 'cancel-piece':
      case 'ignored':
        return;
    }
  }

  /** A payload header came: permit, discard or close. */
  onPayload(connection: Connection, piece: number, offset: number, length: number): void {
    const { out, observe, connections, now } = this.#context;
    const { digest } = this.#torrent;
    const { conn, peer } = connection;
    const exact = pieceLengthAt(this.metainfo, piece);
    if (piece < 0 || piece >= this.#pieces || offset !== 0 || length !== exact) {
      observe({
        kind: 'peer-misbehaved',
        peer,
        says: `payload of piece ${piece}: offset ${offset}, length ${length}, expected 0 and ${exact}`,
      });
      return connections.close(connection, 'protocol-error');
    }
    const expected = this.requests.expects(connection, piece);
    if (expected && !this.own.have.has(piece) && this.requests.writerOf(piece) === undefined) {
      const deadlineAt = now + Math.max(PAYLOAD_MIN_MS, PAYLOAD_TIMEOUTS * this.#timeoutMs());
      this.requests.begin(connection, piece, deadlineAt);
      this.own.claim(piece);
      this.requests.startWriting(connection, piece);
      connection.pace.started(now, piece);
      this.#context.timers.setBy(connection.timer, deadlineAt);
      out.push({ type: 'receive-piece', conn, digest, piece, length });
      return;
    }
    out.push({ type: 'discard-payload', conn, length });
    observe({ kind: 'piece-duplicate', digest, peer, piece });
    if (!expected && ++connection.unsolicited > UNSOLICITED_MAX) {
      observe({ kind: 'peer-misbehaved', peer, says: `${connection.unsolicited} payloads that were not asked for` });
      return connections.close(connection, 'protocol-error');
    }
    this.requests.forgetLate(connection, piece);
    if (this.requests.writerOf(piece) !== connection) this.#settle(connection, piece);
    this.fill(connection);
  }

  /**
   * A permitted payload has ended. The torrent has checked who the writer is.
   * @param connection absent or closing when it died meanwhile
   * @returns true when the piece is new
   */
  onStored(connection: Connection | undefined, piece: number, verdict: PieceVerdict): boolean {
    this.requests.stopWriting(piece);
    if (connection !== undefined) {
      this.requests.settle(connection, piece);
      if (connection.asked.length === 0) connection.idleSince = this.#context.now;
    }
    if (verdict === 'ok') return this.#stored(connection, piece);
    if (connection !== undefined) {
      const { digest } = this.#torrent;
      this.#context.observe({ kind: 'piece-rejected', digest, peer: connection.peer, piece, verdict });
      if (verdict === 'bad-sum' || verdict === 'forged') this.#context.connections.blame(connection);
    }
    this.#release(piece);
    this.#offer(piece);
    if (connection !== undefined) this.fill(connection);
    return false;
  }

  /** Requests may have expired, refusals lapsed, or an origin been idle for long enough. */
  onTimer(connection: Connection): void {
    const { now, timers, observe, connections } = this.#context;
    const { digest } = this.#torrent;
    const freed: number[] = [];
    for (const { piece, deadlineAt } of [...connection.asked]) {
      if (deadlineAt > now) {
        timers.setBy(connection.timer, deadlineAt);
        continue;
      }
      if (this.requests.writerOf(piece) === connection) return connections.close(connection, 'idle');
      this.requests.expire(connection, piece);
      connection.expiries++;
      this.#sparing.expired(connection);
      connection.avoidUntil(piece, now + this.#timeoutMs());
      observe({ kind: 'request-expired', digest, peer: connection.peer, piece });
      if (this.#release(piece)) freed.push(piece);
    }
    if (freed.length > 0 && connection.asked.length === 0) connection.idleSince = now;
    connection.forgive(now);
    for (const until of connection.avoid.values()) timers.setBy(connection.timer, until);
    for (const piece of freed) this.#offer(piece);
    this.fill(connection);
  }

  /** Tell an incomplete peer that we are complete; close a complete one. */
  sayComplete(): void {
    for (const connection of [...this.attached]) {
      if (this.peers.isComplete(connection)) this.#context.connections.close(connection, 'both-complete');
      else this.#context.out.push({ type: 'send', conn: connection.conn, message: { type: 'complete' } });
    }
  }

  /** Our dials show how far away peers are. Who came in counts as far away as the nearest of those, whichever came first. */
  #takeRoundTrip({ inbound, pace }: Connection): void {
    if (inbound) {
      if (this.#roundTripMs < Infinity) pace.roundTripMs = this.#roundTripMs;
    } else if (pace.roundTripMs < this.#roundTripMs) {
      this.#roundTripMs = pace.roundTripMs;
      for (const other of this.attached) if (other.inbound) other.pace.roundTripMs = this.#roundTripMs;
    }
  }

  #quota(connection: Connection): number {
    if (connection.retiring || this.held || (this.originsOnly && !connection.origin)) return 0;
    if (connection.avoid.size >= AVOIDED_MAX) return 0;
    const { config } = this.#context;
    const asked = connection.asked.length;
    const fixed = connection.origin ? config.originPipelineLimit : config.pipelineLimit;
    if (fixed > 0) return fixed - asked;
    return Math.min(PIPELINE_MAX, Math.max(connection.pace.depth, IN_FLIGHT_MIN - this.requests.size + asked)) - asked;
  }

  #sparingOf(connection: Connection): Sparing {
    const { config, now } = this.#context;
    if (this.originsOnly) return 'nothing';
    return this.#sparing.of(connection, connection.asked.length, now, config);
  }

  /** False when the peer is an origin that is spared this piece. */
  #mayAsk(connection: Connection, piece: number): boolean {
    const sparing = this.#sparingOf(connection);
    if (sparing === 'nothing' || this.#isEndgame()) return true;
    if (this.peers.hasCompleteAgent || this.peers.partialHeld.has(piece)) return false;
    return sparing === 'held' || this.#sparing.isMine(piece);
  }

  #isEndgame(): boolean {
    const { config } = this.#context;
    return !config.endgameDisabled && this.own.wantedMissing <= config.endgameThreshold;
  }

  /** The next piece to ask of the peer, or -1. */
  #pick(connection: Connection, sparing: Sparing): number {
    const { random, now } = this.#context;
    const endgame = this.#isEndgame();
    const spares = sparing !== 'nothing' && !endgame;
    if (spares && this.peers.hasCompleteAgent) return -1;
    const without = spares ? this.peers.partialHeld : undefined;
    const question = this.#candidates.ask(connection, without, connection.avoid, now);
    const share = spares && sparing === 'all-but-share' ? this.#sparing : undefined;
    if (this.readers.size > 0 && random.unit() < this.#readerShare()) {
      const piece = this.readers.choose(question, this.own.have, random, share);
      if (piece >= 0) return piece;
    }
    const piece = this.#choose(question, share);
    if (piece >= 0) return piece;
    return endgame && sparing === 'nothing' ? this.#pickCopy(connection) : -1;
  }

  /**
   * Share of the requests that goes to readers: all of it while nobody is known who could want a piece of us. Then the order is
   * worth nothing to the swarm, a reader has the full rate, and over one connection the blob is hashed as it passes. It takes the tracker's word, too: among
   * many who start at once, those who are first connected to complete peers only would all fetch the same pieces (simulated, 260 hosts,
   * max-min links: median 10.76 s instead of 10.39 s).
   */
  #readerShare(): number {
    const { readerShare } = this.#context.config;
    if (readerShare > 0 && this.peers.allComplete && this.#torrent.candidates.allComplete) return 1;
    return this.readers.share(this.own.have, readerShare);
  }

  /** Ask the policy; several times when only our share will do. */
  #choose(question: Candidates, share: OriginSparing | undefined): number {
    const { choose } = this.#context;
    for (let draw = 0; draw < SHARE_DRAWS; draw++) {
      const piece = choose(question);
      if (!question.isCandidate(piece)) return -1;
      if (share === undefined || share.isMine(piece)) return piece;
    }
    return -1;
  }

  /** End game: a piece that is asked elsewhere already. */
  #pickCopy(connection: Connection): number {
    const { config, now } = this.#context;
    for (const piece of this.requests.piecesInFlight()) {
      if (!this.peers.has(connection, piece) || !this.own.isWanted(piece)) continue;
      if (this.requests.copies(piece) >= config.endgameCopiesMax || this.requests.writerOf(piece) !== undefined)
        continue;
      if (this.requests.isAsked(connection, piece) || (connection.avoid.get(piece) ?? -Infinity) > now) continue;
      return piece;
    }
    return -1;
  }

  #request(connection: Connection, piece: number): void {
    const { now, out, timers, observe, config } = this.#context;
    const { conn, peer } = connection;
    const ahead = connection.asked.length;
    const deadlineAt = now + connection.pace.timeoutMs(ahead, config.requestTimeoutMinMs, this.#timeoutMs());
    connection.pace.requested(now, ahead === 0);
    this.own.claim(piece);
    this.requests.add(connection, piece, deadlineAt);
    timers.setBy(connection.timer, deadlineAt);
    const length = pieceLengthAt(this.metainfo, piece);
    out.push({ type: 'send', conn, message: { type: 'piece-request', piece, offset: 0, length } });
    observe({ kind: 'piece-requested', digest: this.#torrent.digest, peer, piece });
  }

  /** A freed piece goes to the least busy peer that may be asked, agents first. */
  #offer(piece: number): void {
    if (this.#stopped || !this.own.open.has(piece)) return;
    const { now, config } = this.#context;
    let best: Connection | undefined;
    let bestLoad = Infinity;
    for (const connection of this.attached) {
      if (!this.peers.has(connection, piece) || (connection.avoid.get(piece) ?? -Infinity) > now) continue;
      if (this.#quota(connection) <= 0 || !this.#mayAsk(connection, piece)) continue;
      const load = connection.asked.length + (connection.origin && config.originSparing ? 1000 : 0);
      if (load < bestLoad) {
        best = connection;
        bestLoad = load;
      }
    }
    if (best !== undefined) this.#request(best, piece);
  }

  #announced(connection: Connection, piece: number): void {
    if (piece >= this.#pieces) {
      const says = `announce of piece ${piece} of ${this.#pieces}`;
      return this.#context.observe({ kind: 'peer-misbehaved', peer: connection.peer, says });
    }
    if (!this.peers.announce(connection, piece) || this.#stopped) return;
    // Most announces are of pieces that we have: what was just touched tells, so that those are cheap.
    if (!this.peers.rarity.isDone(piece) && this.own.open.has(piece) && !connection.avoid.has(piece)) {
      if (this.#quota(connection) <= 0) return;
      if (this.#mayAsk(connection, piece)) return this.#request(connection, piece);
    }
    if (this.#isEndgame() && this.#quota(connection) > 0) this.fill(connection);
  }

  #completed(connection: Connection): void {
    if (this.#torrent.state === 'seeding') return this.#context.connections.close(connection, 'both-complete');
    if (this.peers.complete(connection)) this.fill(connection);
  }

  #refused(connection: Connection, piece: number, code: number): void {
    if (code !== 0 || this.requests.writerOf(piece) === connection) return;
    if (!this.requests.isAsked(connection, piece)) return;
    const until = this.#context.now + REFUSAL_AVOID_MS;
    connection.avoidUntil(piece, until);
    this.#context.timers.setBy(connection.timer, until);
    this.#settle(connection, piece);
    this.fill(connection);
  }

  #serve(connection: Connection, piece: number, offset: number, length: number): void {
    const text = this.#refusal(connection, piece, offset, length);
    const { conn } = connection;
    if (text !== undefined) {
      this.#context.out.push({ type: 'send', conn, message: { type: 'error', piece, code: 0, text } });
      return;
    }
    connection.sending++;
    this.#context.out.push({ type: 'send-piece', conn, digest: this.#torrent.digest, piece, length });
  }

  /** Why a request cannot be served; Go's texts where Go has one. */
  #refusal(connection: Connection, piece: number, offset: number, length: number): string | undefined {
    const pieces = this.#pieces;
    if (offset !== 0 || length !== pieceLengthAt(this.metainfo, piece))
      return 'reading / writing chunk of piece not supported';
    if (piece >= pieces) return `invalid piece index ${piece}: num pieces = ${pieces}`;
    if (!this.own.have.has(piece)) return 'piece not complete';
    if (connection.sending >= QUEUED_SENDS_MAX) return `too many queued requests: limit = ${QUEUED_SENDS_MAX}`;
    return undefined;
  }

  #stored(connection: Connection | undefined, piece: number): boolean {
    const { now, out, observe } = this.#context;
    const { digest } = this.#torrent;
    if (!this.own.store(piece)) return false;
    this.peers.rarity.done(piece);
    this.senders?.note(piece, connection);
    this.lastStoredAt = now;
    this.#sparing.stored(now, this.#context.config, this.peers);
    const freed = this.requests.expirePiece(piece);
    if (connection !== undefined) {
      const { peer, origin } = connection;
      connection.progressAt = now;
      connection.useful = true;
      connection.expiries = 0;
      this.#sparing.answered(connection);
      connection.pace.ended(now, piece);
      observe({
        kind: 'piece-received',
        digest,
        peer,
        piece,
        length: pieceLengthAt(this.metainfo, piece),
        fromOrigin: origin,
        proven: this.metainfo.piecesRoot !== undefined,
      });
    }
    const conns = this.peers.lacking(piece, connection);
    if (conns.length > 0) out.push({ type: 'broadcast', conns, message: { type: 'announce-piece', piece } });
    if (connection !== undefined) this.fill(connection);
    for (const other of freed) {
      if (other.asked.length === 0) other.idleSince = now;
      this.fill(other);
    }
    return true;
  }

  /** A request ended without a piece: free the piece and offer it to others. */
  #settle(connection: Connection, piece: number): void {
    if (!this.requests.settle(connection, piece)) return;
    if (connection.asked.length === 0) connection.idleSince = this.#context.now;
    if (this.#release(piece)) this.#offer(piece);
  }

  /** @returns true when the piece may be asked for again */
  #release(piece: number): boolean {
    if (this.requests.copies(piece) > 0 || this.requests.writerOf(piece) !== undefined) return false;
    return this.own.release(piece);
  }

  #catchUp(connection: Connection, snapshot: Bitfield): void {
    const { out } = this.#context;
    const { conn } = connection;
    if (this.#torrent.state === 'seeding') {
      out.push({ type: 'send', conn, message: { type: 'complete' } });
      return;
    }
    for (const piece of this.own.have) {
      if (!snapshot.has(piece)) out.push({ type: 'send', conn, message: { type: 'announce-piece', piece } });
    }
  }

  #timeoutMs(): number {
    const { config } = this.#context;
    return Math.max(
      config.requestTimeoutMinMs,
      Math.ceil((config.requestTimeoutPerMiBMs * this.metainfo.pieceLength) / 2 ** 20),
    );
  }
}

/** Pieces queued for one connection; more requests are refused. Guess: 64, far above the pipelines of Go (5) and ours. */
const QUEUED_SENDS_MAX = 64;
