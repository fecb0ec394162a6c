/**
 * Fetches blobs from storage into the store when somebody asks for them. Source: spec origin-store-backends.md §3.1,
 * §10 (16, 17).
 *
 * Owns which fetches run or wait, and what storage answered a moment ago. One fetch per namespace and digest; bytes are
 * verified on the way by the upload session. Differs from Go: a pending fetch is looked at before storage is asked again,
 * errors are kept per namespace, and fetches beyond the workers wait in a bounded queue.
 */
import { digestHex, type Digest } from '@kraken/core/content';
import { asKrakenError, isKrakenError, KrakenError, type ErrorCode } from '@kraken/core/errors';
import type { RefreshOutcome } from '@kraken/core/origin';
import {
  silentLogger,
  silentMetrics,
  type BackendManager,
  type BlobStore,
  type Logger,
  type Metrics,
  type StorageBackend,
} from '@kraken/core/ports';
import { ExpiringMap } from '../expiring-map.js';
import { systemClock, type Clock } from '../retry/index.js';

/** How many blobs are fetched from storage, and how failures are remembered. */
export interface RefreshLimits {
  /** Fetches that run at once. Default 100 (a guess; Go: 10,000). */
  readonly workers: number;
  /** Fetches that may wait for a worker. Default 10,000 (Go's workers). */
  readonly waiting: number;
  /** Blobs larger than this are refused; 0: no limit. Kraken: `blobrefresh.size_limit`. */
  readonly sizeLimitBytes: number;
  /** How long a failed fetch is remembered. Default 15 s (Kraken). */
  readonly errorTtlMs: number;
  /** How long "not there" is remembered. Default 1 s: a blob that is pushed now must be found soon. */
  readonly notFoundTtlMs: number;
}

/** See the fields for where each comes from. */
export const DEFAULT_REFRESH_LIMITS: RefreshLimits = {
  workers: 100,
  waiting: 10_000,
  sizeLimitBytes: 0,
  errorTtlMs: 15_000,
  notFoundTtlMs: 1000,
};

export interface RefresherOptions {
  readonly store: BlobStore;
  readonly backends: BackendManager | undefined;
  /** Make a fetched blob servable: metainfo. Part of the fetch. */
  readonly finish: (digest: Digest, length: number) => Promise<void>;
  readonly limits?: Partial<RefreshLimits>;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export interface RefreshRequest {
  /** Runs after a fetch that this request started; failures are logged. */
  readonly afterwards?: () => Promise<void>;
}

export class Refresher {
  readonly #options: RefresherOptions;
  readonly #limits: RefreshLimits;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #pending = new Map<string, Promise<RefreshOutcome>>();
  readonly #remembered = new ExpiringMap<string, RefreshOutcome>(100_000);
  readonly #queue: (() => void)[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #abort = new AbortController();

  constructor(options: RefresherOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_REFRESH_LIMITS, ...options.limits };
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
  }

  /**
   * Ask for a blob that is not here. Resolves as soon as storage has said whether it exists.
   * @throws KrakenError `backend-no-match`, `body-too-large` (beyond the size limit)
   */
  refresh(namespace: string, digest: Digest, request: RefreshRequest = {}): Promise<RefreshOutcome> {
    const key = `${digest} ${namespace}`;
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const remembered = this.#remembered.get(key, this.#clock.nowMs());
    if (remembered !== undefined) return Promise.resolve(remembered);
    const { backends } = this.#options;
    if (backends === undefined) return Promise.resolve({ kind: 'not-found' });
    const asked = this.#ask(key, backends, namespace, digest, request);
    this.#pending.set(key, asked);
    return asked;
  }

  /** Fetches under way or waiting. */
  get pending(): number {
    return this.#running.size + this.#queue.length;
  }

  /** Forget what storage said about a blob: it has just been uploaded here. */
  forget(namespace: string, digest: Digest): void {
    this.#remembered.delete(`${digest} ${namespace}`);
  }

