/**
 * The wires between simulated hosts: who answers at an address, how a connection is made and ends, and the
 * latency of control messages. Payload bytes are the link model's business. Owns cut links; never decides
 * anything that a machine decides.
 */
import type { CloseReason, Failure } from '../swarm/index.js';
import type { Handshake, PeerMessage } from '../wire/index.js';
import type { VirtualClock } from './clock.js';
import { Endpoint, hasLayer, PieceFlow, type PieceTransfer } from './endpoint.js';
import type { SimHost } from './host.js';
import type { LinkModel } from './links/index.js';
import type { FarNetwork } from './shards/far-network.js';

/** What the network counted. */
export interface NetworkCounts {
  messages: number;
  bytesFromOrigins: number;
  bytesFromAgents: number;
}

export interface NetworkOptions {
  readonly clock: VirtualClock;
  readonly links: LinkModel;
  /** One way, in milliseconds. */
  readonly latencyMs: number;
  /** The host that runs at an address, if one does. */
  readonly hostAt: (ip: string, port: number) => SimHost | undefined;
  /** The present life of a node. */
  readonly hostOf: (node: number) => SimHost | undefined;
}

export class Network {
  readonly clock: VirtualClock;
  readonly links: LinkModel;
  readonly latencyMs: number;
  readonly counts: NetworkCounts = { messages: 0, bytesFromOrigins: 0, bytesFromAgents: 0 };
  readonly #hostAt: NetworkOptions['hostAt'];
  readonly #hostOf: NetworkOptions['hostOf'];
  #far: FarNetwork | undefined;
  /** Pairs of node numbers between which nothing arrives, as `low:high`. */
  readonly #cuts = new Set<string>();

  constructor(options: NetworkOptions) {
    this.clock = options.clock;
    this.links = options.links;
    this.latencyMs = options.latencyMs;
    this.#hostAt = options.hostAt;
    this.#hostOf = options.hostOf;
  }

  /** Other shards run the hosts that `far` knows. */
  reach(far: FarNetwork): void {
    this.#far = far;
    far.connect({
      handshakeArrived: (end, handshake, ip) => this.#handshakeReceived(end, handshake, ip),
      accepted: (end, handshake) => this.#accepted(end, handshake),
      hungUp: (end, reason) => this.#heardHangUp(end, reason),
      deliver,
    });
  }

  /** From now on nothing passes between two nodes, in either direction, until {@link restore}. */
  cut(a: number, b: number): void {
    this.#cuts.add(pair(a, b));
    for (const end of this.#between(a, b)) {
      end.broken = true;
      if (end.out !== undefined) this.links.abort(end.out);
      if (end.other?.out !== undefined) this.links.deafened(end.other.out);
    }
  }

  /** Connections from before the cut have lost bytes: both ends are reset. */
  restore(a: number, b: number): void {
    if (!this.#cuts.delete(pair(a, b))) return;
    for (const end of this.#between(a, b)) this.#reset(end, 'remote-reset');
  }

  isCut(a: number, b: number): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(pair(a, b));
  }

  #between(a: number, b: number): Endpoint[] {
    return [...this.#endsFrom(a, b), ...this.#endsFrom(b, a)];
  }

  #endsFrom(from: number, to: number): Endpoint[] {
    const host = this.#hostOf(from);
    return host === undefined ? [] : [...host.endpoints.values()].filter((end) => end.other?.host.node === to);
  }

