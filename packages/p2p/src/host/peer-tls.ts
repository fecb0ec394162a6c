/**
 * Transport security of a node's connections, both directions, on one port. Owns the TLS server, the material of
 * outgoing connections and what is remembered about plain peers. Never sees a Kraken frame. Source: decision 0015.
 */
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls, type SecureContextOptions, type TLSSocket } from 'node:tls';
import type { Logger } from '@kraken/core/ports';
import type { Clock } from './clock.js';
import type { HostCounters } from './counters.js';
import { readFirstBytes, TLS_RECORD } from './first-bytes.js';
import { reasonOf, TlsAcceptor } from './tls-acceptor.js';
import { PlainAddresses } from './tls-plain-addresses.js';
import { TlsRefusals } from './tls-refusals.js';
import { contextOptions, nameProblem, type PeerTlsMaterial, type PeerTlsOptions } from './tls-settings.js';

/** What becomes of an accepted socket; exactly one call, unless the socket is destroyed before. */
export interface Admission {
  /** A plain peer. `first`: bytes that were read already. */
  plain(socket: Socket, first: Buffer): void;
  secured(socket: TLSSocket): void;
  refused(reason: string): void;
}

/** What becomes of a dial; at most one of the last three is called, none after the returned cancellation. */
export interface TlsDialEvents {
  /** TCP is there, TLS begins. */
  connected(): void;
  secured(socket: TLSSocket): void;
  /** The other side does not speak TLS and may be dialled plain. */
  plain(): void;
  /** `untrusted`: TCP was there, and TLS failed. */
  failed(reason: string, untrusted: boolean): void;
}

export interface PeerTlsParts {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly counters: HostCounters;
}

export class PeerTls {
  readonly #mode: PeerTlsOptions['mode'];
  readonly #acceptor: TlsAcceptor;
  readonly #refusals: TlsRefusals;
  readonly #plainAddresses: PlainAddresses;
  readonly #counters: HostCounters;
  #client: SecureContextOptions;
  #name: string | undefined;

  /** @throws KrakenError `config-invalid` for material that cannot be used */
  constructor(options: PeerTlsOptions, { logger, clock, counters }: PeerTlsParts) {
    this.#mode = options.mode;
    this.#client = contextOptions(options);
    this.#name = options.name;
    this.#acceptor = new TlsAcceptor(options);
    this.#refusals = new TlsRefusals(logger, clock);
    this.#plainAddresses = new PlainAddresses(clock);
    this.#counters = counters;
    if (options.mode === 'preferred') {
      logger.warn(
        { mode: options.mode },
        'TLS between peers is preferred, not required: plain peers are served too, and an attacker on the path can ' +
          'make every connection plain',
      );
    }
  }

  /** New certificates for connections to come. @throws KrakenError `config-invalid`; the old ones then stay */
  reload(material: PeerTlsMaterial): void {
    const client = contextOptions(material);
    this.#acceptor.reload(material);
    this.#client = client;
    this.#name = material.name;
  }

  /** Find out what `raw`, accepted with `pauseOnConnect`, speaks. */
  admit(raw: Socket, to: Admission): void {
    const remote = `${raw.remoteAddress ?? '?'}:${raw.remotePort ?? '?'}`;
    const refuse = (reason: string, subject?: string): void => {
      this.#refused('in', remote, reason, subject);
      to.refused(reason);
    };
    readFirstBytes(raw, (first) => {
      if (first[0] === TLS_RECORD) {
        raw.unshift(first);
        this.#acceptor.accept(raw, {
          secured: (socket) => {
            this.#counters.tlsSessions++;
            to.secured(socket);
          },
          refused: refuse,
        });
      } else if (this.#mode === 'required') {
        refuse('plain connection, TLS is required');
      } else {
        to.plain(raw, first);
      }
    });
  }

  /** Whether to dial this address without trying TLS. */
  dialsPlain(host: string, port: number): boolean {
    return this.#mode === 'preferred' && this.#plainAddresses.has(`${host} ${port}`);
  }

  /** @returns how to give the dial up; of no effect once `secured` was called */
  dial(host: string, port: number, to: TlsDialEvents): () => void {
    const raw = connectPlain({ host, port, noDelay: true });
    let secured: TLSSocket | undefined;
    let over = false;
    const fail = (error: Error): void => {
      if (over) return;
      over = true;
      const spoke = raw.bytesRead > 0;
      secured?.destroy();
      raw.destroy();
      if (secured === undefined) to.failed(error.message, false);
      else if (this.#mode === 'preferred' && !spoke) this.#fallBack(host, port, to);
      else {
        const reason = reasonOf(error);
        this.#refused('out', `${host}:${port}`, reason);
        to.failed(`TLS with ${host}:${port} failed: ${reason}`, true);
      }
    };
    raw.on('error', fail);
    raw.once('close', () => fail(new Error('the peer closed the connection')));
    raw.once('connect', () => {
      if (over) return;
      to.connected();
      secured = connectTls({
        socket: raw,
        ...this.#client,
        // The chain counts and, when configured, a name; peers are dialled by addresses that no certificate names.
        checkServerIdentity: (_host, certificate) => nameProblem(this.#name, certificate),
      });
      secured.on('error', fail);
      secured.once('secureConnect', () => {
        if (over || secured === undefined) return;
        over = true;
        secured.off('error', fail);
        this.#counters.tlsSessions++;
        to.secured(secured);
      });
    });
    return () => {
      if (over) return;
      over = true;
      secured?.destroy();
      raw.destroy();
    };
  }

  #fallBack(host: string, port: number, to: TlsDialEvents): void {
    this.#plainAddresses.add(`${host} ${port}`);
    this.#counters.tlsFallbacks++;
    to.plain();
  }

  #refused(direction: 'in' | 'out', remote: string, reason: string, subject?: string): void {
    this.#counters.tlsRefused++;
    this.#refusals.note({ direction, remote, reason, ...(subject === undefined ? {} : { subject }) });
  }
}
