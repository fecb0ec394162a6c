/**
 * The hosts of a cluster: a static list, or the addresses behind a DNS name. Source: spec tracker-agent-ring.md §6.1.
 *
 * Owns the last good answer and its refresh. Never knows which hosts are healthy. Differs from Go: resolved in the
 * background and never inside a request, IPv6 works, a name that does not resolve at the start is retried.
 */
import { KrakenError } from '@kraken/core/errors';
import { silentLogger, type Logger } from '@kraken/core/ports';
import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { systemClock, type CancelTimer, type Clock } from '../retry/index.js';

/** Exactly one of `dns` and `static`. */
export interface HostListConfig {
  /** `name:port`. */
  readonly dns?: string;
  /** `host:port` each; IPv6 in brackets. */
  readonly static?: readonly string[];
  /** How old an answer may get. Kraken: 5 s. */
  readonly ttlMs?: number;
}

/** For tests, and for resolvers other than the system's. */
export interface HostListOptions {
  /** Addresses of a name, without ports. Default: the system's resolver. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** Where hosts come from, for clients and rings. */
export interface HostSource {
  /** `host:port` each; maybe none while a name has never resolved. */
  hosts(): readonly string[];
  /** A request to `host` got no answer. */
  failed?(host: string): void;
}

const DEFAULT_TTL_MS = 5000;
/** A resolver that says nothing for this long has failed. */
const RESOLVE_TIMEOUT_MS = 10_000;

export class HostList implements HostSource {
  readonly #name: string | undefined;
  readonly #port: string;
  readonly #ttlMs: number;
  readonly #resolve: (name: string) => Promise<readonly string[]>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #listeners = new Set<() => void>();
  #hosts: readonly string[];
  #cancelTimer: CancelTimer | undefined;
  #closed = false;

  private constructor(config: HostListConfig, options: HostListOptions) {
    const { dns, static: list } = config;
    if (dns === undefined && (list === undefined || list.length === 0)) {
      throw new KrakenError('config-invalid', 'invalid config: no dns record or static list supplied');
    }
    if (dns !== undefined && list !== undefined && list.length > 0) {
      throw new KrakenError('config-invalid', 'invalid config: both dns record and static list supplied');
    }
    this.#ttlMs = config.ttlMs ?? DEFAULT_TTL_MS;
    this.#resolve = options.resolve ?? systemResolver;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    if (dns === undefined) {
      this.#name = undefined;
      this.#port = '';
      for (const host of list ?? []) checkHostPort(host);
      this.#hosts = [...new Set(list)];
    } else {
      const { host, port } = checkHostPort(dns);
      this.#name = host;
      this.#port = port;
      this.#hosts = [];
    }
  }

  /** Resolves once, so that the list is usable at once when the name resolves. @throws KrakenError `config-invalid` */
  static async open(config: HostListConfig, options: HostListOptions = {}): Promise<HostList> {
    const list = new HostList(config, options);
    if (list.#name !== undefined) await list.#refresh();
    return list;
  }

  hosts(): readonly string[] {
    return this.#hosts;
  }

  /** Called after the set of hosts changed. @returns how to stop that */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Stop resolving. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#listeners.clear();
  }

  async #refresh(): Promise<void> {
    const name = this.#name;
    if (name === undefined) return;
    try {
      const addresses = await this.#bounded(this.#resolve(name));
      if (addresses.length === 0) throw new KrakenError('network-error', `${name} has no addresses`);
      this.#take(
        [...new Set(addresses)].sort().map((address) => `${isIPv6(address) ? `[${address}]` : address}:${this.#port}`),
      );
    } catch (error) {
      this.#logger.warn({ name, err: error }, 'hosts cannot be resolved, the last answer stays');
    }
    if (this.#isClosed()) return;
    this.#cancelTimer = this.#clock.after(this.#ttlMs, () => {
      void this.#refresh();
    });
  }

  #isClosed(): boolean {
    return this.#closed;
  }

  #bounded<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(RESOLVE_TIMEOUT_MS, () => {
        reject(new KrakenError('network-error', `resolver gave no answer in ${RESOLVE_TIMEOUT_MS} ms`));
      });
      answer.then(resolve, reject).finally(cancel);
    });
  }

  #take(hosts: readonly string[]): void {
    if (hosts.length === this.#hosts.length && hosts.every((host, index) => host === this.#hosts[index])) return;
    this.#hosts = hosts;
    for (const listener of this.#listeners) listener();
  }
}

/** @throws KrakenError `config-invalid` unless it is `host:port` or `[ipv6]:port` */
export function checkHostPort(text: string): { host: string; port: string } {
  const match = /^(\[[0-9a-fA-F:.%]+\]|[^:[\]/\s]+):(\d{1,5})$/.exec(text);
  const [, host, port] = match ?? [];
  if (host === undefined || port === undefined || Number(port) > 65_535) {
    throw new KrakenError('config-invalid', `invalid config: expected host:port, got ${JSON.stringify(text)}`);
  }
  return { host, port };
}

async function systemResolver(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
}