  async close(): Promise<void> {
    this.#queue.length = 0;
    this.#abort.abort(new KrakenError('shutting-down'));
    await Promise.allSettled(this.#running);
  }

  async #ask(
    key: string,
    backends: BackendManager,
    namespace: string,
    digest: Digest,
    request: RefreshRequest,
  ): Promise<RefreshOutcome> {
    // The caller enters this promise into `#pending` first, so that no failure leaves it there.
    await Promise.resolve();
    try {
      const backend = backends.forNamespace(namespace);
      const { length } = await backend.stat(namespace, digestHex(digest), this.#abort.signal);
      const { sizeLimitBytes } = this.#limits;
      if (sizeLimitBytes > 0 && length > sizeLimitBytes) {
        throw new KrakenError('body-too-large', `${length}B blob exceeds size limit of ${sizeLimitBytes}B`);
      }
      if (this.#running.size >= this.#limits.workers && this.#queue.length >= this.#limits.waiting) {
        this.#pending.delete(key);
        this.#metrics.count('kraken_refresh_busy_total');
        return { kind: 'busy' };
      }
      const fetch = (): void => {
        const run = this.#fetch(key, backend, namespace, digest, request).finally(() => {
          this.#running.delete(run);
          if (!this.#abort.signal.aborted) this.#queue.shift()?.();
        });
        this.#running.add(run);
      };
      if (this.#running.size < this.#limits.workers) fetch();
      else this.#queue.push(fetch);
      return { kind: 'pending' };
    } catch (error) {
      this.#pending.delete(key);
      if (isKrakenError(error, 'backend-no-match') || isKrakenError(error, 'body-too-large')) throw error;
      return this.#remember(key, error);
    }
  }

  async #fetch(
    key: string,
    backend: StorageBackend,
    namespace: string,
    digest: Digest,
    request: RefreshRequest,
  ): Promise<void> {
    const { store } = this.#options;
    const startedMs = this.#clock.nowMs();
    let session: string | undefined;
    try {
      const { length: announced, stream } = await backend.download(namespace, digestHex(digest), this.#abort.signal);
      session = await store.uploads.create();
      const maxBytes = this.#limits.sizeLimitBytes > 0 ? this.#limits.sizeLimitBytes : Number.MAX_SAFE_INTEGER;
      const written = await store.uploads.write(session, 0, stream, announced ?? maxBytes);
      if (announced !== undefined && written !== announced) {
        throw new KrakenError('content-truncated', `storage delivered ${written} of ${announced} bytes of ${digest}`);
      }
      const { length } = await store.uploads.commit(session, digest);
      session = undefined;
      await this.#options.finish(digest, length);
      this.#metrics.count('kraken_refresh_bytes_total', length);
      this.#metrics.observe('kraken_refresh_seconds', (this.#clock.nowMs() - startedMs) / 1000);
    } catch (error) {
      this.#metrics.count('kraken_refresh_failures_total');
      this.#logger.warn({ namespace, digest, err: error }, 'fetch from storage failed');
      this.#remember(key, error);
      this.#pending.delete(key);
      if (session !== undefined) await store.uploads.abort(session);
      return;
    }
    this.#remembered.delete(key);
    try {
      await request.afterwards?.();
    } catch (error) {
      this.#logger.warn({ namespace, digest, err: error }, 'work after a fetch failed');
    } finally {
      this.#pending.delete(key);
    }
  }

  #remember(key: string, error: unknown): RefreshOutcome {
    const { notFoundTtlMs, errorTtlMs } = this.#limits;
    const coded = asKrakenError(error, 'storage-unavailable');
    const isMissing = coded.code === 'blob-unknown';
    const outcome: RefreshOutcome = isMissing
      ? { kind: 'not-found' }
      : { kind: 'failed', code: failureCode(coded.code), message: coded.message };
    const nowMs = this.#clock.nowMs();
    this.#remembered.set(key, outcome, nowMs, nowMs + (isMissing ? notFoundTtlMs : errorTtlMs));
    return outcome;
  }
}

/** Content that storage got wrong is not the asker's fault: a digest mismatch must not become a 400. */
function failureCode(code: ErrorCode): ErrorCode {
  return code === 'disk-full' || code === 'shutting-down' ? code : 'storage-unavailable';
}
