/** Outgoing connections: connect, send the handshake, await the reply, each within the time limit. Source: spec p2p.md §2.7. */
import { asKrakenError } from '@kraken/core/errors';
import { encodeHandshake, type Handshake } from '@kraken/core/wire';
import { PeerSocket, type PeerSocketEvents, type PeerSocketShared } from './peer-socket.js';
import { openSocket } from './transport.js';

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
  const peer = new PeerSocket(shared, events);
  shared.counters.dialled++;
  try {
    const frame = encodeHandshake(request.handshake);
    const socket = openSocket(request.ip, request.port, peer);
    socket.once('connect', () => {
      peer.noteRemote();
      peer.expectHandshake(request.timeoutMs);
      socket.write(frame, () => peer.expectHandshake(request.timeoutMs));
    });
    peer.attach(socket);
    peer.expectHandshake(request.timeoutMs);
  } catch (error) {
    // A port that is no port, or a torrent whose handshake does not fit a frame.
    const { code, message } = asKrakenError(error, 'peer-unreachable');
    queueMicrotask(() => peer.close('io-error', { code, says: message }));
  }
  return peer;
}
