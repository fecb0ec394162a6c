/**
 * Preheat: another registry notifies us of pushes, and the origins fetch the image at once. Owns the notification shape
 * and a bounded queue of work. Source: spec index-proxy-registry-config.md §3.6; vectors replication.json `proxy`.
 *
 * Differs from Go: the answer does not wait for the work, an event without target is skipped, a body that is no JSON is 400.
 */
import { parseDigest, type Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { isRepository, MANIFEST_BYTES_MAX } from '@kraken/core/oci';
import type { BlobSource, Logger } from '@kraken/core/ports';
import { setTimeout as sleep } from 'node:timers/promises';
import { readBody, sendEmpty, type RequestContext } from '../http/index.js';
import { imageBlobs } from './image-blobs.js';
import type { PrefetchBlob } from './prefetch.js';

export interface PreheatOptions {
  readonly blobs: BlobSource;
  /** As for prefetch. */
  readonly prefetchBlob: PrefetchBlob;
  readonly logger: Logger;
  /** Events waiting or in work; more are answered 503, so that the registry notifies again. Default 1,000. */
  readonly eventsMax?: number;
  /** Waits between tries while the manifest is not readable yet: registries notify early. Default 100, 200, 400 ms. */
  readonly retryDelaysMs?: readonly number[];
}

interface PushEvent {
  readonly repository: string;
  readonly digest: Digest;
}

const BODY_BYTES_MAX = 4_194_304;
const IMAGE_TYPE =
  /^application\/vnd\.(?:docker\.distribution\.manifest\.v\d\+(?:json|prettyjws)|oci\.image\.manifest\.v1\+json)/;

/** The value of a key whatever its case. */
function field(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).findLast(([name]) => name.toLowerCase() === key)?.[1];
}

/** Pushes of image manifests; lists are left out because their children are notified on their own. */
function pushesOf(envelope: unknown): readonly PushEvent[] {
  const events = field(envelope, 'events');
  if (!Array.isArray(events)) return [];
  return events.flatMap((event: unknown) => {
    const target = field(event, 'target');
    const [mediaType, digest, repository] = ['mediatype', 'digest', 'repository'].map((key) => field(target, key));
    if (field(event, 'action') !== 'push' || typeof mediaType !== 'string' || !IMAGE_TYPE.test(mediaType)) return [];
    if (typeof digest !== 'string' || typeof repository !== 'string' || !isRepository(repository)) return [];
    try {
      return [{ repository, digest: parseDigest(digest) }];
    } catch {
      // An event about content that we cannot name is not for us.
      return [];
    }
  });
}

/** The notification endpoint and its queue. One per proxy. */
export class Preheater {
  readonly #queue: PushEvent[] = [];
  #running = false;
  readonly #stop = new AbortController();

  constructor(private readonly options: PreheatOptions) {}

  /** `POST /registry/notifications`. */
  async handle(context: RequestContext): Promise<void> {
    const body = await readBody(context.req, BODY_BYTES_MAX);
    let envelope: unknown;
    try {
      envelope = JSON.parse(body.toString('utf8'));
    } catch (error) {
      throw new KrakenError(
        'request-invalid',
        `decode body: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
    const pushes = pushesOf(envelope);
    const { eventsMax = 1_000 } = this.options;
    if (this.#queue.length + pushes.length > eventsMax)
      throw new KrakenError('queue-full', `${eventsMax} notifications are waiting`);
    this.#queue.push(...pushes);
    void this.#work();
    sendEmpty(context, 200);
  }

  /** Drop what waits and end what runs. */
  close(): void {
    this.#queue.length = 0;
    this.#stop.abort(new KrakenError('shutting-down'));
  }

  async #work(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
      try {
        await this.#preheat(event);
      } catch (error) {
        this.options.logger.warn({ err: error, ...event }, 'preheat failed');
      }
    }
    this.#running = false;
  }

  async #preheat({ repository, digest }: PushEvent): Promise<void> {
    const { blobs, prefetchBlob, retryDelaysMs = [100, 200, 400] } = this.options;
    const { signal } = this.#stop;
    for (let attempt = 0; ; attempt += 1) {
      try {
        const found = await imageBlobs(blobs, repository, digest, MANIFEST_BYTES_MAX, signal);
        for (const blob of found) if (blob.digest !== digest) await prefetchBlob(repository, blob.digest, signal);
        return;
      } catch (error) {
        const delayMs = retryDelaysMs[attempt];
        if (delayMs === undefined || !isKrakenError(error, 'manifest-unknown')) throw error;
        await sleep(delayMs, undefined, { signal });
      }
    }
  }
}
