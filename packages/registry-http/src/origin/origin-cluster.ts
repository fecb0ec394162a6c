/**
 * The origins as one: finds the owners of a digest and fails over between them. Source: spec origin-store-backends.md §4.3.
 *
 * Owns which owner is asked next, polling while an origin fetches a blob, and the cache of peer identities. Single
 * requests are the client's. Implements the ports of proxy and build-index (`OriginCluster`) and tracker
 * (`OriginDirectory`).
 */
import type { Digest, PeerContext, PeerInfo, PiecesRoot } from '@kraken/core/content';
import { asKrakenError, isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  silentLogger,
  type CancelSignal,
  type Logger,
  type OriginCluster,
  type OriginDirectory,
  type UploadSource,
} from '@kraken/core/ports';
import { Backoff, PENDING_POLL_BACKOFF, Random, type BackoffConfig } from '@kraken/core/retry';
import { createHash, randomInt } from 'node:crypto';
import type { HostSource } from '../cluster/index.js';
import { upstreamFailure, type HttpClient } from '../http/index.js';
import { sleep, systemClock, type Clock } from '../retry/index.js';
import { LocationCache } from './location-cache.js';
import { OriginClient, type DownloadedBlob } from './origin-client.js';
import { resumableBytes, verifiedBytes } from './verified-download.js';

/** Which origins, and how they are spoken to. */
export interface OriginClusterOptions {
  /** Origins that can be asked who owns what. */
  readonly source: HostSource;
  readonly http: HttpClient;
  readonly chunkBytes?: number;
  /** Waits while an origin fetches a blob. Default: Kraken's. */
  readonly poll?: BackoffConfig;
  readonly random?: Random;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** Peer identities are stable while an origin runs. Kraken: 10 s, errors for 1 s. */
const PEER_TTL_MS = 10_000;
const PEER_ERROR_TTL_MS = 1000;
const PEERS_CACHED_MAX = 10_000;
/** Times that a download is continued after it broke off. */
const RESUMES_MAX = 5;

interface CachedPeer {
  readonly context: PeerContext | undefined;
  readonly untilMs: number;
}

/** A client of the origin cluster: the owners of a digest are asked, one after the other. */
export class OriginClusterClient implements OriginCluster, OriginDirectory {
  readonly #options: OriginClusterOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #poll: BackoffConfig;
  readonly #locations: LocationCache;
  readonly #clients = new Map<string, OriginClient>();
  readonly #peers = new Map<string, CachedPeer>();

