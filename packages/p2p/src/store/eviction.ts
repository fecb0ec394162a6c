/**
 * Keeps the disk from filling: blobs too old or too long unused go on every sweep; above the high watermark the
 * least recently used go until the low one is reached. Also removes what crashes left behind. Owns the timer and
 * the order of eviction; deletion itself is the torrent table's. Source: spec origin-store-backends.md §5.5.
 *
 * Never evicts pinned blobs, open torrents, or a blob that is being worked on. Differs from Go: usage is that of the
 * cache's file system, and what is freed is counted from what is used, not from the size of the disk.
 */
import { stat, statfs } from 'node:fs/promises';
import type { Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { isMissing, onDisk } from './disk-error.js';
import { removeDirectory } from './durable.js';
import type { StateDirectory } from './layout.js';
import * as sidecars from './sidecars.js';
import type { StoreContext } from './store-context.js';

/** A level of use: bytes of the store's blobs, or percent (0–100) of the cache's file system. */
export type Watermark = { readonly bytes: number } | { readonly diskPercent: number };

/** When blobs are evicted. */
export interface CleanupOptions {
  /** Time between sweeps; 0 = none. Kraken: 30 min. */
  readonly intervalMs: number;
  /** Age by the data's modification time after which a blob goes; 0 = never. Kraken: never. */
  readonly ttlMs: number;
  /** Time since the last access after which a blob or partial download goes; 0 = never. Kraken: 6 h. */
  readonly idleMs: number;
  /** Replaces `ttlMs` while use is above the high watermark and there is no low one. Kraken: 1 h. */
  readonly aggressiveTtlMs: number;
  /** From here on space is freed. Absent: never. */
  readonly highWatermark?: Watermark;
  /** Space is freed down to here. Of the same kind as the high one. */
  readonly lowWatermark?: Watermark;
}

/** See the fields for where each comes from. */
export const DEFAULT_CLEANUP: CleanupOptions = {
  intervalMs: 1_800_000,
  ttlMs: 0,
  idleMs: 21_600_000,
  aggressiveTtlMs: 3_600_000,
};

/** What one cleanup did. */
export interface SweepResult {
  /** Blobs and partial downloads that went. */
  readonly evicted: number;
  /** Bytes on the disk. */
  readonly freedBytes: number;
}

/** What the sweeper asks of the store. */
export interface EvictionTarget {
  isOpen(digest: Digest): boolean;
  /** The caller holds the blob's lock. @throws KrakenError `blob-pinned` */
  removeLocked(digest: Digest): Promise<boolean>;
  /** Give up idle uploads. */
  expireUploads(): Promise<unknown>;
  evicted(digest: Digest): void;
}

/** A blob that a sweep may evict. */
interface Candidate {
  readonly digest: Digest;
  readonly bytes: number;
  readonly accessMs: number;
}

/** Shortest time between sweeps that growth asks for. Guess: 10 s. */
const PROMPT_SWEEP_MS = 10_000;

export class Sweeper {
  readonly #context: StoreContext;
  readonly #target: EvictionTarget;
  readonly #options: CleanupOptions;
  #timer: NodeJS.Timeout | undefined;
  #prompt: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #storedBytes = 0;
  #sweptAtMs = 0;
  #closed = false;

  /** @throws KrakenError `config-invalid` when the watermarks contradict each other */
  constructor(context: StoreContext, target: EvictionTarget, options: CleanupOptions) {
    checkWatermarks(options);
    this.#context = context;
    this.#target = target;
    this.#options = options;
  }

  start(): void {
    if (this.#options.intervalMs <= 0) return;
    this.#timer = setInterval(() => this.#sweepInBackground(), this.#options.intervalMs);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#prompt);
    // Whoever asked for the sweep has its error.
    await this.#running.catch(() => undefined);
  }

  /** One sweep now, after the one under way. @throws KrakenError `io-error` */
  sweep(): Promise<SweepResult> {
    return this.#alone(() => this.#sweep());
  }

  /** `bytes` were added: sweep soon when that reaches the high watermark. */
  grew(bytes: number): void {
    this.#storedBytes += bytes;
    const high = this.#options.highWatermark;
    if (high === undefined || this.#closed || this.#prompt !== undefined) return;
    if ('bytes' in high && this.#storedBytes < high.bytes) return;
    const delayMs = Math.max(0, this.#sweptAtMs + PROMPT_SWEEP_MS - this.#context.now());
    this.#prompt = setTimeout(() => {
      this.#prompt = undefined;
      this.#sweepInBackground();
    }, delayMs);
    this.#prompt.unref();
  }

  /**
   * Resolves when `bytes` are free on the cache's file system; with watermarks set, least recently used blobs make room.
   * @throws KrakenError `disk-full`
   */
  async makeRoom(bytes: number): Promise<void> {
    const { totalBytes, freeBytes: before } = await this.#disk();
    // Some network and FUSE file systems report a size of 0: nothing can be said about them.
    if (before >= bytes || totalBytes === 0) return;
    if (this.#options.highWatermark !== undefined) await this.#alone(() => this.#freeFor(bytes));
    const { freeBytes } = await this.#disk();
    if (freeBytes < bytes) {
      const says = `no room on the disk of the store: ${bytes} bytes are needed, ${freeBytes} are free`;
      throw new KrakenError('disk-full', says);
    }
  }

  /** Sweeps run one after the other. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#running.then(work, work);
    this.#running = result;
    // The caller of `sweep` gets the error; the chain must not count as unhandled.
    result.catch(() => undefined);
    return result;
  }

  #sweepInBackground(): void {
    this.sweep().catch((error: unknown) => this.#context.logger.error({ error }, 'cleaning up the store failed'));
  }

  async #sweep(): Promise<SweepResult> {
    const { now, metrics, logger } = this.#context;
    this.#sweptAtMs = now();
    await this.#target.expireUploads();
    const { highWatermark: high, lowWatermark: low } = this.#options;
    const disk = await this.#disk();
    const crowded = high !== undefined && 'diskPercent' in high && percentUsed(disk) >= high.diskPercent;
    const tally = new Tally();
    const scan = await this.#scan(
      crowded && low === undefined ? this.#options.aggressiveTtlMs : this.#options.ttlMs,
      tally,
    );
    metrics.gauge('store_disk_usage_bytes', scan.bytes);

    if (high !== undefined) {
      const excess = excessBytes(high, low, scan.bytes, disk, tally.freedBytes);
      if (excess > 0) await this.#evictOldest(scan.candidates, excess, tally);
    }
    this.#storedBytes = scan.bytes - tally.freedBytes;
    if (tally.evicted > 0) {
      metrics.count('store_evictions', tally.evicted);
      logger.info({ evicted: tally.evicted, freedBytes: tally.freedBytes }, 'blobs were evicted');
    }
    return { evicted: tally.evicted, freedBytes: tally.freedBytes };
  }

  async #freeFor(bytes: number): Promise<void> {
    const { freeBytes } = await this.#disk();
    if (freeBytes >= bytes) return;
    const tally = new Tally();
    const { candidates } = await this.#scan(this.#options.ttlMs, tally);
    const shortage = bytes - freeBytes - tally.freedBytes;
    if (shortage > 0) await this.#evictOldest(candidates, shortage, tally);
    this.#context.metrics.count('store_evictions', tally.evicted);
  }

  async #evictOldest(candidates: Candidate[], bytes: number, tally: Tally): Promise<void> {
    candidates.sort((a, b) => a.accessMs - b.accessMs);
    const enough = tally.freedBytes + bytes;
    for (const candidate of candidates) {
      if (tally.freedBytes >= enough || this.#closed) return;
      await this.#evict(candidate, tally);
    }
  }

  /** Evict what is expired and list the rest. `bytes`: all that was there before. */
  async #scan(ttlMs: number, tally: Tally): Promise<{ bytes: number; candidates: Candidate[] }> {
    const { cache, download, now } = this.#context;
    const candidates: Candidate[] = [];
    let bytes = 0;
    for (const state of download === undefined ? [cache] : [cache, download]) {
      for await (const digest of state.digests()) {
        if (this.#closed) return { bytes, candidates };
        const found = await onDisk('scan blobs', this.#look(state, digest));
        if (found === undefined) continue;
        bytes += found.bytes;
        const expired =
          (ttlMs > 0 && now() - found.modifiedMs > ttlMs) ||
          (this.#options.idleMs > 0 && now() - found.accessMs > this.#options.idleMs);
        if (expired) await this.#evict(found, tally);
        // Without a watermark nobody asks for them, and there may be a million.
        else if (this.#options.highWatermark !== undefined) candidates.push(found);
      }
    }
    return { bytes, candidates };
  }

  async #look(state: StateDirectory, digest: Digest): Promise<(Candidate & { modifiedMs: number }) | undefined> {
    const directory = state.blob(digest);
    try {
      const stats = await stat(state.data(digest));
      // A partial file is sparse: its length says nothing about the space it takes.
      const bytes = state === this.#context.cache ? stats.size : stats.blocks * 512;
      const accessMs = (await sidecars.readLastAccess(directory)) ?? stats.mtimeMs;
      return { digest, bytes, accessMs, modifiedMs: stats.mtimeMs };
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.#removeOrphan(state, digest);
      return undefined;
    }
  }

  /** Sidecars without data: a crash between copying them and renaming the data, or in the middle of a deletion. */
  async #removeOrphan(state: StateDirectory, digest: Digest): Promise<void> {
    if (this.#context.locks.isBusy(digest)) return;
    await this.#context.locks.run(digest, async () => {
      try {
        await stat(state.data(digest));
      } catch (error) {
        if (!isMissing(error)) throw error;
        await removeDirectory(state.blob(digest));
      }
    });
  }

  async #evict(candidate: Candidate, tally: Tally): Promise<void> {
    const { digest } = candidate;
    const { locks, logger } = this.#context;
    // Not waited for: whoever makes room may hold the lock of another blob.
    if (this.#target.isOpen(digest) || locks.isBusy(digest)) return;
    try {
      const removed = await locks.run(digest, () => this.#target.removeLocked(digest));
      if (!removed) return;
    } catch (error) {
      if (!isKrakenError(error, 'blob-pinned')) logger.warn({ digest, error }, 'evicting a blob failed');
      return;
    }
    tally.evicted++;
    tally.freedBytes += candidate.bytes;
    this.#target.evicted(digest);
  }

  async #disk(): Promise<Disk> {
    const { bsize, blocks, bfree, bavail } = await onDisk('measure disk', statfs(this.#context.cache.root));
    return { totalBytes: blocks * bsize, usedBytes: (blocks - bfree) * bsize, freeBytes: bavail * bsize };
  }
}

interface Disk {
  readonly totalBytes: number;
  readonly usedBytes: number;
  /** For us: without what is reserved for root. */
  readonly freeBytes: number;
}

class Tally {
  evicted = 0;
  freedBytes = 0;
}

function percentUsed(disk: Disk): number {
  return disk.totalBytes === 0 ? 0 : (100 * disk.usedBytes) / disk.totalBytes;
}

/** Bytes to free beyond `freed`, once `high` is reached. */
function excessBytes(high: Watermark, low: Watermark | undefined, stored: number, disk: Disk, freed: number): number {
  if ('bytes' in high) {
    const target = low !== undefined && 'bytes' in low ? low.bytes : high.bytes;
    return stored - freed >= high.bytes ? stored - freed - target : 0;
  }
  if (low === undefined || !('diskPercent' in low) || percentUsed(disk) < high.diskPercent) return 0;
  return disk.usedBytes - freed - (disk.totalBytes * low.diskPercent) / 100;
}

function checkWatermarks({ highWatermark: high, lowWatermark: low }: CleanupOptions): void {
  if (low === undefined) return;
  const fits =
    high !== undefined &&
    ('bytes' in high
      ? 'bytes' in low && low.bytes <= high.bytes
      : 'diskPercent' in low && low.diskPercent <= high.diskPercent);
  if (!fits)
    throw new KrakenError('config-invalid', 'the low watermark needs a high one of the same kind that is not below it');
}
