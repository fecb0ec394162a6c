/**
 * A file of lines: appended in batches, bounded in bytes. Owns the file. Never holds the node up or brings it down:
 * when the file cannot be written, it ends and the log says so.
 *
 * Batches are written synchronously, 64 KiB into the page cache: what a crashing process has not handed over is lost,
 * and the last lines are the ones that matter.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { KrakenError } from '@kraken/core/errors';
import type { Logger } from '@kraken/core/ports';
import type { Clock } from './clock.js';

export interface LineFileOptions {
  readonly path: string;
  readonly sizeLimitBytes: number;
  /**
   * What happens at the limit: the file ends with `lastLine`, or is kept as `<path>.previous` while a new one
   * begins. A file that ends is also kept so when the next one is opened; one that goes on is appended to.
   */
  readonly atLimit: { readonly lastLine: string } | 'begin-anew';
  /** For messages. */
  readonly what: string;
}

const BATCH_BYTES = 64 * 1024;
/** Longest stay of a line in memory. Guess. */
const FLUSH_MS = 200;

export class LineFile {
  readonly #options: LineFileOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #onExit = (): void => this.close();
  #descriptor: number | undefined;
  #batch = '';
  #batchBytes = 0;
  /** Of the file, with what waits. */
  #bytes: number;
  #cancelFlush: (() => void) | undefined;

  /** @throws KrakenError `config-invalid` when the file cannot be made */
  constructor(options: LineFileOptions, logger: Logger, clock: Clock) {
    this.#options = options;
    this.#logger = logger;
    this.#clock = clock;
    try {
      if (options.atLimit !== 'begin-anew') this.#setAside();
      this.#descriptor = this.#open();
      this.#bytes = fstatSync(this.#descriptor).size;
    } catch (cause) {
      throw new KrakenError('config-invalid', `${options.what}: cannot write ${options.path}: ${String(cause)}`, {
        cause,
      });
    }
    // Also when the process ends by an error that nobody caught.
    process.once('exit', this.#onExit);
  }

  /** Take a line. @returns false when the file has ended */
  append(line: string): boolean {
    if (this.#descriptor === undefined) return false;
    const bytes = Buffer.byteLength(line) + 1;
    if (!this.#hasRoom(bytes) && !this.#beginAnew()) return false;
    this.#batch += `${line}\n`;
    this.#batchBytes += bytes;
    this.#bytes += bytes;
    if (this.#batchBytes >= BATCH_BYTES) this.flush();
    else this.#cancelFlush ??= this.#clock.after(FLUSH_MS, () => this.flush(), { background: true });
    return true;
  }

  /** Hand everything to the kernel. */
  flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    if (this.#descriptor === undefined || this.#batch === '') return;
    const bytes = Buffer.from(this.#batch);
    this.#batch = '';
    this.#batchBytes = 0;
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#descriptor, bytes, at);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** No more lines. Safe to call twice. */
  close(): void {
    this.flush();
    if (this.#descriptor === undefined) return;
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    process.off('exit', this.#onExit);
    closeSync(descriptor);
  }

  #hasRoom(bytes: number): boolean {
    const { atLimit, sizeLimitBytes } = this.#options;
    const reserved = atLimit === 'begin-anew' ? 0 : Buffer.byteLength(atLimit.lastLine) + 1;
    return this.#bytes + bytes + reserved <= sizeLimitBytes;
  }

  /** @returns false when the file ends instead */
  #beginAnew(): boolean {
    const { atLimit, path, what } = this.#options;
    if (atLimit !== 'begin-anew') {
      this.#batch += `${atLimit.lastLine}\n`;
      this.close();
      this.#logger.warn({ path, bytes: this.#bytes }, `${what}: the file is full and ends`);
      return false;
    }
    this.flush();
    try {
      this.#setAside();
      const full = this.#descriptor;
      this.#descriptor = this.#open();
      this.#bytes = 0;
      if (full !== undefined) closeSync(full);
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  #open(): number {
    // Names of repositories and addresses of hosts are nobody else's business.
    return openSync(this.#options.path, 'a', 0o600);
  }

  #setAside(): void {
    const { path } = this.#options;
    try {
      renameSync(path, `${path}.previous`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  #failed(error: unknown): void {
    const { path, what } = this.#options;
    this.#logger.error({ err: error, path }, `${what}: the file cannot be written and ends`);
    this.#batch = '';
    this.close();
  }
}
