/**
 * Notices that certificate files have changed, and has what depends on them made anew. Looks at modification times,
 * because watches miss replaced links and network file systems. Owns the timer; never reads a certificate.
 */
import { statSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Logger } from '@kraken/core/ports';

export class TlsReloader {
  readonly #files: readonly string[];
  readonly #logger: Logger;
  readonly #users: { readonly what: string; readonly reload: () => void }[] = [];
  readonly #timer: NodeJS.Timeout | undefined;
  #seen: string;
  /** The look that ends last. */
  #last = Promise.resolve();
  #looks = 0;

  /**
   * Make it before the files are read for the first time: what changes from now on is noticed.
   * @param intervalMs between looks
   */
  constructor(files: readonly string[], intervalMs: number, logger: Logger) {
    this.#files = files;
    this.#logger = logger;
    this.#seen = files.map((file) => stampOf(() => statSync(file))).join(SEPARATOR);
    if (files.length === 0) return;
    this.#timer = setInterval(() => void (this.#looks === 0 && this.check()), intervalMs);
    this.#timer.unref();
  }

  /** `reload` reads the files; when it throws, what was there before stays. */
  add(what: string, reload: () => void): void {
    this.#users.push({ what, reload });
  }

  /** Look now, after looks that are under way: they may have missed what changed since. */
  check(): Promise<void> {
    this.#looks++;
    this.#last = this.#last.then(() => this.#check()).finally(() => this.#looks--);
    return this.#last;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    const stamp = await this.#stamp();
    if (stamp === this.#seen) return;
    this.#seen = stamp;
    for (const { what, reload } of this.#users) {
      try {
        reload();
        this.#logger.info({ what }, 'certificates reloaded');
      } catch (error) {
        // Half a renewal, most likely: the other half changes a file again.
        this.#logger.error({ err: error, what }, 'new certificates cannot be used; the old ones stay');
      }
    }
  }

  async #stamp(): Promise<string> {
    const stats = await Promise.allSettled(this.#files.map((file) => stat(file)));
    return stats
      .map((result) =>
        stampOf(() => {
          if (result.status === 'rejected') throw result.reason;
          return result.value;
        }),
      )
      .join(SEPARATOR);
  }
}

const SEPARATOR = '|';

/** Changes whenever a file does; a link counts as what it points to. */
function stampOf(look: () => Stats): string {
  try {
    const { mtimeMs, size, ino } = look();
    return `${mtimeMs} ${size} ${ino}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
