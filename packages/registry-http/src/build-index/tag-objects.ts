/** Tags in the storage backend: objects named by the tag whose content is the digest. Owns a short cache of answers. */
import type { TagName } from '@kraken/core/build-index';
import { detached, type Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { BackendManager, CancelSignal } from '@kraken/core/ports';
import { ExpiringMap } from '../expiring-map.js';
import type { Clock } from '../retry/index.js';
import { digestOfTagObject } from './tag-store.js';

/** A digest has 71 bytes. */
const OBJECT_MAX_BYTES = 1024;

/** Storage does not have it. */
const MISSING = Symbol('missing');

export class TagObjects {
  readonly #backends: BackendManager;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #cache = new ExpiringMap<string, Digest | typeof MISSING>(100_000);
  readonly #reading = new Map<string, Promise<Digest | undefined>>();

  constructor(options: { backends: BackendManager; clock: Clock; ttlMs: number }) {
    this.#backends = options.backends;
    this.#clock = options.clock;
    this.#ttlMs = options.ttlMs;
  }

  /** `undefined`: storage does not have it. @throws KrakenError `backend-no-match`, `storage-unavailable`, `io-error` */
  get(tag: TagName): Promise<Digest | undefined> {
    const cached = this.#cache.get(tag, this.#clock.nowMs());
    if (cached !== undefined) return Promise.resolve(cached === MISSING ? undefined : cached);
    let reading = this.#reading.get(tag);
    if (reading === undefined) {
      reading = this.read(tag).finally(() => this.#reading.delete(tag));
      this.#reading.set(tag, reading);
      reading.then(
        (digest) => {
          // A put meanwhile has taken this read out: its answer may be old.
          const nowMs = this.#clock.nowMs();
          if (this.#reading.get(tag) === reading)
            this.#cache.set(detached(tag), digest ?? MISSING, nowMs, nowMs + this.#ttlMs);
        },
        () => {
          // The reader gets the error; errors are not remembered.
        },
      );
    }
    return reading;
  }

  /** Like `get`, past the cache. */
  async read(tag: TagName, signal?: CancelSignal): Promise<Digest | undefined> {
    try {
      const { stream } = await this.#backends.forNamespace(tag).download(tag, tag, signal);
      const chunks: Uint8Array[] = [];
      let length = 0;
      for await (const chunk of stream) {
        length += chunk.length;
        if (length > OBJECT_MAX_BYTES) throw new KrakenError('io-error', `storage: tag ${tag} holds no digest`);
        chunks.push(Uint8Array.from(chunk));
      }
      return digestOfTagObject(tag, Buffer.concat(chunks));
    } catch (error) {
      if (isKrakenError(error, 'blob-unknown')) return undefined;
      throw error;
    }
  }

  /** @throws KrakenError `backend-no-match`, `storage-unavailable` */
  async has(tag: TagName): Promise<boolean> {
    try {
      await this.#backends.forNamespace(tag).stat(tag, tag);
      return true;
    } catch (error) {
      if (isKrakenError(error, 'blob-unknown')) return false;
      throw error;
    }
  }

  async write(tag: TagName, digest: Digest, signal?: CancelSignal): Promise<void> {
    const bytes = Buffer.from(digest);
    await this.#backends.forNamespace(tag).upload(
      tag,
      tag,
      {
        length: bytes.length,
        async *open() {
          await Promise.resolve();
          yield bytes;
        },
      },
      signal,
    );
    this.forget(tag);
  }

  forget(tag: TagName): void {
    this.#cache.delete(tag);
    this.#reading.delete(tag);
  }
}
