/**
 * Outgoing connections: connect, TLS where it is on, send the handshake, await the reply, each within the time
 * limit. Source: spec p2p.md §2.7, decision 0015.
 */
import type { Socket } from 'node:net';
import { asKrakenError } from '@kraken/core/errors';
import { encodeHandshake, type Handshake } from '@kraken/core/wire';
import { PeerSocket, type PeerSocketEvents, type PeerSocketShared } from './peer-socket.js';
import { followSocket, openSocket } from './transport.js';

export interface DialRequest {
  /** IPv4, IPv6 without brackets, or a host name. */
  readonly ip: string;
  readonly port: number;
  readonly handshake: Handshake;
  /** Limit of each step. */
  readonly timeoutMs: number;
}

/**
 * Start a dial. `events.handshake` reports success; `events.closed` without it, failure. Neither is called before
 * this returns.
 */
export function dial(request: DialRequest, shared: PeerSocketShared, events: PeerSocketEvents): PeerSocket {
  let giveUp = (): void => undefined;
  const peer = new PeerSocket(shared, {
    handshake: (handshake) => events.handshake(handshake),
    message: (message) => events.message(message),
    layer: (message) => events.layer(message),
    payload: (header) => events.payload(header),
    closed: (reason, failure) => {
      giveUp();
      events.closed(reason, failure);
    },
  });
  shared.counters.dialled++;
  try {
    const frame = encodeHandshake(request.handshake);
    peer.expectHandshake(request.timeoutMs);
    const plain = (): void => {
      const socket = openSocket(request.ip, request.port, peer);
      socket.once('connect', () => greet(peer, socket, frame, request.timeoutMs));
      peer.attach(socket);
    };
    const { tls } = shared;
    if (tls === undefined || tls.dialsPlain(request.ip, request.port)) {
      plain();
      return peer;
    }
    giveUp = tls.dial(request.ip, request.port, {
      connected: () => peer.expectHandshake(request.timeoutMs),
      secured: (socket) => {
        peer.attach(followSocket(socket, peer));
        greet(peer, socket, frame, request.timeoutMs);
      },
      plain: () => {
        peer.expectHandshake(request.timeoutMs);
        plain();
      },
      failed: (says, untrusted) =>
        peer.close(untrusted ? 'io-error' : 'remote-reset', {
          code: untrusted ? 'peer-untrusted' : 'network-error',
          says,
        }),
    });
  } catch (error) {
    // A port that is no port, or a torrent whose handshake does not fit a frame.
    const { code, message } = asKrakenError(error, 'peer-unreachable');
    queueMicrotask(() => peer.close('io-error', { code, says: message }));
  }
  return peer;
}

/** The connection is there: say who we are, and wait for the answer. */
function greet(peer: PeerSocket, socket: Socket, frame: Uint8Array, timeoutMs: number): void {
  if (peer.closed) return;
  peer.noteRemote();
  peer.expectHandshake(timeoutMs);
  socket.write(frame, () => peer.expectHandshake(timeoutMs));
}
