/**
 * What an agent asks of trackers, over HTTP. Source: spec tracker-agent-ring.md §4. Owns the choice of the next tracker and
 * the polling for blobs that an origin is still fetching. Keeps no state but its connections.
 *
 * Differs from Kraken: a 5xx goes on to the next tracker instead of ending the attempt, answers are bounded, metainfo must
 * name the blob that was asked for, and readiness probes another shard each time.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  digestFromHex,
  layerBytes,
  parseMetaInfo,
  type Digest,
  type MetaInfo,
  type PiecesRoot,
} from '@kraken/core/content';
import { asKrakenError, isKrakenError, KrakenError } from '@kraken/core/errors';
import { escapePathSegment } from '@kraken/core/http';
import {
  silentLogger,
  type AnnounceAnswer,
  type AnnounceRequest,
  type CancelSignal,
  type HostRing,
  type Logger,
  type TrackerClient,
} from '@kraken/core/ports';
import { Backoff, PENDING_POLL_BACKOFF, Random, type BackoffConfig } from '@kraken/core/retry';
import { decodeAnnounceResponse, encodeAnnounceRequest, isDialable } from '@kraken/core/tracker';
import type { Dispatcher } from 'undici';
import {
  DispatcherRequests,
  exchange,
  type ExchangeRequest,
  type ExchangeResponse,
  type HttpSender,
} from './http-exchange.js';
import { NodeRequests } from './node-requests.js';

/** Each for one request with its whole response. */
export interface TrackerTimeouts {
  /** Kraken: 10 s. */
  readonly announceMs: number;
  /** Kraken: 10 s. */
  readonly metaInfoMs: number;
  /** Kraken: 5 s. */
  readonly readinessMs: number;
}

/** How large an answer may be. */
export interface TrackerBodyLimits {
  /** 4 MiB: some 30,000 peers. */
  readonly announce: number;
  /** 64 MiB: some six million pieces. */
  readonly metaInfo: number;
}

/** See the fields for where each comes from. */
export const DEFAULT_TRACKER_TIMEOUTS: TrackerTimeouts = { announceMs: 10_000, metaInfoMs: 10_000, readinessMs: 5000 };
/** See the fields for where each comes from. */
export const DEFAULT_TRACKER_BODY_LIMITS: TrackerBodyLimits = { announce: 4 * 2 ** 20, metaInfo: 64 * 2 ** 20 };

/** Error texts and readiness answers. */
const SHORT_BODY_BYTES_MAX = 64 * 1024;
/** How much of an error text goes into messages. */
const REASON_CHARS_MAX = 1000;
/** What the last tracker said is worth more than that no tracker helped. */
const PASSED_ON: ReadonlySet<string> = new Set([
  'storage-unavailable',
  'metainfo-invalid',
  'layer-invalid',
  'root-mismatch',
  'disk-full',
]);
/** How trackers mark what an origin said. */
const ORIGIN_SAID = 'origin: ';

/** Which trackers, and how they are spoken to. */
export interface TrackerClientOptions {
  /** Which trackers, in which order. */
  readonly ring: HostRing;
  /** Default `http`. */
  readonly scheme?: 'http' | 'https';
  /** An undici dispatcher; carries TLS settings. Default: Node's own client, which is loaded faster. */
  readonly dispatcher?: Dispatcher;
  /** Default 2. 1 sends a GET with a body, for old trackers. */
  readonly announceVersion?: 1 | 2;
  /** Those that differ from the defaults. */
  readonly timeouts?: Partial<TrackerTimeouts>;
  /** Those that differ from the defaults. */
  readonly maxBodyBytes?: Partial<TrackerBodyLimits>;
  /** While an origin is still fetching the blob. Kraken: 1 s × 1.3 up to 5 s, 15 min in all. */
  readonly pollBackoff?: BackoffConfig;
  /** Jitter of polls. Default: seeded at random. */
  readonly random?: Random;
  /** Default: silent. */
  readonly logger?: Logger;
}

interface HostAttempt {
  readonly host: string;
  readonly request: Omit<ExchangeRequest, 'origin'>;
}

/** A tracker client that may own connections. */
export interface ClosableTrackerClient extends TrackerClient {
  /** Closes the connections of a client that was given no dispatcher. Requests under way fail. */
  close(): Promise<void>;
}

/** A client of trackers over HTTP: the next one is asked when one does not answer. */
export function createTrackerClient(options: TrackerClientOptions): ClosableTrackerClient {
  return new HttpTrackerClient(options);
}

