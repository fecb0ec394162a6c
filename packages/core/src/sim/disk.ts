/**
 * The disk of one node and the worker that hashes what is on it. Owns which pieces of which blobs are
 * there and what they truly contain. State changes happen at once; the host that asks adds the delays.
 *
 * Hashing follows the growing prefix of verified pieces on one worker per node, so a commit waits only for
 * what the worker has not reached yet. A power cut loses what was not synced, see {@link SimDisk.crash}.
 */
import { Bitfield, pieceCount, pieceLengthAt, type Digest, type MetaInfo } from '../content/index.js';
import type { Millis } from '../machine/index.js';
import type { Random } from '../random/index.js';

/** What the bytes of a piece are worth: right; wrong and seen by the piece sum; wrong with a right piece sum. */
export type PieceContent = 'good' | 'corrupt' | 'forged';

/** One blob on one disk. */
export interface SimFile {
  readonly metainfo: MetaInfo;
  /** Verified pieces. */
  have: Bitfield;
  /** Pieces with a right sum and wrong bytes; empty unless somebody forges. */
  readonly forged: Set<number>;
  /** Pieces whose bytes a crash now would lose. */
  unsynced: Bitfield;
  committed: boolean;
  /** The piece layer is here; nothing without a root. */
  hasLayer: boolean;
  /** Pieces that were doubted and not replaced yet; true for those that were forged. */
  readonly doubted: Map<number, boolean>;
  /** First piece that the hash worker has not been given. */
  prefix: number;
  /** When the worker is through with `prefix`. */
  hashedAt: Millis;
}

/** How fast and how large the disk is. */
export interface SimDiskOptions {
  /** Milliseconds of the worker per byte. */
  readonly hashMsPerByte: number;
  /** Bytes that fit. */
  readonly capacityBytes: number;
}

/** Files that are found without asking the map. Guess: more gain nothing. */
const RECENT_MAX = 4;

/** The disk of one node: what was synced survives a crash. */
export class SimDisk {
  readonly #options: SimDiskOptions;
  readonly #files = new Map<Digest, SimFile>();
  /** The last that the map was asked for: comparing a few names is cheaper. */
  readonly #recent: SimFile[] = [];
  #capacityBytes: number;
  #hashFreeAt: Millis = 0;
  #usedBytes = 0;

  constructor(options: SimDiskOptions) {
    this.#options = options;
    this.#capacityBytes = options.capacityBytes;
  }

  /** Room for new pieces from now on; what is there stays. */
  setCapacity(bytes: number): void {
    this.#capacityBytes = bytes;
  }

  /** The file of a blob; `undefined` when there is none. */
  file(digest: Digest): SimFile | undefined {
    for (const file of this.#recent) if (file.metainfo.digest === digest) return file;
    const file = this.#files.get(digest);
    if (file === undefined) return undefined;
    if (this.#recent.length === RECENT_MAX) this.#recent.shift();
    this.#recent.push(file);
    return file;
  }

  /** All blobs, whole or not. */
  files(): IterableIterator<SimFile> {
    return this.#files.values();
  }

  /** Bytes of all files. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Put a whole, verified blob there, as an upload to an origin would have. */
  seed(metainfo: MetaInfo): void {
    const pieces = pieceCount(metainfo);
    this.#files.set(metainfo.digest, {
      metainfo,
      have: Bitfield.full(pieces),
      forged: new Set(),
      unsynced: new Bitfield(pieces),
      committed: true,
      hasLayer: true,
      doubted: new Map(),
      prefix: pieces,
      hashedAt: 0,
    });
    this.#recent.length = 0;
    this.#usedBytes += metainfo.length;
  }

  /** Create or resume. A resumed file is hashed from its first byte: the worker's state was in memory. */
  open(metainfo: MetaInfo, now: Millis): SimFile {
    let file = this.file(metainfo.digest);
    if (file === undefined) {
      file = {
        metainfo,
        have: new Bitfield(pieceCount(metainfo)),
        forged: new Set(),
        unsynced: new Bitfield(pieceCount(metainfo)),
        committed: false,
        hasLayer: false,
        doubted: new Map(),
        prefix: 0,
        hashedAt: now,
      };
      this.#files.set(metainfo.digest, file);
    }
    this.#hashPrefix(file, now);
    return file;
  }

