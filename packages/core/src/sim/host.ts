/**
 * The simulator's counterpart of the Node host: one life of one node. Runs the shipping swarm machine in
 * the shipping loop and performs each of its effects on the simulated network, disk and tracker. A crash
 * ends the life: whatever completes later finds it dead and is dropped.
 */
import { unreachable } from '../errors/index.js';
import { MachineLoop, type Machine, type MachineHost, type Millis, type StepObserver } from '../machine/index.js';
import { pieceCount, type Bitfield, type Digest } from '../content/index.js';
import type { Failure, SwarmEffect, SwarmEvent, SwarmObservation, SwarmView } from '../swarm/index.js';
import { ConnMap } from '../swarm/conn-map.js';
import type { VirtualClock } from './clock.js';
import type { PieceContent } from './disk.js';
import type { Endpoint, PieceTransfer } from './endpoint.js';
import type { Nic } from './links/index.js';
import type { Network } from './network.js';
import type { SimNode } from './node.js';
import type { SimOptions } from './options.js';
import type { AskedTracker } from './tracker.js';

/** What runs beside the machine on the same node and hears about pulls: the embedding program. */
export interface PullListener {
  pullOpened(pull: number): void;
  pullFinished(pull: number, failure: Failure | undefined): void;
  /** A verified piece is on disk. */
  pieceStored(digest: Digest, piece: number): void;
}

/** What runs on a node: the shipping machine, or one that looks like it. */
export interface SimMachine extends Machine<SwarmEvent, SwarmEffect> {
  inspect(): SwarmView;
}

export interface SimHostContext {
  readonly clock: VirtualClock;
  readonly network: Network;
  readonly options: SimOptions;
  readonly trackerOf: (digest: Digest) => AskedTracker;
  /** A peer asked an origin for a blob that is not on its disk. */
  readonly lookupMissing: (host: SimHost, digest: Digest) => void;
  /** Sees every step before its effects are performed. */
  readonly onStep: StepObserver<SwarmEvent, SwarmEffect, SimHost>;
  readonly onDial: () => void;
  readonly onObservation: (host: SimHost, observation: SwarmObservation) => void;
}

export class SimHost implements MachineHost<SwarmEffect> {
  /** Number of the node, dense from 0. */
  readonly node: number;
  isDown = false;
  /** Sockets by connection number; also dials under way. */
  readonly endpoints = new ConnMap<Endpoint>();
  readonly nodeState: SimNode;
  readonly machine: SimMachine;
  listener: PullListener | undefined;
  readonly #context: SimHostContext;
  readonly #loop: MachineLoop<SwarmEvent, SwarmEffect, SimHost>;
  #acceptedConns = 0;
  #wakeWish: Millis | undefined;
  /** Earliest timer that is set; timers are never taken back, a stale one only looks at the wish. */
  #timerAt: Millis = Infinity;

  constructor(node: SimNode, machine: SimMachine, context: SimHostContext) {
    this.node = node.number;
    this.nodeState = node;
    this.machine = machine;
    this.#context = context;
    this.#loop = new MachineLoop<SwarmEvent, SwarmEffect, SimHost>(machine, this, context.onStep);
  }

  get nic(): Nic {
    return this.nodeState.nic;
  }

  get ip(): string {
    return this.nodeState.ip;
  }

  get isOrigin(): boolean {
    return this.nodeState.role === 'origin';
  }

  get network(): Network {
    return this.#context.network;
  }

  get steps(): number {
    return this.#loop.steps;
  }

  now(): Millis {
    return this.#context.clock.now;
  }

  nextAcceptedConn(): number {
    return this.#acceptedConns++ * 2 + 1;
  }

  post(event: SwarmEvent): void {
    if (!this.isDown) this.#loop.post(event);
  }

  /** The node loses power. */
  die(): void {
    this.isDown = true;
    this.#wakeWish = undefined;
    this.network.hostDied(this);
  }

