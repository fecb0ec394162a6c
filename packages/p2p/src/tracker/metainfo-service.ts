/**
 * Metainfo of blobs as origins answer it, remembered and collapsed as the nginx in front of a Kraken tracker did. Source:
 * spec tracker-agent-ring.md §1.8, §9.6. Owns the cache. Knows no HTTP; passes bodies on without a look inside.
 */
import type { Digest } from '@kraken/core/content';
import type { CancelSignal, Metrics, OriginDirectory } from '@kraken/core/ports';
import { SingleFlightCache } from './single-flight-cache.js';

export interface MetaInfoCacheOptions {
  /** How long a 200 is kept. nginx: 5 min. */
  readonly ttlMs: number;
  /** How long everything else is kept. nginx: 1 s. */
  readonly otherTtlMs: number;
  /** Guess: 20,000. */
  readonly entriesMax: number;
  /** Bytes of all bodies. Guess: 256 MiB (nginx: 256 GB, on disk). */
  readonly bytesMax: number;
  /** Origin requests that run at once. Guess: 1000. */
  readonly lookupsMax: number;
}

export const DEFAULT_META_INFO_CACHE: MetaInfoCacheOptions = {
  ttlMs: 300_000,
  otherTtlMs: 1000,
  entriesMax: 20_000,
  bytesMax: 256 * 2 ** 20,
  lookupsMax: 1000,
};

/** What an origin answered. */
export interface MetaInfoResponse {
  readonly status: number;
  readonly body: string;
}

export class MetaInfoService {
  readonly #origins: OriginDirectory;
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #cache: SingleFlightCache<MetaInfoResponse>;

  constructor(origins: OriginDirectory, options: { cache: MetaInfoCacheOptions; now: () => number; metrics: Metrics }) {
    const { ttlMs, otherTtlMs, entriesMax, bytesMax, lookupsMax } = options.cache;
    this.#origins = origins;
    this.#metrics = options.metrics;
    this.#now = options.now;
    this.#cache = new SingleFlightCache({
      entriesMax,
      bytesMax,
      flightsMax: lookupsMax,
      ttlMs: ({ status }) => (status === 200 ? ttlMs : otherTtlMs),
      errorTtlMs: otherTtlMs,
      sizeOf: ({ body }) => body.length,
      now: options.now,
    });
  }

  /** @throws what the origin directory threw; KrakenError `cancelled`, `queue-full` */
  get(namespace: string, digest: Digest, signal: CancelSignal): Promise<MetaInfoResponse> {
    const fetch = async (abort: AbortSignal): Promise<MetaInfoResponse> => {
      const startedAt = this.#now();
      const response = await this.#origins.metaInfoResponse(namespace, digest, abort);
      if (response.status === 200) this.#metrics.observe('get_metainfo_seconds', (this.#now() - startedAt) / 1000);
      return response;
    };
    return this.#cache.get(`${digest}/${namespace}`, fetch, signal);
  }
}