class HttpTrackerClient implements ClosableTrackerClient {
  readonly #ring: HostRing;
  readonly #scheme: string;
  readonly #sender: HttpSender;
  readonly #own: NodeRequests | undefined;
  readonly #version: 1 | 2;
  readonly #timeouts: TrackerTimeouts;
  readonly #limits: TrackerBodyLimits;
  readonly #pollBackoff: BackoffConfig;
  readonly #random: Random;
  readonly #logger: Logger;

  constructor(options: TrackerClientOptions) {
    this.#ring = options.ring;
    this.#scheme = options.scheme ?? 'http';
    const { dispatcher } = options;
    const own = new NodeRequests();
    this.#own = dispatcher === undefined ? own : undefined;
    this.#sender = dispatcher === undefined ? own : new DispatcherRequests(dispatcher);
    this.#version = options.announceVersion ?? 2;
    this.#timeouts = { ...DEFAULT_TRACKER_TIMEOUTS, ...options.timeouts };
    this.#limits = { ...DEFAULT_TRACKER_BODY_LIMITS, ...options.maxBodyBytes };
    this.#pollBackoff = options.pollBackoff ?? PENDING_POLL_BACKOFF;
    this.#random = options.random ?? new Random(randomBytes(4).readUInt32LE());
    this.#logger = options.logger ?? silentLogger;
  }