  constructor(options: OriginClusterOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? new Random(randomInt(2 ** 32));
    this.#logger = options.logger ?? silentLogger;
    this.#poll = options.poll ?? PENDING_POLL_BACKOFF;
    this.#locations = new LocationCache({
      source: options.source,
      client: (address) => this.#client(address),
      clock: this.#clock,
      random: this.#random,
    });
  }

  /** One random owner of a random digest is ready. @throws KrakenError `not-ready` */
  async checkReady(signal?: CancelSignal): Promise<void> {
    const digest = `sha256:${createHash('sha256').update(String(this.#random.uint32())).digest('hex')}` as Digest;
    try {
      const [owner] = this.#random.shuffle([...(await this.#locations.owners(digest, signal))]);
      if (owner === undefined) throw new KrakenError('not-ready', 'no origin');
      await this.#client(owner).checkReady(signal);
    } catch (error) {
      if (isKrakenError(error, 'not-ready') || isKrakenError(error, 'cancelled')) throw error;
      throw new KrakenError('not-ready', `origins: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  /** Length of a blob; `undefined` when nobody has it. */
  async stat(namespace: string, digest: Digest, signal?: CancelSignal): Promise<{ length: number } | undefined> {
    const owners = this.#random.shuffle([...(await this.#locations.owners(digest, signal))]);
    let last: unknown;
    let absent = false;
    for (const owner of owners) {
      try {
        const found = await this.#client(owner).stat(namespace, digest, signal);
        if (found !== undefined) return found;
        absent = true;
      } catch (error) {
        last = this.#next(owner, digest, error);
      }
    }
    // An owner that answers has asked storage too. Whoever is told "absent" wrongly uploads again, which does no harm.
    if (last === undefined || absent) return undefined;
    throw this.#unavailable(digest, last);
  }

  async download(
    namespace: string,
    digest: Digest,
    options: { range?: { start: number; end: number }; signal?: CancelSignal } = {},
  ): Promise<{ length: number; stream: AsyncIterable<Uint8Array> }> {
    const { range, signal } = options;
    const open = (start: number, first: number): Promise<DownloadedBlob> =>
      this.#polled(digest, signal, first, (client) =>
        client.download(namespace, digest, { start, ...(range === undefined ? {} : { end: range.end }), signal }),
      );
    const blob = await open(range?.start ?? 0, 0);
    // A Go origin sends no length for a body over 2 KiB.
    const length = blob.length ?? (await this.stat(namespace, digest, signal))?.length;
    if (length === undefined) throw new KrakenError('blob-unknown');
    let resumes = 0;
    const resume = (start: number, cause: KrakenError): Promise<DownloadedBlob> => {
      resumes++;
      this.#logger.warn({ digest, start, resumes, err: cause }, 'download from an origin broke off');
      if (resumes > RESUMES_MAX) throw cause;
      return open(start, resumes);
    };
    const stream =
      range === undefined
        ? verifiedBytes(digest, blob, resume, length)
        : resumableBytes(blob, resume, { start: range.start, end: Math.min(range.end, length) });
    return { length, stream };
  }

  async upload(namespace: string, digest: Digest, source: UploadSource, signal?: CancelSignal): Promise<void> {
    const owners = await this.#locations.owners(digest, signal);
    let last: unknown;
    for (const owner of owners) {
      try {
        await this.#client(owner).upload(namespace, digest, source, signal);
        return;
      } catch (error) {
        last = this.#next(owner, digest, error);
        if (!isRetriedElsewhere(error)) throw uploadError(error);
      }
    }
    throw this.#unavailable(digest, last);
  }

  async metaInfoResponse(
    namespace: string,
    digest: Digest,
    signal?: CancelSignal,
    rejected?: PiecesRoot,
  ): Promise<{ status: number; body: string }> {
    const owners = await this.#locations.owners(digest, signal);
    let best: { status: number; body: string } | undefined;
    let last: unknown;
    for (const owner of owners) {
      try {
        const response = await this.#client(owner).metaInfoResponse(namespace, digest, signal);
        const isRejected = rejected !== undefined && response.status === 200 && response.body.includes(rejected);
        if (!isRejected && (response.status === 200 || response.status === 202)) return response;
        if (best?.status !== 200) best = response;
      } catch (error) {
        last = this.#next(owner, digest, error);
      }
    }
    if (best !== undefined) return best;
    throw this.#unavailable(digest, last);
  }

  /** The piece layer under `root`, from an owner that has it. */
  async pieceLayer(
    namespace: string,
    digest: Digest,
    root: PiecesRoot,
    signal?: CancelSignal,
  ): Promise<Uint8Array | undefined> {
    const owners = await this.#locations.owners(digest, signal);
    let answered = false;
    let last: unknown;
    for (const owner of owners) {
      try {
        const layer = await this.#client(owner).pieceLayer(namespace, digest, root, signal);
        if (layer !== undefined) return layer;
        answered = true;
      } catch (error) {
        last = this.#next(owner, digest, error);
      }
    }
    if (answered) return undefined;
    throw this.#unavailable(digest, last);
  }

  async originPeers(digest: Digest, signal?: CancelSignal): Promise<readonly PeerInfo[]> {
    const owners = await this.#locations.owners(digest, signal);
    const contexts = await Promise.all(owners.map((owner) => this.#peerContext(owner, digest, signal)));
    const peers: PeerInfo[] = [];
    for (const context of contexts) {
      if (context !== undefined)
        peers.push({ peerId: context.peerId, ip: context.ip, port: context.port, origin: true, complete: true });
    }
    if (peers.length === 0)
      throw this.#unavailable(digest, new KrakenError('origin-unavailable', 'no origin peers found'));
    return peers;
  }

  /** Start to fetch a blob into the origins. @throws KrakenError `blob-unknown`, `origin-unavailable` */
  async prefetch(namespace: string, digest: Digest, signal?: CancelSignal): Promise<void> {
    let last: unknown;
    for (const owner of await this.#locations.owners(digest, signal)) {
      try {
        await this.#client(owner).prefetch(namespace, digest, signal);
        return;
      } catch (error) {
        last = this.#next(owner, digest, error);
        if (upstreamFailure(error)?.status === 404) throw new KrakenError('blob-unknown', undefined, { cause: error });
      }
    }
    throw this.#unavailable(digest, last);
  }

  /** Copy a blob to the origins of another cluster; waits while an origin fetches it first. @throws KrakenError `blob-unknown`, `origin-unavailable` */
  async replicateToRemote(namespace: string, digest: Digest, remote: string, signal?: CancelSignal): Promise<void> {
    await this.#polled(digest, signal, 0, async (client) => {
      if ((await client.replicateToRemote(namespace, digest, remote, signal)) === 'pending')
        throw new KrakenError('blob-pending');
    });
  }

  /** Replace the metainfo on every owner. @throws KrakenError `origin-unavailable` naming those that failed */
  async overwriteMetaInfo(digest: Digest, pieceLength: number, signal?: CancelSignal): Promise<void> {
    const failures: string[] = [];
    for (const owner of await this.#locations.owners(digest, signal)) {
      try {
        await this.#client(owner).overwriteMetaInfo(digest, pieceLength, signal);
      } catch (error) {
        failures.push(`origin ${owner}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    if (failures.length > 0) throw new KrakenError('origin-unavailable', failures.join('; '));
  }

  /**
   * Ask owners in order; wait while one answers that it fetches the blob. Always starting with the same one makes one
   * origin do the fetch.
   * @param first index of the owner to begin with
   */
  async #polled<T>(
    digest: Digest,
    signal: CancelSignal | undefined,
    first: number,
    ask: (client: OriginClient) => Promise<T>,
  ): Promise<T> {
    const owners = await this.#locations.owners(digest, signal);
    const failures: string[] = [];
    let last: unknown;
    for (let turn = 0; turn < owners.length; turn++) {
      const owner = owners[(first + turn) % owners.length] ?? '';
      const backoff = new Backoff(this.#poll, this.#random);
      const startedMs = this.#clock.nowMs();
      for (;;) {
        try {
          return await ask(this.#client(owner));
        } catch (error) {
          last = error;
          if (!isKrakenError(error, 'blob-pending')) {
            this.#next(owner, digest, error);
            const status = upstreamFailure(error)?.status;
            if (status === 404) throw new KrakenError('blob-unknown', undefined, { cause: error });
            if (status !== undefined && status < 500) throw error;
            failures.push(`origin ${owner}: ${error instanceof Error ? error.message : String(error)}`);
            break;
          }
          const waitMs = backoff.next(this.#clock.nowMs() - startedMs);
          if (waitMs === undefined) {
            failures.push(`origin ${owner}: backoff timed out on 202 responses`);
            break;
          }
          await sleep(this.#clock, waitMs, signal as AbortSignal | undefined);
          if (signal?.aborted === true) throw new KrakenError('cancelled', 'given up by the caller', { cause: error });
        }
      }
    }
    throw this.#unavailable(digest, last, `all origins unavailable: ${failures.join('; ')}`);
  }

  async #peerContext(
    owner: string,
    digest: Digest,
    signal: CancelSignal | undefined,
  ): Promise<PeerContext | undefined> {
    const cached = this.#peers.get(owner);
    const now = this.#clock.nowMs();
    if (cached !== undefined && now < cached.untilMs) return cached.context;
    if (this.#peers.size >= PEERS_CACHED_MAX) this.#peers.clear();
    try {
      const context = await this.#client(owner).peerContext(signal);
      this.#peers.set(owner, { context, untilMs: now + PEER_TTL_MS });
      return context;
    } catch (error) {
      this.#next(owner, digest, error);
      this.#peers.set(owner, { context: undefined, untilMs: now + PEER_ERROR_TTL_MS });
      return undefined;
    }
  }

  /** Note a failure before the next owner is tried. @throws it again when the caller gave up */
  #next(owner: string, digest: Digest, error: unknown): unknown {
    if (isKrakenError(error, 'cancelled')) throw error;
    if (isKrakenError(error, 'network-error')) {
      this.#options.source.failed?.(owner);
      this.#locations.forget(digest);
    }
    this.#logger.debug({ owner, digest, err: error }, 'origin request failed');
    return error;
  }

  #unavailable(digest: Digest, cause: unknown, message?: string): KrakenError {
    const coded = asKrakenError(cause, 'origin-unavailable');
    // Every owner answered, and the last says that storage is down: that is what the operator needs to hear.
    const code = upstreamFailure(cause)?.status === 503 ? 'storage-unavailable' : 'origin-unavailable';
    return new KrakenError(code, message ?? `all origins unavailable for ${digest}: ${coded.message}`, { cause });
  }

  #client(address: string): OriginClient {
    let client = this.#clients.get(address);
    if (client === undefined) {
      const { http, chunkBytes } = this.#options;
      client = new OriginClient({ http, address, ...(chunkBytes === undefined ? {} : { chunkBytes }) });
      this.#clients.set(address, client);
    }
    return client;
  }
}

/** Go's rule: no answer, or one that says "not now". */
function isRetriedElsewhere(error: unknown): boolean {
  if (isKrakenError(error, 'network-error')) return true;
  const status = upstreamFailure(error)?.status;
  return status === 429 || status === 502 || status === 503 || status === 504;
}

/** Final answers of an upload by their meaning. */
function uploadError(error: unknown): unknown {
  const failure = upstreamFailure(error);
  if (failure === undefined) return error;
  if (failure.body.includes("doesn't match expected value") || failure.body.includes('does not match')) {
    return new KrakenError('digest-mismatch', failure.body, { cause: error });
  }
  if (failure.status === 507) return new KrakenError('disk-full', failure.body, { cause: error });
  return error;
}
