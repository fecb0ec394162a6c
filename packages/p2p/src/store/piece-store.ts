/**
 * What the swarm host asks of the disk: files that grow piece by piece until they are committed. Internal
 * to this package; the disk store implements it, tests may fake it. Callbacks instead of promises where a
 * call is made per chunk.
 *
 * Errors are KrakenErrors (`disk-full`, `io-error`, `digest-mismatch`, …).
 */
import type { Bitfield, Digest, MetaInfo } from '@kraken/core/content';
import type { ByteRange, CancelSignal } from '@kraken/core/ports';
import type { PassingPiece, PieceProof } from './piece-proof.js';

/** Files that grow piece by piece; the store port of a node. */
export interface PieceStore {
  /** A committed blob with metainfo, or a partial one; `undefined` when neither is on disk. Partial pieces have been re-checked. */
  lookup(digest: Digest): Promise<TorrentFile | undefined>;
  /** Create the file at full length, or resume it: pieces whose CRC-32 still matches are `have`. @throws `disk-full`, `io-error` */
  create(metainfo: MetaInfo): Promise<TorrentFile>;
  /** Delete committed or partial data. False when there was none. @throws `blob-pinned` */
  remove(digest: Digest): Promise<boolean>;
}

/** An open torrent on disk. All holders of one digest share one object; `release` is counted. */
export interface TorrentFile {
  /** Digest, length and piece sums. */
  readonly metainfo: MetaInfo;
  /** Verified pieces. Live; owned by the store. */
  readonly have: Bitfield;
  /** The whole blob was checked against its digest and is in the cache. */
  readonly committed: boolean;
  /** Strong checks of the pieces of a download; absent once it is committed. */
  readonly proof?: PieceProof | undefined;
  /** Check a piece while its bytes pass, as `proof` does, and let the hash of the blob go on with it. `undefined` where only `proof.check` can tell. */
  follow?(piece: number): PassingPiece | undefined;
  /** The checked piece layer; `undefined` when there is no root, or it is not here. */
  layer?(): Promise<Uint8Array | undefined>;
  /**
   * Write `length` bytes of `buffer` at byte `position` of the blob. The buffer belongs to the store until `done`.
   * Unverified until `markVerified`.
   */
  write(buffer: Uint8Array, length: number, position: number, done: (error?: Error) => void): void;
  /** All bytes of `piece` are written and its sum matched: record it, wake readers, let the hash go on. */
  markVerified(piece: number, done: (error?: Error) => void): void;
  /** Read up to `length` bytes at `position` into `buffer`. Fewer only at the end of the file or when it was truncated. */
  read(
    buffer: Uint8Array,
    length: number,
    position: number,
    done: (error: Error | null, bytesRead: number) => void,
  ): void;
  /**
   * All pieces are verified: wait for SHA-256 over the whole file (a worker follows the growing prefix), compare, fsync,
   * move download → cache. On `digest-mismatch` (`root-mismatch` when every piece fits a root) all pieces are forgotten and
   * the error is thrown; readers fail. With `doubts` only those pieces are forgotten, their bytes stay to be compared with
   * what replaces them, and the error's detail has `doubted`.
   */
  commit(doubts?: Bitfield): Promise<void>;
  /**
   * Verified bytes in order, as they arrive. Waits for missing pieces. The last bytes of the blob are withheld until the commit,
   * so that a reader never sees a good end of bad content. `onNeed(piece)`: the reader now waits for that piece.
   */
  stream(options: {
    range?: ByteRange;
    signal?: CancelSignal;
    onNeed?: (piece: number) => void;
  }): AsyncIterable<Uint8Array>;
  /** Fail all waiting readers (the pull failed or the torrent was removed). */
  failReaders(error: Error): void;
  /** This holder is done; descriptors close with the last one. */
  release(): void;
}
