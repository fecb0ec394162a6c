/**
 * Notices that certificate files have changed, and has what depends on them made anew. Looks at modification times,
 * because watches miss replaced links and network file systems. Owns the timer; never reads a certificate.
 */
import { stat } from 'node:fs/promises';
import type { Logger } from '@kraken/core/ports';

export class TlsReloader {
  readonly #files: readonly string[];
  readonly #logger: Logger;
  readonly #users: { readonly what: string; readonly reload: () => void }[] = [];
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #first: Promise<void>;
  #seen = '';
  #checking: Promise<void> | undefined;

  /** @param intervalMs between looks */
  constructor(files: readonly string[], intervalMs: number, logger: Logger) {
    this.#files = files;
    this.#logger = logger;
    this.#first = this.#stamp().then((stamp) => {
      this.#seen = stamp;
    });
    if (files.length === 0) return;
    this.#timer = setInterval(() => void this.check(), intervalMs);
    this.#timer.unref();
  }

  /** `reload` reads the files; when it throws, what was there before stays. */
  add(what: string, reload: () => void): void {
    this.#users.push({ what, reload });
  }

  /** Look now. Looks do not overlap. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    await this.#first;
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

  /** Changes whenever a file does; a link counts as what it points to. */
  async #stamp(): Promise<string> {
    const stamps = this.#files.map(async (file) => {
      try {
        const { mtimeMs, size, ino } = await stat(file);
        return `${mtimeMs} ${size} ${ino}`;
      } catch (error) {
        return String((error as NodeJS.ErrnoException).code);
      }
    });
    return (await Promise.all(stamps)).join('|');
  }
}
