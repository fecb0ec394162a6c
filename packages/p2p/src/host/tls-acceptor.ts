/**
 * The server's side of TLS between peers: accepted sockets in, authenticated ones out. Owns one `tls.Server` that
 * never listens; sockets are handed to it. Never sets time limits: whoever hands a socket over destroys it in time.
 *
 * The server lets every handshake end and the certificate is judged here, while address and certificate can still
 * be read: Node's own rejection destroys the socket first and leaves nothing to log.
 */
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { contextOptions, nameProblem, type PeerTlsMaterial } from './tls-settings.js';

export interface AcceptedTls {
  /** The peer has a good certificate. Reading has not started. */
  secured(socket: TLSSocket): void;
  /** The peer is not let in; the socket is gone or about to go. */
  refused(reason: string, subject?: string): void;
}

export class TlsAcceptor {
  readonly #server: Server;
  /** Handshakes under way, by the address of the peer. */
  readonly #pending = new Map<string, AcceptedTls>();
  #name: string | undefined;

  /** @throws KrakenError `config-invalid` */
  constructor(material: PeerTlsMaterial) {
    this.#name = material.name;
    this.#server = createServer({ ...contextOptions(material), requestCert: true, rejectUnauthorized: false });
    this.#server.on('secureConnection', (socket) => this.#judge(socket));
    this.#server.on('tlsClientError', (error, socket) => {
      this.#take(addressOf(socket))?.refused(reasonOf(error));
      socket.destroy();
    });
  }

  /** For handshakes to come. @throws KrakenError `config-invalid`; the old material then stays */
  reload(material: PeerTlsMaterial): void {
    this.#server.setSecureContext(contextOptions(material));
    this.#name = material.name;
  }

  /** Start a handshake on `raw`, whose first bytes were put back. `to` hears of the end exactly once. */
  accept(raw: Socket, to: AcceptedTls): void {
    const address = addressOf(raw);
    if (address === undefined || this.#pending.has(address)) {
      to.refused('the connection is gone');
      raw.destroy();
      return;
    }
    this.#pending.set(address, to);
    raw.once('close', () => {
      if (this.#pending.get(address) === to) this.#take(address)?.refused('the connection ended in the TLS handshake');
    });
    this.#server.emit('connection', raw);
  }

  #judge(socket: TLSSocket): void {
    const to = this.#take(addressOf(socket));
    const certificate = socket.getPeerCertificate();
    const reason = problemOf(socket) ?? nameProblem(this.#name, certificate)?.message;
    if (to !== undefined && reason === undefined) {
      to.secured(socket);
      return;
    }
    // From here on nobody listens.
    socket.on('error', () => undefined);
    socket.destroy();
    to?.refused(reason ?? 'the connection is gone', subjectOf(certificate));
  }

  #take(address: string | undefined): AcceptedTls | undefined {
    if (address === undefined) return undefined;
    const to = this.#pending.get(address);
    this.#pending.delete(address);
    return to;
  }
}

/** Why the other side of a finished handshake is not authenticated. Everything that is not proven is a problem. */
function problemOf(socket: TLSSocket): string | undefined {
  if (socket.getPeerX509Certificate() === undefined) return 'no certificate';
  // `authorizationError` is the code of OpenSSL's verdict, in spite of its type.
  if (!socket.authorized) return `certificate not accepted: ${String(socket.authorizationError)}`;
  return socket.isSessionReused() ? 'a session was resumed' : undefined;
}

/** Unique among the open connections of one listening socket. */
function addressOf({ remoteAddress, remotePort, localAddress }: Socket): string | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return `${remoteAddress} ${remotePort} ${localAddress ?? ''}`;
}

function subjectOf({ subject }: { subject?: { CN?: string | string[] } }): string | undefined {
  return subject?.CN === undefined ? undefined : String(subject.CN);
}

/** OpenSSL's messages carry a line number and a file; its codes are for people. */
export function reasonOf(error: Error): string {
  const { code, reason } = error as Error & { code?: string; reason?: string };
  return [code, reason ?? error.message].filter((part) => part !== undefined && part !== '').join(': ');
}
