/**
 * When blobs were last used, with a resolution of five minutes so that reads do not write. Owns what this
 * process has touched; the truth is the `_last_access_time` sidecar. Source: spec origin-store-backends.md §5.4.
 */
import type { Digest } from '@kraken/core/content';
import type { Logger } from '@kraken/core/ports';
import { isMissing } from './disk-error.js';
import type { KeyedLock } from './keyed-lock.js';
import { readLastAccess, writeLastAccess } from './sidecars.js';

/** Kraken's resolution. */
const RESOLUTION_MS = 300_000;
/** Blobs remembered; a forgotten one costs a read of its sidecar. */
const REMEMBERED_MAX = 50_000;

export class AccessTimes {
  readonly #locks: KeyedLock<Digest>;
  readonly #now: () => number;
  readonly #logger: Logger;
  readonly #touched = new Map<Digest, number>();

  constructor(locks: KeyedLock<Digest>, now: () => number, logger: Logger) {
    this.#locks = locks;
    this.#now = now;
    this.#logger = logger;
  }

  /** The blob in `directory` is in use now. Returns at once; a failed write is logged. */
  touch(digest: Digest, directory: string): void {
    const now = this.#now();
    const last = this.#touched.get(digest);
    if (last !== undefined && now - last < RESOLUTION_MS) return;
    this.remember(digest, now);
    this.#locks
      .run(digest, () => this.#write(directory, now))
      .catch((error: unknown) => {
        if (!isMissing(error)) this.#logger.warn({ digest, error }, 'recording the access time failed');
      });
  }

  /** The sidecar was just written with `nowMs`. */
  remember(digest: Digest, nowMs: number): void {
    this.#touched.delete(digest);
    this.#touched.set(digest, nowMs);
    if (this.#touched.size <= REMEMBERED_MAX) return;
    const [oldest] = this.#touched.keys();
    if (oldest !== undefined) this.#touched.delete(oldest);
  }

  forget(digest: Digest): void {
    this.#touched.delete(digest);
  }

  async #write(directory: string, now: number): Promise<void> {
    const stored = await readLastAccess(directory);
    if (stored === undefined || now - stored >= RESOLUTION_MS) await writeLastAccess(directory, now);
  }
}
