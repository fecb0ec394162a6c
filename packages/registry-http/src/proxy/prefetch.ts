/**
 * Prefetch: have the origins cache an image before anybody pulls it. Owns the request and answer shapes of both API
 * versions. Never moves layers through the proxy. Source: spec index-proxy-registry-config.md §3.5; vectors
 * replication.json `proxy`.
 *
 * Differs from Go: any depth of repository, the repository as namespace (as pulls use it), statuses that say what is wrong,
 * and version 1 asks the origins too instead of downloading everything to throw it away.
 */
import { asKrakenError, KrakenError } from '@kraken/core/errors';
import { MANIFEST_BYTES_MAX, parseTagName, tagName } from '@kraken/core/oci';
import type { Digest } from '@kraken/core/content';
import type { BlobSource, CancelSignal, Logger, Metrics, TagSource } from '@kraken/core/ports';
import { STATUS_CODES } from 'node:http';
import { readBody, sendBuffer, type RequestContext } from '../http/index.js';
import { imageBlobs, type ImageBlob } from './image-blobs.js';

/** Asks an origin to cache one blob; resolves when it has agreed to. */
export type PrefetchBlob = (namespace: string, digest: Digest, signal?: CancelSignal) => Promise<void>;

export interface PrefetchOptions {
  readonly blobs: BlobSource;
  readonly tags: Pick<TagSource, 'get'>;
  readonly prefetchBlob: PrefetchBlob;
  /** Smaller blobs are left out. Default 0. */
  readonly blobBytesMin?: number;
  /** Larger blobs are left out. Default 50 GiB; 0 means the default, as in Go. */
  readonly blobBytesMax?: number;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

interface PrefetchRequest {
  readonly repository: string;
  readonly tag: string;
  readonly traceId: string;
}

const BODY_BYTES_MAX = 65_536;
const BLOB_BYTES_MAX = 53_687_091_200;
const CALLS_AT_ONCE = 16;
const BACKGROUND_MAX = 64;

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Value of a key whatever its case, as Go reads it. */
function textField(value: object, key: string): string {
  const found = Object.entries(value).findLast(([name]) => name.toLowerCase() === key);
  return typeof found?.[1] === 'string' ? found[1] : '';
}

function parseTag(text: string): { repository: string; tag: string } {
  const invalid = (): KrakenError =>
    new KrakenError('request-invalid', `tag: ${text}, invalid tag format: invalid tag format: ${text}`);
  const slash = text.indexOf('/');
  const named = text.slice(slash + 1);
  if (slash < 0 || !named.includes('/') || !named.includes(':')) throw invalid();
  try {
    return parseTagName(named);
  } catch {
    throw invalid();
  }
}

/** Runs `work` over `items`, a few at a time; the first failure is thrown after all were tried. */
async function forEachBounded<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item).catch((error: unknown) => failures.push(error));
  };
  await Promise.all(Array.from({ length: Math.min(CALLS_AT_ONCE, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
}

/** Both prefetch endpoints. One per proxy: it bounds what runs in the background. */
export class Prefetcher {
  #background = 0;

  constructor(private readonly options: PrefetchOptions) {}

  /** @param waits version 2: answer after the origins have agreed; version 1: at once */
  async handle(context: RequestContext, waits: boolean): Promise<void> {
    const { metrics, logger } = this.options;
    metrics.count('prefetch_requests_total');
    let traceId = '';
    try {
      const body = await readBody(context.req, BODY_BYTES_MAX);
      const request = this.#parse(body, (id) => (traceId = id));
      const wanted = await this.#wanted(request, context.signal);
      if (waits) await this.#prefetch(request.repository, wanted, context.signal);
      else this.#inBackground(request.repository, wanted);
      metrics.count('prefetch_initiated_total');
      const image = `${request.repository.slice(request.repository.lastIndexOf('/') + 1)}:${request.tag}`;
      const message = 'prefetching initiated successfully';
      this.#send(context, 200, { tag: image, prefetched: true, status: 'success', message, trace_id: traceId });
    } catch (thrown) {
      if (context.signal.aborted) throw thrown;
      const error = asKrakenError(thrown, 'internal');
      const status = error.httpStatus;
      metrics.count('prefetch_failed_total');
      logger.info({ err: error, traceId }, 'prefetch failed');
      this.#send(context, status, {
        error: STATUS_CODES[status] ?? 'Error',
        prefetched: false,
        status: 'failure',
        message: error.message,
        ...(traceId === '' ? {} : { trace_id: traceId }),
      });
    }
  }

  #send(context: RequestContext, status: number, body: object): void {
    sendBuffer(context, status, JSON.stringify(body), { 'content-type': 'application/json' });
  }

  #parse(body: Buffer, onTraceId: (id: string) => void): PrefetchRequest {
    let value: unknown;
    try {
      value = JSON.parse(body.toString('utf8'));
    } catch (error) {
      throw new KrakenError('request-invalid', `failed to decode request body: ${textOf(error)}`, { cause: error });
    }
    const fields = typeof value === 'object' && value !== null ? value : {};
    const traceId = textField(fields, 'trace_id');
    onTraceId(traceId);
    return { ...parseTag(textField(fields, 'tag')), traceId };
  }

  async #wanted(request: PrefetchRequest, signal: CancelSignal): Promise<readonly ImageBlob[]> {
    const { repository, tag } = request;
    const { blobs, tags, blobBytesMin = 0 } = this.options;
    const limit = this.options.blobBytesMax ?? 0;
    const blobBytesMax = limit === 0 ? BLOB_BYTES_MAX : limit;
    const name = tagName(repository, tag);
    const rethrow =
      (prefix: string) =>
      (thrown: unknown): never => {
        const error = asKrakenError(thrown, 'internal');
        throw new KrakenError(error.code, `${prefix}: ${error.message}`, { cause: thrown });
      };
    const digest = await tags.get(name, signal).catch(rethrow(`tag request: ${name}, failed to get tag`));
    const found = await imageBlobs(blobs, repository, digest, MANIFEST_BYTES_MAX, signal).catch(
      rethrow('failed to process manifest'),
    );
    return found.filter(({ size }) => size === undefined || (size >= blobBytesMin && size <= blobBytesMax));
  }

  async #prefetch(repository: string, wanted: readonly ImageBlob[], signal?: CancelSignal): Promise<void> {
    try {
      await forEachBounded(wanted, async ({ digest }) => {
        try {
          await this.options.prefetchBlob(repository, digest, signal);
        } catch (thrown) {
          const error = asKrakenError(thrown, 'internal');
          const what = `digest ${JSON.stringify(digest)}, namespace ${JSON.stringify(repository)}`;
          throw new KrakenError(error.code, `${what}, blob prefetch failure: ${error.message}`, { cause: thrown });
        }
      });
    } catch (thrown) {
      const error = asKrakenError(thrown, 'internal');
      const prefix = 'failed to trigger image prefetch: at least one layer could not be prefetched';
      throw new KrakenError(error.code, `${prefix}: ${error.message}`, { cause: thrown });
    }
  }

  #inBackground(repository: string, wanted: readonly ImageBlob[]): void {
    if (this.#background >= BACKGROUND_MAX)
      throw new KrakenError('queue-full', `${BACKGROUND_MAX} prefetches are running`);
    this.#background += 1;
    const run = async (): Promise<void> => {
      try {
        await this.#prefetch(repository, wanted);
      } catch (error) {
        this.options.metrics.count('prefetch_failed_total');
        this.options.logger.warn({ err: error, repository }, 'background prefetch failed');
      } finally {
        this.#background -= 1;
      }
    };
    void run();
  }
}