  /** @returns what the check on the way says; only `ok` leaves something on the disk */
  store(
    digest: Digest,
    piece: number,
    content: PieceContent,
    now: Millis,
  ): 'ok' | 'bad-sum' | 'forged' | 'disk-full' | 'io-error' {
    const file = this.file(digest);
    if (file === undefined) return 'io-error';
    if (content === 'corrupt') return 'bad-sum';
    if (content === 'forged' && file.metainfo.piecesRoot !== undefined) return 'forged';
    if (file.have.has(piece)) return 'ok';
    const length = pieceLengthAt(file.metainfo, piece);
    if (this.#usedBytes + length > this.#capacityBytes) return 'disk-full';
    this.#usedBytes += length;
    file.have.set(piece);
    file.unsynced.set(piece);
    if (content === 'forged') file.forged.add(piece);
    this.#hashPrefix(file, now);
    return 'ok';
  }

  /** When the worker has hashed all that is there of the prefix. */
  hashedAt(digest: Digest): Millis {
    return this.file(digest)?.hashedAt ?? 0;
  }

  /** How a piece that has just been stored compares with what was doubted there; once. */
  replaced(digest: Digest, piece: number): 'same' | 'different' | undefined {
    const file = this.file(digest);
    const wasForged = file?.doubted.get(piece);
    if (file === undefined || wasForged === undefined) return undefined;
    file.doubted.delete(piece);
    return wasForged === file.forged.has(piece) ? 'same' : 'different';
  }

  /**
   * @param doubts pieces that are forgotten when the bytes are not what the digest names; without them the file is dropped
   * @returns false when they are not
   */
  commit(digest: Digest, doubts?: Bitfield): boolean {
    const file = this.file(digest);
    if (file === undefined) return false;
    if (!file.have.isComplete || file.forged.size > 0) {
      if (doubts === undefined) this.delete(digest);
      else this.#doubt(file, doubts);
      return false;
    }
    file.committed = true;
    file.unsynced = new Bitfield(file.have.length);
    return true;
  }

  /** Drop a file; false when there was none. */
  delete(digest: Digest): void {
    const file = this.file(digest);
    if (file === undefined) return;
    for (const piece of file.have) this.#usedBytes -= pieceLengthAt(file.metainfo, piece);
    this.#files.delete(digest);
    this.#recent.length = 0;
  }

  /** Power is cut: each unsynced piece survives or not, and the worker starts over. */
  crash(random: Random): void {
    this.#hashFreeAt = 0;
    for (const file of this.#files.values()) {
      if (file.committed) continue;
      for (const piece of file.unsynced) {
        if (random.below(2) === 0) continue;
        file.have.clear(piece);
        file.forged.delete(piece);
        this.#usedBytes -= pieceLengthAt(file.metainfo, piece);
      }
      file.unsynced = new Bitfield(file.have.length);
      file.doubted.clear();
      file.prefix = 0;
      file.hashedAt = 0;
    }
  }

  #doubt(file: SimFile, doubts: Bitfield): void {
    for (const piece of doubts) {
      if (!file.have.clear(piece)) continue;
      file.doubted.set(piece, file.forged.delete(piece));
      this.#usedBytes -= pieceLengthAt(file.metainfo, piece);
    }
    file.prefix = 0;
    file.hashedAt = 0;
  }

  #hashPrefix(file: SimFile, now: Millis): void {
    let bytes = 0;
    while (file.have.has(file.prefix)) {
      bytes += pieceLengthAt(file.metainfo, file.prefix);
      file.prefix++;
    }
    if (bytes === 0) return;
    this.#hashFreeAt = Math.max(this.#hashFreeAt, now) + bytes * this.#options.hashMsPerByte;
    file.hashedAt = this.#hashFreeAt;
  }
}