  async announce(request: AnnounceRequest, signal?: CancelSignal): Promise<AnnounceAnswer> {
    const exchangeRequest = {
      method: this.#version === 1 ? ('GET' as const) : ('POST' as const),
      path: this.#version === 1 ? '/announce' : `/announce/${request.infoHash}`,
      body: encodeAnnounceRequest(request),
      timeoutMs: this.#timeouts.announceMs,
      maxBytes: this.#limits.announce,
      signal,
    };
    return this.#firstHost(request.digest, async (host) => {
      const attempt = { host, request: exchangeRequest };
      const response = await this.#send(attempt);
      if (response.status !== 200) throw this.#refusal(attempt, response);
      const { peers, intervalMs } = decodeAnnounceResponse(response.text);
      return { peers: peers.filter(isDialable), intervalMs };
    });
  }

  async metaInfo(
    namespace: string,
    digest: Digest,
    signal?: CancelSignal,
    rejected: readonly PiecesRoot[] = [],
  ): Promise<MetaInfo> {
    const last = rejected.at(-1);
    const request = {
      method: 'GET' as const,
      // Ours: a tracker of ours asks another origin then; Go trackers take no notice.
      path: blobPath(namespace, digest, 'metainfo') + (last === undefined ? '' : `?rejected_root=${last}`),
      timeoutMs: this.#timeouts.metaInfoMs,
      maxBytes: this.#limits.metaInfo,
      signal,
    };
    const startedAt = performance.now();
    return this.#firstHost(digest, async (host) => {
      const attempt = { host, request };
      const response = await this.#pollWhilePending(attempt, startedAt);
      if (response.status === 404) throw new KrakenError('blob-unknown', this.#statusText(attempt, response));
      if (response.status !== 200) throw this.#refusal(attempt, response);
      const metainfo = parseMetaInfo(response.text);
      if (metainfo.digest !== digest) {
        throw new KrakenError('metainfo-invalid', `metainfo of ${digest} from ${host} names ${metainfo.digest}`);
      }
      if (metainfo.piecesRoot === undefined || !rejected.includes(metainfo.piecesRoot)) return metainfo;
      throw new KrakenError('root-mismatch', `${host} still names a root of ${digest} that the blob does not fit`);
    });
  }

  async pieceLayer(
    namespace: string,
    metainfo: MetaInfo,
    check: (layer: Uint8Array) => Promise<void>,
    signal?: CancelSignal,
  ): Promise<void> {
    const { digest, length, pieceLength, piecesRoot = '' } = metainfo;
    const request = {
      method: 'GET' as const,
      path: `${blobPath(namespace, digest, 'piecelayer')}?root=${piecesRoot}`,
      timeoutMs: this.#timeouts.metaInfoMs,
      maxBytes: Math.max(SHORT_BODY_BYTES_MAX, layerBytes(length, pieceLength)),
      signal,
    };
    await this.#firstHost(digest, async (host) => {
      const attempt = { host, request };
      const response = await this.#send(attempt);
      // Also from a tracker that has no such route.
      if (response.status !== 200) throw new KrakenError('tracker-unavailable', this.#statusText(attempt, response));
      await check(new Uint8Array(response.body));
    });
  }

  async checkReady(signal?: CancelSignal): Promise<void> {
    const request = {
      method: 'GET' as const,
      path: '/readiness',
      timeoutMs: this.#timeouts.readinessMs,
      maxBytes: SHORT_BODY_BYTES_MAX,
      signal,
    };
    try {
      await this.#firstHost(this.#randomDigest(), async (host) => {
        const attempt = { host, request };
        const response = await this.#send(attempt);
        if (response.status !== 200) throw this.#refusal(attempt, response);
      });
    } catch (error) {
      if (isKrakenError(error, 'cancelled')) throw error;
      const { message } = asKrakenError(error, 'not-ready');
      throw new KrakenError('not-ready', `tracker not ready: ${message}`, { cause: error });
    }
  }

  close(): Promise<void> {
    this.#own?.close();
    return Promise.resolve();
  }

  /** `attempt` at each tracker of `digest` in ring order until one settles the matter; the last error otherwise. */
  async #firstHost<T>(digest: Digest, attempt: (host: string) => Promise<T>): Promise<T> {
    let last = new KrakenError('tracker-unavailable', 'no trackers are known');
    for (const host of this.#ring.locations(digest)) {
      try {
        return await attempt(host);
      } catch (thrown) {
        const error = asKrakenError(thrown, 'internal');
        if (['cancelled', 'blob-unknown', 'pull-timeout', 'upstream-failed', 'internal'].includes(error.code))
          throw error;
        this.#logger.warn({ host, digest, code: error.code, reason: error.message }, 'tracker request failed');
        last = error;
      }
    }
    if (PASSED_ON.has(last.code)) throw last;
    throw new KrakenError('tracker-unavailable', last.message, { cause: last });
  }

  async #send({ host, request }: HostAttempt): Promise<ExchangeResponse> {
    try {
      return await exchange(this.#sender, { ...request, origin: `${this.#scheme}://${host}` });
    } catch (error) {
      if (isKrakenError(error, 'network-error')) this.#ring.failed(host);
      throw error;
    }
  }

  async #pollWhilePending(attempt: HostAttempt, startedAt: number): Promise<ExchangeResponse> {
    const backoff = new Backoff(this.#pollBackoff, this.#random);
    for (;;) {
      const response = await this.#send(attempt);
      if (response.status !== 202) return response;
      const delayMs = backoff.next(performance.now() - startedAt);
      if (delayMs === undefined) {
        throw new KrakenError('pull-timeout', `backoff timed out on 202 responses: ${this.#url(attempt)}`);
      }
      await pause(delayMs, attempt.request.signal);
    }
  }

  /** The error of a status that ends or moves on the attempt. */
  #refusal(attempt: HostAttempt, response: ExchangeResponse): KrakenError {
    const { status, text } = response;
    const says = this.#statusText(attempt, response);
    if (status < 500) return new KrakenError('upstream-failed', says, { detail: { status } });
    // An origin's failure that the tracker passed on says nothing about the tracker.
    if (text.startsWith(ORIGIN_SAID)) {
      const reason = text.slice(ORIGIN_SAID.length, ORIGIN_SAID.length + REASON_CHARS_MAX).trim();
      return new KrakenError('storage-unavailable', reason === '' ? says : reason, { detail: { status } });
    }
    if (status === 502 || status === 503 || status === 504) this.#ring.failed(attempt.host);
    return new KrakenError('tracker-unavailable', says, { detail: { status } });
  }

  #url({ host, request }: HostAttempt): string {
    return `${request.method} ${this.#scheme}://${host}${request.path}`;
  }

  #statusText(attempt: HostAttempt, { status, text }: ExchangeResponse): string {
    const reason = text.slice(0, REASON_CHARS_MAX).trim();
    return `${this.#url(attempt)} ${status}${reason === '' ? '' : `: ${reason}`}`;
  }

  #randomDigest(): Digest {
    let hex = '';
    while (hex.length < 64) hex += this.#random.uint32().toString(16).padStart(8, '0');
    return digestFromHex(hex);
  }
}

/** @throws KrakenError `cancelled` */
async function pause(ms: number, signal: CancelSignal | undefined): Promise<void> {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (signal?.aborted === true) abort();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await sleep(ms, undefined, { signal: controller.signal });
  } catch (error) {
    throw new KrakenError('cancelled', 'the caller gave up', { cause: error });
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

function blobPath(namespace: string, digest: Digest, resource: string): string {
  return `/namespace/${escapePathSegment(namespace)}/blobs/${digest}/${resource}`;
}
