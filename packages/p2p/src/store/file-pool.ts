/**
 * Open descriptors under one limit. A pooled file opens when it is first used and stays open; idle ones are
 * closed in order of last use when the limit is reached, and reopen by themselves. Owns every data and status
 * descriptor of a store but those of single fsyncs.
 *
 * Never closes a descriptor that is in use: a holder of `acquire` keeps reading also after the file was unlinked.
 */
import { close, open } from 'node:fs';
import { KrakenError } from '@kraken/core/errors';
import type { Logger, Metrics } from '@kraken/core/ports';
import { diskError } from './disk-error.js';

export class FilePool {
  /** Open descriptors at any time. */
  readonly max: number;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  /** Open or opening, in use or not. */
  #open = 0;
  /** Open and unused; least recently used first. */
  readonly #idle = new Set<PooledFile>();
  /** Those that were idle at the last {@link closeRested} and have not been used since. */
  #resting = new Set<PooledFile>();

  constructor(max: number, logger: Logger, metrics: Metrics) {
    this.max = max;
    this.#logger = logger;
    this.#metrics = metrics;
  }

  /** Number of open descriptors. */
  get openCount(): number {
    return this.#open;
  }

  /** A file that opens on first use. */
  file(path: string, flags: 'r' | 'r+'): PooledFile {
    return new PooledFile(this, path, flags);
  }

  /** Close what is idle. Descriptors in use close with their last user. */
  close(): void {
    for (const file of this.#idle) file.closeIdle();
  }

  /** Close what has been idle since the last call, so that descriptors follow the work and not all blobs ever used. */
  closeRested(): void {
    for (const file of this.#resting) file.closeIdle();
    this.#resting = new Set(this.#idle);
  }

  /** For PooledFile. @throws KrakenError `queue-full` */
  reserve(): void {
    if (this.#open >= this.max) {
      const [oldest] = this.#idle;
      if (oldest === undefined) {
        throw new KrakenError('queue-full', `all ${this.max} file descriptors of the store are in use`);
      }
      this.#metrics.count('store_descriptors_recycled');
      oldest.closeIdle();
    }
    this.#open++;
  }

  /** For PooledFile. */
  unreserve(): void {
    this.#open--;
  }

  /** For PooledFile: now unused. */
  idled(file: PooledFile): void {
    this.#idle.add(file);
  }

  /** For PooledFile: used again, or closed. */
  unidled(file: PooledFile): void {
    this.#idle.delete(file);
    this.#resting.delete(file);
  }

  /** For PooledFile: close a descriptor that nobody uses. */
  closeDescriptor(fd: number, path: string): void {
    this.#open--;
    close(fd, (error) => {
      if (error !== null) this.#logger.warn({ path, error }, 'closing a file failed');
    });
  }
}

/** One file of a {@link FilePool}. */
export class PooledFile {
  readonly #pool: FilePool;
  readonly #flags: 'r' | 'r+';
  #path: string;
  #fd = -1;
  #users = 0;
  #opening: Promise<void> | undefined;
  #detached = false;

  /** Use {@link FilePool.file}. */
  constructor(pool: FilePool, path: string, flags: 'r' | 'r+') {
    this.#pool = pool;
    this.#path = path;
    this.#flags = flags;
  }

  /** Where it would be reopened. */
  get path(): string {
    return this.#path;
  }

  /** True when it takes no descriptor. */
  get isClosed(): boolean {
    return this.#fd === -1 && this.#opening === undefined;
  }

  /** The descriptor, if it is open; then `release` is owed. -1 otherwise: use {@link acquire}. */
  tryAcquire(): number {
    if (this.#fd !== -1) this.#use();
    return this.#fd;
  }

  /**
   * The descriptor; `release` is owed once for every success.
   * @throws KrakenError `queue-full`, `removed` (detached), `io-error`; a missing file gives the raw ENOENT error
   */
  async acquire(): Promise<number> {
    this.#use();
    if (this.#fd === -1) {
      try {
        await this.#openOnce();
      } catch (error) {
        this.#users--;
        throw error;
      }
    }
    return this.#fd;
  }

  release(): void {
    this.#users--;
    if (this.#users > 0) return;
    if (this.#detached) this.#close();
    else this.#pool.idled(this);
  }

  /** The file was renamed: descriptors stay good, a later reopening uses the new path. */
  moved(path: string): void {
    this.#path = path;
  }

  /** The file was unlinked, or its owner is done with it: closes with the last user and never reopens. */
  detach(): void {
    this.#detached = true;
    if (this.#users === 0 && this.#fd !== -1) {
      this.#pool.unidled(this);
      this.#close();
    }
  }

  /** For the pool: give the descriptor up; nobody uses it. */
  closeIdle(): void {
    this.#pool.unidled(this);
    this.#close();
  }

  #use(): void {
    if (this.#users === 0) this.#pool.unidled(this);
    this.#users++;
  }

  #openOnce(): Promise<void> {
    if (this.#detached) return Promise.reject(new KrakenError('removed', 'the file is no longer there'));
    this.#opening ??= this.#openFile().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Those who wait are counted as users already, so the fresh descriptor cannot be recycled under them. */
  #openFile(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pool.reserve();
      open(this.#path, this.#flags, (error, fd) => {
        if (error === null) {
          this.#fd = fd;
          resolve();
        } else {
          this.#pool.unreserve();
          reject(error.code === 'ENOENT' ? error : diskError(error, 'open blob file'));
        }
      });
    });
  }

  #close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    this.#pool.closeDescriptor(fd, this.#path);
  }
}
