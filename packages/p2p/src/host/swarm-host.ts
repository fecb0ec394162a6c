/**
 * Runs the swarm machine on Node: performs its effects, posts what comes back. Owns sockets, timers, open files
 * and the tickets of waiting callers. Never decides anything about the swarm. Source: the pairs listed in
 * core's swarm events.
 */
import type { Digest, PeerContext } from '@kraken/core/content';
import { KrakenError, unreachable } from '@kraken/core/errors';
import { MachineLoop, type Machine, type MachineHost, type StepRecorder } from '@kraken/core/machine';
import type { Logger, TrackerClient } from '@kraken/core/ports';
import type { CloseReason, Failure, PieceVerdict, SwarmEffect, SwarmEvent } from '@kraken/core/swarm';
import { encodeHandshake, encodeMessage, type Handshake } from '@kraken/core/wire';
import type { PieceStore } from '../store/piece-store.js';
import { dial } from './dialer.js';
import { LayerExchange } from './layer-exchange.js';
import type { PeerSocket, PeerSocketEvents, PeerSocketShared } from './peer-socket.js';
import type { NetworkEvents } from './network-events.js';
import { pieceCheck, type PieceJudgement } from './piece-check.js';
import { Pull } from './pull.js';
import type { SwarmStats } from './swarm-stats.js';
import { failureOf, SwarmWork, type EffectOf } from './swarm-work.js';
import type { TorrentLog } from './torrent-log.js';
import { TorrentTable } from './torrent-table.js';

export interface SwarmHostOptions {
  readonly machine: Machine<SwarmEvent, SwarmEffect>;
  readonly store: PieceStore;
  /** Absent on origins. */
  readonly tracker: TrackerClient | undefined;
  /** As announced. */
  readonly context: PeerContext;
  readonly shared: PeerSocketShared;
  readonly stats: SwarmStats;
  readonly logger: Logger;
  readonly torrentLog?: TorrentLog | undefined;
  readonly networkEvents?: NetworkEvents | undefined;
  /** Sees every step of the machine. */
  readonly recorder?: StepRecorder<SwarmEvent, SwarmEffect> | undefined;
  /** Take metainfo as if it had no root. */
  readonly ignoreRoots?: boolean;
  /** A peer asked for a blob that is not on disk. */
  readonly lookupMissing?: (namespace: string, digest: Digest) => void;
}

/** How long a stopping node waits for its last announces and disk work. */
const STOP_GRACE_MS = 5000;

/** A connection by the machine's number. */
interface Link {
  readonly peer: PeerSocket;
  /** Our dial, whose handshake has not come: it ends with `dial-failed` instead of `connection-closed`. */
  dialling: boolean;
}