  wakeAt(at: Millis | undefined): void {
    this.#wakeWish = at;
    if (at !== undefined && at < this.#timerAt) this.#setTimer(at);
  }

  #setTimer(at: Millis): void {
    this.#timerAt = at;
    this.#context.clock.at(at, () => {
      if (this.isDown || at !== this.#timerAt) return;
      this.#timerAt = Infinity;
      const wish = this.#wakeWish;
      if (wish === undefined) return;
      if (wish > this.now()) {
        this.#setTimer(wish);
        return;
      }
      this.#wakeWish = undefined;
      this.#loop.woke();
      this.#loop.post({ type: 'woke' });
    });
  }

  perform(effect: SwarmEffect): void {
    // The most frequent first.
    switch (effect.type) {
      case 'observe':
        this.#context.onObservation(this, effect.observation);
        return;
      case 'send': {
        const end = this.endpoints.get(effect.conn);
        if (end !== undefined) this.network.send(end, effect.message);
        return;
      }
      case 'broadcast':
        this.network.broadcast(this, effect.conns, effect.message);
        return;
      case 'receive-piece':
        this.endpoints.get(effect.conn)?.permit(true);
        return;
      case 'send-piece':
        this.#sendPiece(effect);
        return;
      case 'pull-opened':
        this.listener?.pullOpened(effect.pull);
        return;
      case 'pull-finished':
        this.listener?.pullFinished(effect.pull, effect.failure);
        return;
      case 'removal-finished':
        return;
      case 'fetch-metainfo':
        this.#fetchMetaInfo(effect.digest);
        return;
      case 'open-blob':
        this.#openBlob(effect);
        return;
      case 'fetch-layer':
        this.#fetchLayer(effect);
        return;
      case 'announce':
        this.#announce(effect);
        return;
      case 'dial':
        this.#context.onDial();
        this.network.dial(this, effect.conn, effect.ip, effect.port, effect.handshake, effect.timeoutMs);
        return;
      case 'accept': {
        const end = this.endpoints.get(effect.conn);
        if (end !== undefined) this.network.accept(end, effect.handshake);
        return;
      }
      case 'close': {
        const end = this.endpoints.get(effect.conn);
        if (end !== undefined) this.network.close(end, effect.reason);
        return;
      }
      case 'discard-payload':
        this.endpoints.get(effect.conn)?.permit(false);
        return;
      case 'commit-blob':
        this.#commitBlob(effect.digest, effect.doubts);
        return;
      case 'close-blob':
        return;
      case 'delete-blob':
        this.#later(this.#context.options.diskDelayMs, () => {
          this.nodeState.disk.delete(effect.digest);
          this.post({ type: 'blob-deleted', digest: effect.digest });
        });
        return;
      default:
        unreachable(effect);
    }
  }

  /** Write a piece that has been read in full. */
  writePiece(end: Endpoint, transfer: PieceTransfer): void {
    this.#context.clock.afterConstant(this.#context.options.pieceWriteMs, written, end, transfer);
  }

  pieceStored(digest: Digest, piece: number): void {
    this.listener?.pieceStored(digest, piece);
  }

  #later(delayMs: number, task: () => void): void {
    this.#context.clock.afterConstant(delayMs, () => {
      if (!this.isDown) task();
    });
  }

  #fetchMetaInfo(digest: Digest): void {
    this.#context.trackerOf(digest).metaInfo(digest, (metainfo, failure) => {
      if (metainfo !== undefined) this.post({ type: 'metainfo-fetched', digest, metainfo });
      else this.post({ type: 'metainfo-fetch-failed', digest, failure });
    });
  }

  #announce(effect: Extract<SwarmEffect, { type: 'announce' }>): void {
    const { digest } = effect;
    this.#context.trackerOf(digest).announce(this, effect, (answer, failure) => {
      if (answer !== undefined) this.post({ type: 'announce-answered', digest, ...answer });
      else this.post({ type: 'announce-failed', digest, failure });
    });
  }

  #openBlob(effect: Extract<SwarmEffect, { type: 'open-blob' }>): void {
    const { digest } = effect;
    this.#later(this.#context.options.diskDelayMs, () => {
      const { disk } = this.nodeState;
      const metainfo = disk.file(digest)?.metainfo ?? effect.metainfo;
      if (metainfo === undefined) {
        this.#context.lookupMissing(this, digest);
        this.post({ type: 'blob-open-failed', digest, failure: { code: 'blob-unknown', says: 'not on this disk' } });
        return;
      }
      const file = disk.open(metainfo, this.now());
      const layerMissing = metainfo.piecesRoot !== undefined && !file.hasLayer;
      const { committed } = file;
      this.post({ type: 'blob-opened', digest, metainfo, have: file.have.clone(), committed, layerMissing });
    });
  }

  /** Layers come with the same luck as metainfo, and from peers that have one. */
  #fetchLayer({ digest, conn }: Extract<SwarmEffect, { type: 'fetch-layer' }>): void {
    const from = conn === undefined ? {} : { conn };
    const settle = (failure: Failure | undefined): void => {
      const file = this.nodeState.disk.file(digest);
      if (failure === undefined && file !== undefined) {
        file.hasLayer = true;
        this.post({ type: 'layer-fetched', digest, ...from });
      } else {
        const reason: Failure = failure ?? { code: 'removed', says: 'the blob is gone' };
        this.post({ type: 'layer-fetch-failed', digest, ...from, failure: reason });
      }
    };
    if (conn === undefined) {
      this.#context
        .trackerOf(digest)
        .metaInfo(digest, (metainfo, failure) => settle(metainfo === undefined ? failure : undefined));
      return;
    }
    this.network.askLayer(this.endpoints.get(conn), (has) => {
      if (!this.isDown) settle(has ? undefined : { code: 'peer-unreachable', says: 'the peer has no layer' });
    });
  }

  #sendPiece(effect: Extract<SwarmEffect, { type: 'send-piece' }>): void {
    const { conn, digest, piece, length } = effect;
    const end = this.endpoints.get(conn);
    const file = this.nodeState.disk.file(digest);
    if (end === undefined || file === undefined || !file.have.has(piece)) {
      const says = end === undefined ? 'the connection has ended' : 'the piece is not on this disk';
      const code = end === undefined ? 'network-error' : 'io-error';
      this.post({ type: 'piece-send-failed', conn, digest, piece, failure: { code, says } });
      return;
    }
    end.sendPiece(digest, piece, length, this.#contentOf(file.forged.has(piece)));
  }

  #contentOf(forged: boolean): PieceContent {
    return forged ? 'forged' : this.nodeState.served();
  }

  #commitBlob(digest: Digest, doubts: Bitfield | undefined): void {
    const { clock, options } = this.#context;
    const { disk } = this.nodeState;
    clock.at(Math.max(clock.now, disk.hashedAt(digest)) + options.diskDelayMs, () => {
      if (this.isDown) return;
      const file = disk.file(digest);
      if (disk.commit(digest, doubts)) {
        this.post({ type: 'blob-committed', digest });
        return;
      }
      const says =
        file === undefined
          ? 'nothing to commit'
          : `${file.have.count} of ${pieceCount(file.metainfo)} pieces, ${file.forged.size} forged`;
      const failure: Failure = { code: 'digest-mismatch', says };
      this.post({ type: 'blob-commit-failed', digest, failure, doubted: file !== undefined && doubts !== undefined });
    });
  }
}

function written(end: Endpoint, transfer: PieceTransfer): void {
  const { host } = end;
  if (host.isDown) return;
  const { digest, piece, content } = transfer;
  end.pieceWritten(transfer, host.nodeState.disk.store(digest, piece, content, host.now()));
}