  /** Effect `dial`: connect, send the handshake, wait for the other. One completion, within two timeouts. */
  dial(dialler: SimHost, conn: number, ip: string, port: number, handshake: Handshake, timeoutMs: number): void {
    const end = new Endpoint(dialler, conn, handshake.digest, 'dialling');
    dialler.endpoints.set(conn, end);
    const { clock, latencyMs } = this;
    clock.afterConstant(2 * latencyMs, () => {
      if (end.state !== 'dialling') return;
      const elsewhere = this.#far?.nodeAt(ip);
      if (elsewhere !== undefined) {
        end.state = 'handshaking';
        this.#far?.dialled(end, elsewhere, handshake);
        clock.afterConstant(timeoutMs, this.#dialTimedOut, dialler, conn);
        return;
      }
      const target = this.#hostAt(ip, port);
      if (target !== undefined && this.isCut(dialler.node, target.node)) {
        clock.after(timeoutMs, () =>
          this.#dialFailed(end, { code: 'peer-unreachable', says: 'no answer to the connection attempt' }),
        );
        return;
      }
      if (target === undefined) {
        this.#dialFailed(end, { code: 'peer-unreachable', says: 'connection refused' });
        return;
      }
      end.state = 'handshaking';
      clock.afterConstant(latencyMs, () => this.#handshakeArrived(end, target, handshake));
      // By number: most dials are over long before, and what they knew need not be kept until then.
      clock.afterConstant(timeoutMs, this.#dialTimedOut, dialler, conn);
    });
  }

  #handshakeArrived(end: Endpoint, target: SimHost, handshake: Handshake): void {
    if (end.state !== 'handshaking' || this.isCut(end.host.node, target.node)) return;
    if (target.isDown) {
      this.clock.afterConstant(this.latencyMs, () =>
        this.#dialFailed(end, { code: 'network-error', says: 'connection reset' }),
      );
      return;
    }
    const accepted = new Endpoint(target, target.nextAcceptedConn(), handshake.digest, 'handshaking');
    accepted.other = end;
    end.other = accepted;
    this.#handshakeReceived(accepted, handshake, end.host.ip);
  }

  #handshakeReceived(accepted: Endpoint, handshake: Handshake, ip: string): void {
    const { host, conn } = accepted;
    accepted.remote = handshake.peerId;
    host.endpoints.set(conn, accepted);
    host.post({ type: 'handshake-received', conn, handshake, ip });
  }

  /** Effect `accept`. */
  accept(end: Endpoint, handshake: Handshake): void {
    if (end.state !== 'handshaking') return;
    end.state = 'open';
    if (end.far !== undefined) {
      this.#far?.accepted(end, end.far, handshake);
      return;
    }
    const dialler = end.other;
    if (dialler === undefined) return;
    end.out = new PieceFlow(end, dialler);
    dialler.out = new PieceFlow(dialler, end);
    this.clock.afterConstant(this.latencyMs, () => {
      if (dialler.state !== 'handshaking' || this.isCut(end.host.node, dialler.host.node)) return;
      this.#accepted(dialler, handshake);
    });
  }

  #accepted(dialler: Endpoint, handshake: Handshake): void {
    dialler.state = 'open';
    dialler.remote = handshake.peerId;
    dialler.host.post({ type: 'dial-succeeded', conn: dialler.conn, handshake });
  }

  /** Effect `send`: latency only. */
  send(end: Endpoint, message: PeerMessage): void {
    const { other, far } = end;
    if (end.state !== 'open' || (other === undefined && far === undefined)) return;
    this.counts.messages++;
    if (other !== undefined) this.clock.afterConstant(this.latencyMs, deliver, other, message);
    else if (far !== undefined) this.#far?.send(far, message);
  }

  /** Effect `broadcast`: one task for all receivers. */
  broadcast(from: SimHost, conns: readonly number[], message: PeerMessage): void {
    const receivers: Endpoint[] = [];
    for (const conn of conns) {
      const end = from.endpoints.get(conn);
      if (end?.state !== 'open') continue;
      if (end.other !== undefined) receivers.push(end.other);
      else if (end.far !== undefined) {
        this.counts.messages++;
        this.#far?.addReceiver(end.far);
      }
    }
    this.counts.messages += receivers.length;
    this.clock.afterConstant(this.latencyMs, deliverAll, receivers, message);
    this.#far?.broadcast(message);
  }

