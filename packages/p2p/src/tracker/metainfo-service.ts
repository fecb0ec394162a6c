/**
 * Metainfo of blobs as origins answer it, remembered and collapsed as the nginx in front of a Kraken tracker did. Source:
 * spec tracker-agent-ring.md §1.8, §9.6. Owns the caches, of metainfo and of piece layers. Knows no HTTP; passes bodies on
 * without a look inside.
 */
import type { Digest, PiecesRoot } from '@kraken/core/content';
import type { CancelSignal, Metrics, OriginDirectory } from '@kraken/core/ports';
import { ownBytes } from '../own-bytes.js';
import { SingleFlightCache } from './single-flight-cache.js';

/** How much metainfo is kept, and for how long. */
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

/** See the fields for where each comes from. */
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
  readonly #layers: SingleFlightCache<Uint8Array | undefined>;

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
    this.#layers = new SingleFlightCache({
      entriesMax,
      bytesMax,
      flightsMax: lookupsMax,
      ttlMs: (layer) => (layer === undefined ? otherTtlMs : ttlMs),
      errorTtlMs: otherTtlMs,
      sizeOf: (layer) => layer?.length ?? 0,
      now: options.now,
    });
  }

  /**
   * @param rejected a root that the blob turned out not to fit: when the known answer names it, another origin is asked
   * @throws what the origin directory threw; KrakenError `cancelled`, `queue-full`
   */
  async get(namespace: string, digest: Digest, signal: CancelSignal, rejected?: PiecesRoot): Promise<MetaInfoResponse> {
    const fetch =
      (without?: PiecesRoot) =>
      async (abort: AbortSignal): Promise<MetaInfoResponse> => {
        const startedAt = this.#now();
        const response = await this.#origins.metaInfoResponse(namespace, digest, abort, without);
        if (response.status === 200) this.#metrics.observe('get_metainfo_seconds', (this.#now() - startedAt) / 1000);
        return response;
      };
    const known = await this.#cache.get(`${digest}/${namespace}`, fetch(), signal);
    // Nobody gets past the memory by naming any root: it must be the one that was handed out.
    if (rejected === undefined || known.status !== 200 || !known.body.includes(rejected)) return known;
    this.#metrics.count('tracker_roots_rejected');
    return this.#cache.get(`${digest}/${namespace}/${rejected}`, fetch(rejected), signal);
  }

  /** The piece layer under `root`, unchecked; `undefined` when no origin has it. @throws as {@link get} */
  async layer(
    namespace: string,
    digest: Digest,
    root: PiecesRoot,
    signal: CancelSignal,
  ): Promise<Uint8Array | undefined> {
    const fetch = async (abort: AbortSignal): Promise<Uint8Array | undefined> => {
      const layer = await this.#origins.pieceLayer?.(namespace, digest, root, abort);
      return layer === undefined ? undefined : ownBytes(layer);
    };
    return this.#layers.get(`${digest}/${root}`, fetch, signal);
  }
}
