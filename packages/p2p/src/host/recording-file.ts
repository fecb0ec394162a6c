/**
 * The recording of a node on disk: lines appended in batches, bounded in bytes. Owns the file. Never holds the node
 * up or brings it down: when the file is full or cannot be written, recording ends and the log says so.
 *
 * Batches are written synchronously, 64 KiB into the page cache: what a crashing process has not handed over is lost,
 * and the last steps are the ones that matter.
 */
import { closeSync, existsSync, openSync, renameSync, writeSync } from 'node:fs';
import { KrakenError } from '@kraken/core/errors';
import { recordingEnd } from '@kraken/core/machine';
import type { Logger } from '@kraken/core/ports';
import type { Clock } from './clock.js';

export interface RecordOptions {
  /** JSON lines. A file that is there is kept as `<path>.previous`. */
  readonly path: string;
  /** Recording ends when the file is so long. Default 256 MiB: some hours of a busy agent. Guess. */
  readonly sizeLimitBytes?: number;
}

const SIZE_LIMIT_BYTES = 256 * 2 ** 20;
const BATCH_BYTES = 64 * 1024;
/** Longest stay of a line in memory. Guess. */
const FLUSH_MS = 200;

export class RecordingFile {
  readonly #path: string;
  readonly #limitBytes: number;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #onExit = (): void => this.close();
  #descriptor: number | undefined;
  #batch = '';
  #batchBytes = 0;
  /** Written or waiting. */
  #bytes = 0;
  #cancelFlush: (() => void) | undefined;

  /** @throws KrakenError `config-invalid` when the file cannot be made */
  constructor(options: RecordOptions, logger: Logger, clock: Clock) {
    this.#path = options.path;
    this.#limitBytes = options.sizeLimitBytes ?? SIZE_LIMIT_BYTES;
    this.#logger = logger;
    this.#clock = clock;
    try {
      // What the last run left may be what somebody needs to see why it ended.
      if (existsSync(this.#path)) renameSync(this.#path, `${this.#path}.previous`);
      this.#descriptor = openSync(this.#path, 'wx', 0o600);
    } catch (cause) {
      throw new KrakenError('config-invalid', `cannot record to ${this.#path}: ${String(cause)}`, { cause });
    }
    // Also when the process ends by an error that nobody caught.
    process.once('exit', this.#onExit);
  }

  /** Take a line. @returns false when recording has ended */
  append(line: string): boolean {
    if (this.#descriptor === undefined) return false;
    const last = `${recordingEnd('limit')}\n`;
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#bytes + bytes + last.length > this.#limitBytes) {
      this.#batch += last;
      this.#logger.warn({ path: this.#path, bytes: this.#bytes }, 'the recording is full and ends');
      this.close();
      return false;
    }
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
      this.#logger.error({ err: error, path: this.#path }, 'the recording cannot be written and ends');
      this.close();
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
}
