/**
 * Torrent files that the machine has open, with the users of each: transfers and readers keep a file open after
 * the machine let it go. Owns the holds; never opens or deletes anything itself.
 */
import type { Digest } from '@kraken/core/content';
import type { TorrentFile } from '../store/piece-store.js';

/** One open file and its users. The store's hold is released with the last of them. */
export class HeldFile {
  readonly file: TorrentFile;
  /** For which the torrent was opened; transfers draw from its share of the bandwidth. */
  readonly namespace: string;
  /** Pieces that are being received right now: two payloads must never write the same bytes. */
  readonly receiving = new Set<number>();
  #users = 1;

  /** Held once, by the caller. */
  constructor(file: TorrentFile, namespace: string) {
    this.file = file;
    this.namespace = namespace;
  }

  use(): this {
    this.#users++;
    return this;
  }

  done(): void {
    this.#users--;
    if (this.#users === 0) this.file.release();
  }
}

export class TorrentTable {
  readonly #open = new Map<Digest, HeldFile>();
  readonly #line = new Map<Digest, Set<(held: HeldFile) => void>>();

  get size(): number {
    return this.#open.size;
  }

  get(digest: Digest): HeldFile | undefined {
    return this.#open.get(digest);
  }

  /** Take over a hold of the store's. */
  add(digest: Digest, file: TorrentFile, namespace: string): HeldFile {
    this.#open.get(digest)?.done();
    const held = new HeldFile(file, namespace);
    this.#open.set(digest, held);
    const line = this.#line.get(digest);
    this.#line.delete(digest);
    if (line !== undefined) for (const opened of line) opened(held);
    return held;
  }

  /** The machine's hold ends. */
  drop(digest: Digest): void {
    const held = this.#open.get(digest);
    this.#open.delete(digest);
    held?.done();
  }

  /** Call `opened` when the file is there. @returns how to leave the line */
  whenOpen(digest: Digest, opened: (held: HeldFile) => void): () => void {
    const line = this.#line.get(digest) ?? new Set();
    this.#line.set(digest, line);
    line.add(opened);
    return () => {
      line.delete(opened);
      if (line.size === 0 && this.#line.get(digest) === line) this.#line.delete(digest);
    };
  }

  dropAll(): void {
    for (const digest of [...this.#open.keys()]) this.drop(digest);
  }
}