export class SwarmHost implements MachineHost<SwarmEffect> {
  readonly torrents = new TorrentTable();
  readonly #options: SwarmHostOptions;
  readonly #loop: MachineLoop<SwarmEvent, SwarmEffect>;
  readonly #links = new Map<number, Link>();
  readonly #pulls = new Map<number, Pull>();
  readonly #removals = new Map<number, { resolve: () => void; reject: (error: KrakenError) => void }>();
  readonly #progress = new Map<Digest, Set<() => void>>();
  readonly #layers: LayerExchange;
  readonly #work: SwarmWork;
  #ticket = 0;
  /** Numbers of accepted connections are odd. */
  #acceptedConn = 1;
  #cancelWake: (() => void) | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: SwarmHostOptions) {
    const { store, tracker, context, logger, lookupMissing } = options;
    this.#options = options;
    this.#loop = new MachineLoop(options.machine, this, undefined, options.recorder);
    this.#layers = new LayerExchange({
      clock: options.shared.clock,
      torrent: (digest) => this.torrents.get(digest),
      send: (conn, frame) => this.#send(conn, frame),
    });
    this.#work = new SwarmWork({
      store,
      tracker,
      context,
      logger,
      lookupMissing,
      torrents: this.torrents,
      layers: this.#layers,
      ignoreRoots: options.ignoreRoots ?? false,
      rootRejected: () => options.stats.noteRejectedRoot(),
      post: (event) => this.post(event),
    });
  }

  /** Links that exist, dials included. */
  get connections(): number {
    return this.#links.size;
  }

  get steps(): number {
    return this.#loop.steps;
  }

  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  post(event: SwarmEvent): void {
    this.#loop.post(event);
  }

  /** Ask the swarm for a blob. `deadlineMs` from now. */
  pull(wish: {
    namespace: string;
    digest: Digest;
    deadlineMs: number;
    streaming: boolean;
    range?: { start: number; end: number };
  }): Pull {
    const pull = new Pull(++this.#ticket, wish.digest);
    this.#pulls.set(pull.id, pull);
    this.#logWhenOver(pull, wish.namespace);
    this.post({
      type: 'pull-requested',
      pull: pull.id,
      namespace: wish.namespace,
      digest: wish.digest,
      deadlineAt: this.now() + wish.deadlineMs,
      streaming: wish.streaming,
      ...(wish.range === undefined ? {} : { range: wish.range }),
    });
    return pull;
  }

  #logWhenOver(pull: Pull, namespace: string): void {
    const { torrentLog } = this.#options;
    if (torrentLog === undefined) return;
    const { digest } = pull;
    const startedAt = this.now();
    pull.whenOver((failure) =>
      torrentLog.downloaded({
        namespace,
        digest,
        size: this.torrents.get(digest)?.file.metainfo.length,
        elapsedMs: this.now() - startedAt,
        failure: failure === undefined ? undefined : { code: failure.code, says: failure.message },
      }),
    );
  }

  cancel(pull: Pull): void {
    if (!pull.over) this.post({ type: 'pull-cancelled', pull: pull.id });
  }

  remove(digest: Digest): Promise<void> {
    const request = ++this.#ticket;
    return new Promise((resolve, reject) => {
      this.#removals.set(request, { resolve, reject });
      this.post({ type: 'remove-requested', request, digest });
    });
  }

  /** Call `listener` after each piece of `digest` that was stored. @returns how to stop */
  onProgress(digest: Digest, listener: () => void): () => void {
    const listeners = this.#progress.get(digest) ?? new Set();
    this.#progress.set(digest, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#progress.get(digest) === listeners) this.#progress.delete(digest);
    };
  }

  /** Events of an accepted connection; its handshake is about to be reported. */
  accepted(peer: PeerSocket): PeerSocketEvents {
    const conn = this.#acceptedConn;
    this.#acceptedConn += 2;
    this.#links.set(conn, { peer, dialling: false });
    return this.#eventsOf(conn, (handshake) =>
      this.post({ type: 'handshake-received', conn, handshake, ip: peer.remoteIp }),
    );
  }

  /** Shut the machine down, say good-bye to trackers, close everything; at most 5 s. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.post({ type: 'shutdown-requested' });
    let cancelGrace: (() => void) | undefined;
    const grace = new Promise<void>((resolve) => {
      cancelGrace = this.#options.shared.clock.after(STOP_GRACE_MS, resolve);
    });
    await Promise.race([this.#work.idle(), grace]);
    cancelGrace?.();
    this.#work.abort();
    this.#cancelWake?.();
    for (const { peer } of [...this.#links.values()]) peer.close('shutdown');
    const failure: Failure = { code: 'shutting-down', says: 'the node was stopped' };
    for (const pull of this.#pulls.values()) pull.noteFinished(failure);
    for (const removal of this.#removals.values()) removal.reject(new KrakenError(failure.code, failure.says));
    this.#options.shared.lingering.close();
    this.torrents.dropAll();
  }

  // MachineHost

  now(): number {
    return this.#options.shared.clock.now();
  }

  wakeAt(at: number | undefined): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    if (at === undefined) return;
    this.#cancelWake = this.#options.shared.clock.after(Math.ceil(at - this.now()), () => {
      this.#cancelWake = undefined;
      this.#loop.woke();
      this.post({ type: 'woke' });
    });
  }

  perform(effect: SwarmEffect): void {
    switch (effect.type) {
      case 'pull-opened':
        this.#pulls.get(effect.pull)?.noteOpened(effect.metainfo);
        return;
      case 'pull-finished': {
        const pull = this.#pulls.get(effect.pull);
        this.#pulls.delete(effect.pull);
        pull?.noteFinished(effect.failure);
        return;
      }
      case 'removal-finished':
        this.#removalFinished(effect);
        return;
      case 'fetch-metainfo':
        this.#work.fetchMetaInfo(effect);
        return;
      case 'open-blob':
        this.#work.openBlob(effect);
        return;
      case 'fetch-layer':
        this.#work.fetchLayer(effect);
        return;
      case 'announce':
        this.#work.announce(effect);
        return;
      case 'dial':
        this.#dial(effect);
        return;
      case 'accept':
        this.#accept(effect);
        return;
      case 'close':
        this.#links.get(effect.conn)?.peer.close(effect.reason);
        return;
      case 'send':
        this.#send(effect.conn, encodeMessage(effect.message));
        return;
      case 'broadcast': {
        const frame = encodeMessage(effect.message);
        for (const conn of effect.conns) this.#send(conn, frame);
        return;
      }
      case 'send-piece':
        this.#sendPiece(effect);
        return;
      case 'receive-piece':
        this.#receivePiece(effect);
        return;
      case 'discard-payload':
        this.#links.get(effect.conn)?.peer.discard(effect.length);
        return;
      case 'commit-blob':
        this.#work.commitBlob(effect.digest, effect.doubts);
        return;
      case 'close-blob':
        this.torrents.drop(effect.digest);
        return;
      case 'delete-blob':
        this.#work.deleteBlob(effect.digest);
        return;
      case 'observe':
        this.#options.stats.note(effect.observation);
        this.#options.torrentLog?.note(effect.observation);
        this.#options.networkEvents?.note(effect.observation);
        return;
      default:
        unreachable(effect);
    }
  }

  #removalFinished(effect: EffectOf<'removal-finished'>): void {
    const removal = this.#removals.get(effect.request);
    this.#removals.delete(effect.request);
    if (effect.failure === undefined) removal?.resolve();
    else removal?.reject(new KrakenError(effect.failure.code, effect.failure.says));
  }

  // Connections

  #dial({ conn, peer: peerId, ip, port, handshake, timeoutMs }: EffectOf<'dial'>): void {
    const greeted = (reply: Handshake): void => {
      const link = this.#links.get(conn);
      if (link === undefined) return;
      link.dialling = false;
      this.post({ type: 'dial-succeeded', conn, handshake: reply });
      link.peer.open();
    };
    const events = this.#eventsOf(conn, greeted, (failure) =>
      this.#options.torrentLog?.dialFailed(handshake.digest, peerId, failure),
    );
    const peer = dial({ ip, port, handshake, timeoutMs }, this.#options.shared, events);
    this.#links.set(conn, { peer, dialling: true });
  }

  #accept({ conn, handshake }: EffectOf<'accept'>): void {
    const peer = this.#links.get(conn)?.peer;
    if (peer === undefined) return;
    try {
      peer.send(encodeHandshake(handshake));
    } catch (error) {
      // A torrent with so many pieces that its handshake does not fit a frame.
      peer.close('io-error', failureOf(error, 'frame-too-large'));
      return;
    }
    peer.open();
  }

  #eventsOf(
    conn: number,
    handshake: PeerSocketEvents['handshake'],
    dialFailed?: (failure: Failure) => void,
  ): PeerSocketEvents {
    return {
      handshake: (received) => {
        this.#layers.opened(conn, received.digest);
        handshake(received);
      },
      layer: (message) => this.#layers.received(conn, message),
      message: (message) => this.post({ type: 'message-received', conn, message }),
      payload: ({ piece, offset, length }) => this.post({ type: 'payload-started', conn, piece, offset, length }),
      closed: (reason, failure) => {
        const link = this.#links.get(conn);
        this.#links.delete(conn);
        this.#layers.closed(conn);
        if (link?.dialling === true) {
          const why = { code: dialFailureCode(reason, failure), says: failure.says };
          dialFailed?.(why);
          this.post({ type: 'dial-failed', conn, failure: why });
        } else {
          this.post({ type: 'connection-closed', conn, reason });
        }
      },
    };
  }

  #send(conn: number, frame: Uint8Array): void {
    this.#options.shared.counters.framesOut++;
    this.#links.get(conn)?.peer.send(frame);
  }

  #sendPiece({ conn, digest, piece, length }: EffectOf<'send-piece'>): void {
    const failed = (failure: Failure): void => this.post({ type: 'piece-send-failed', conn, digest, piece, failure });
    const peer = this.#links.get(conn)?.peer;
    if (peer === undefined) {
      failed({ code: 'network-error', says: 'the connection is gone' });
      return;
    }
    const held = this.torrents.get(digest);
    // Bytes of a piece that is not verified are never read.
    if (held?.file.have.has(piece) !== true) {
      failed({ code: 'io-error', says: `piece ${piece} is not there` });
      return;
    }
    held.use();
    peer.sendPiece({
      file: held.file,
      namespace: held.namespace,
      piece,
      position: piece * held.file.metainfo.pieceLength,
      length,
      finished: (failure) => {
        held.done();
        if (failure === undefined) this.post({ type: 'piece-sent', conn, digest, piece });
        else failed(failure);
      },
    });
  }

  #receivePiece({ conn, digest, piece, length }: EffectOf<'receive-piece'>): void {
    const peer = this.#links.get(conn)?.peer;
    const settled = (verdict: PieceVerdict, replaced?: PieceJudgement['replaced']): void => {
      // Before the machine may end the pull, and with it the reports.
      if (verdict === 'ok') for (const listener of this.#progress.get(digest) ?? []) listener();
      const compared = replaced === undefined ? {} : { replaced };
      this.post({ type: 'piece-stored', conn, digest, piece, verdict, ...compared });
    };
    const held = this.torrents.get(digest);
    if (
      peer === undefined ||
      held === undefined ||
      piece >= held.file.have.length ||
      held.receiving.has(piece) ||
      held.file.have.has(piece)
    ) {
      // Nowhere to put it, or its bytes are being written or read already: two writers would spoil each other.
      peer?.discard(length);
      settled('aborted');
      return;
    }
    held.use();
    held.receiving.add(piece);
    peer.receive({
      file: held.file,
      namespace: held.namespace,
      piece,
      position: piece * held.file.metainfo.pieceLength,
      length,
      check: pieceCheck(held.file, piece),
      settled: (verdict, replaced) => {
        held.receiving.delete(piece);
        held.done();
        settled(verdict, replaced);
      },
    });
  }
}

/** A peer that took the connection and then ended it in order is full, most likely: no reason travels on this wire. */
function dialFailureCode(reason: CloseReason, failure: Failure): Failure['code'] {
  if (failure.code !== 'network-error') return failure.code;
  return reason === 'remote-closed' ? 'too-many-connections' : 'peer-unreachable';
}
