/**
 * A torrent as the source of one in-order reader: verified pieces only, waiting for those that are missing, the
 * end withheld until the commit unless a part of a blob with a root is read: its pieces are proven one by one. Owns the failure that ended its pull; moves no bytes (`blob-stream.ts` does).
 */
import type { Interrupt } from './interrupt.js';
import type { StreamSource } from './blob-stream.js';

/** Pieces looked at for one chunk, so that tiny pieces cannot make a long loop. */
const RUN_PIECES_MAX = 256;

/** Someone who waits for a piece or for the commit. */
export interface Waiter {
  readonly resolve: (value: undefined) => void;
  readonly reject: (error: Error) => void;
}

/** What a source needs of its torrent. */
export interface StreamedTorrent {
  readonly length: number;
  readonly pieceLength: number;
  readonly committed: boolean;
  /** Each verified piece is proven to belong to the blob. */
  readonly proven: boolean;
  has(piece: number): boolean;
  acquireForReading(): Promise<number>;
  releaseFromReading(): void;
  /** Why readers that started before `since` can wait no more. */
  failureSince(since: number): Error | undefined;
  /** Number of times that readers were failed so far. */
  readonly failures: number;
  waitForPiece(piece: number, waiter: Waiter): () => void;
  waitForCommit(waiter: Waiter): () => void;
}

export class TorrentSource implements StreamSource {
  readonly length: number;
  readonly #torrent: StreamedTorrent;
  readonly #onNeed: ((piece: number) => void) | undefined;
  readonly #since: number;
  readonly #isPart: boolean;

  /** @param start first byte that is read */
  constructor(torrent: StreamedTorrent, start: number, onNeed: ((piece: number) => void) | undefined) {
    this.#torrent = torrent;
    this.#isPart = start > 0;
    this.length = torrent.length;
    this.#onNeed = onNeed;
    this.#since = torrent.failures;
  }

  get isSealed(): boolean {
    return this.#torrent.committed || (this.#isPart && this.#torrent.proven);
  }

  acquire(): Promise<number> {
    return this.#torrent.acquireForReading();
  }

  release(): void {
    this.#torrent.releaseFromReading();
  }

  readable(position: number, max: number): number {
    const { pieceLength, committed } = this.#torrent;
    const limit = Math.min(max, this.length - position);
    if (committed) return limit;
    let piece = Math.floor(position / pieceLength);
    const stop = piece + RUN_PIECES_MAX;
    while (piece < stop && piece * pieceLength < position + limit && this.#torrent.has(piece)) piece++;
    return Math.max(0, Math.min(limit, piece * pieceLength - position));
  }

  async whenReadable(position: number, interrupt: Interrupt): Promise<void> {
    while (this.readable(position, 1) === 0) {
      this.#checkFailure();
      const piece = Math.floor(position / this.#torrent.pieceLength);
      this.#onNeed?.(piece);
      // The callback may have brought the piece, or failed the readers.
      if (this.readable(position, 1) > 0) return;
      this.#checkFailure();
      await interrupt.wait<undefined>((resolve, reject) => this.#torrent.waitForPiece(piece, { resolve, reject }));
    }
  }

  async whenSealed(interrupt: Interrupt): Promise<void> {
    while (!this.#torrent.committed) {
      this.#checkFailure();
      await interrupt.wait<undefined>((resolve, reject) => this.#torrent.waitForCommit({ resolve, reject }));
    }
  }

  #checkFailure(): void {
    const failure = this.#torrent.failureSince(this.#since);
    if (failure !== undefined) throw failure;
  }
}