  /**
   * Effect `close`: this side is told at once. The other one hears of it after the latency, and when it has read
   * what was sent before.
   */
  close(end: Endpoint, reason: CloseReason): void {
    if (end.state === 'dialling' || (end.state === 'handshaking' && !wasAccepted(end))) {
      this.#dialFailed(end, { code: 'cancelled', says: 'the dial was given up' });
      this.#hangUp(end, 'remote-closed');
      return;
    }
    if (end.state === 'closing' || end.state === 'closed') return;
    end.close(reason);
    this.#hangUp(end, 'remote-closed');
  }

  /** The host lost power: its sockets vanish; the other ends hear a reset when they can. */
  hostDied(host: SimHost): void {
    for (const end of [...host.endpoints.values()]) {
      end.die();
      this.#hangUp(end, 'remote-reset');
    }
    host.endpoints.clear();
  }

  bytesSent(host: SimHost, transfer: PieceTransfer): void {
    if (host.isOrigin) this.counts.bytesFromOrigins += transfer.length;
    else this.counts.bytesFromAgents += transfer.length;
  }

  #hangUp(end: Endpoint, reason: 'remote-closed' | 'remote-reset'): void {
    if (end.other !== undefined) this.clock.afterConstant(this.latencyMs, this.#hungUp, end, reason);
    else if (end.far !== undefined) this.#far?.hangUp(end.far, reason);
  }

  readonly #hungUp = (end: Endpoint, reason: 'remote-closed' | 'remote-reset'): void => {
    const { other } = end;
    if (other === undefined || this.isCut(end.host.node, other.host.node)) return;
    this.#heardHangUp(other, reason);
  };

  #heardHangUp(end: Endpoint, reason: 'remote-closed' | 'remote-reset'): void {
    if (reason === 'remote-closed' && end.state === 'open') end.ended(reason);
    else this.#reset(end, reason);
  }

  /** The connection is over at this end. */
  forget(end: Endpoint): void {
    end.state = 'closed';
    end.host.endpoints.delete(end.conn);
    if (end.far !== undefined) this.#far?.forget(end.far);
  }

  /** Does the peer have the layer of the blob of this connection? `answered` hears it after a round trip. */
  askLayer(end: Endpoint | undefined, answered: (has: boolean) => void): void {
    if (end?.far !== undefined) {
      this.#far?.askLayer(end, end.far, answered);
      return;
    }
    this.clock.afterConstant(2 * this.latencyMs, () =>
      answered(end !== undefined && end.state !== 'closed' && hasLayer(end.other)),
    );
  }

  #reset(end: Endpoint, reason: 'remote-closed' | 'remote-reset'): void {
    if (end.state === 'handshaking' && !wasAccepted(end)) {
      this.#dialFailed(end, {
        code: 'too-many-connections',
        says: 'the peer closed the connection during the handshake',
      });
    } else {
      end.close(reason);
    }
  }

  readonly #dialTimedOut = (dialler: SimHost, conn: number): void => {
    const end = dialler.endpoints.get(conn);
    if (end?.state !== 'handshaking') return;
    this.#dialFailed(end, { code: 'handshake-timeout', says: 'no handshake in time' });
    this.#hangUp(end, 'remote-closed');
  };

  #dialFailed(end: Endpoint, failure: Failure): void {
    if (end.state === 'closed' || end.state === 'open' || end.state === 'closing') return;
    this.forget(end);
    end.host.post({ type: 'dial-failed', conn: end.conn, failure });
  }
}

function pair(a: number, b: number): string {
  return a < b ? `${a}:${b}` : `${b}:${a}`;
}

/** Machines number their dials even, hosts number accepted sockets odd. */
function wasAccepted(end: Endpoint): boolean {
  return end.conn % 2 === 1;
}

function deliverAll(receivers: readonly Endpoint[], message: PeerMessage): void {
  for (const receiver of receivers) deliver(receiver, message);
}

function deliver(receiver: Endpoint, message: PeerMessage): void {
  if (receiver.state !== 'open' || receiver.broken) return;
  receiver.host.post({ type: 'message-received', conn: receiver.conn, message });
}
