/**
 * The listening socket of a node: takes connections in, drops those above the limits, gives each a time limit
 * for its handshake, that of TLS included. One port for plain connections and TLS. Never replies: what a handshake is answered with is decided elsewhere.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { KrakenError } from '@kraken/core/errors';
import { PeerSocket, type PeerSocketEvents, type PeerSocketShared } from './peer-socket.js';
import type { PeerTls } from './peer-tls.js';
import { adoptSocket, followSocket } from './transport.js';

export interface ListenerLimits {
  /** Accepted sockets whose handshake has not come. Guess: 256. */
  readonly handshakesMax: number;
  /** Accepted sockets in all. */
  readonly socketsMax: number;
}

export interface ListenerOptions {
  readonly host?: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly limits: ListenerLimits;
  readonly shared: PeerSocketShared;
  /** False: do without Node's internal handle (see `transport.ts`). Default true. */
  readonly direct?: boolean;
  /** Asked per connection, so that a new setting counts at once. */
  handshakeTimeoutMs(): number;
  /** An error of the listening socket; it goes on listening. */
  failed(error: Error): void;
}

export class PeerListener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  /** Sockets whose handshake has not come. */
  readonly #arriving = new Set<PeerSocket>();
  #sockets = 0;
  #accepted: ((peer: PeerSocket) => PeerSocketEvents) | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => this.#take(socket));
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** @returns the port. @throws KrakenError `network-error` when it cannot be had */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      const { host, port } = this.#options;
      const failed = (error: Error): void =>
        reject(
          new KrakenError('network-error', `cannot listen on ${host ?? '*'}:${port}: ${error.message}`, {
            cause: error,
          }),
        );
      this.#server.once('error', failed);
      this.#server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
        this.#server.off('error', failed);
        this.#server.on('error', (error) => {
          this.#options.shared.counters.acceptErrors++;
          this.#options.failed(error);
        });
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** What to report to when the handshake of a peer has come. Before this is called, sockets are dropped. */
  serve(accepted: (peer: PeerSocket) => PeerSocketEvents): void {
    this.#accepted = accepted;
  }

  /** Stop listening and drop the sockets whose handshake has not come. Others stay with their owner. */
  close(): void {
    this.#server.close();
    for (const peer of [...this.#arriving]) peer.close('shutdown');
  }

  #take(socket: Socket): void {
    const { shared, limits } = this.#options;
    const accepted = this.#accepted;
    if (accepted === undefined || this.#arriving.size >= limits.handshakesMax || this.#sockets >= limits.socketsMax) {
      shared.counters.refusedAtLimit++;
      socket.destroy();
      return;
    }
    shared.counters.accepted++;
    this.#sockets++;
    let events: PeerSocketEvents | undefined;
    const peer = new PeerSocket(shared, {
      handshake: (handshake) => {
        this.#arriving.delete(peer);
        events = accepted(peer);
        events.handshake(handshake);
      },
      message: (message) => events?.message(message),
      layer: (message) => events?.layer(message),
      payload: (header) => events?.payload(header),
      closed: (reason, failure) => {
        this.#arriving.delete(peer);
        this.#sockets--;
        socket.destroy();
        events?.closed(reason, failure);
      },
    });
    this.#arriving.add(peer);
    if (shared.tls === undefined) peer.attach(adoptSocket(socket, peer, this.#options.direct));
    else this.#admit(shared.tls, socket, peer);
    peer.expectHandshake(this.#options.handshakeTimeoutMs());
  }

  #admit(tls: PeerTls, socket: Socket, peer: PeerSocket): void {
    const gone = (error?: Error | boolean): void => {
      const says = error instanceof Error ? error.message : 'the connection ended before its first byte';
      peer.close('remote-closed', { code: 'network-error', says });
    };
    socket.on('error', gone);
    socket.on('close', gone);
    const settled = (): void => {
      socket.off('close', gone);
    };
    tls.admit(socket, {
      plain: (plain, first) => {
        settled();
        peer.attach(adoptSocket(plain, peer, this.#options.direct));
        peer.data(first);
      },
      secured: (secured) => {
        settled();
        peer.attach(followSocket(secured, peer));
      },
      refused: (says) => peer.close('protocol-error', { code: 'peer-untrusted', says }),
    });
  }
}
