/**
 * Blobs as the packages hand them to each other. p2p implements the store and the swarm source;
 * registry-http serves from them; backends never see them.
 */
import type { Digest, MetaInfo } from '../content/index.js';
import type { CancelSignal } from './cancel.js';

/** Bytes `start` to `end` (exclusive). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** An open blob: the length at once, the bytes as they become verified. */
export interface OpenedBlob {
  /** Bytes of the whole blob. */
  readonly length: number;
  /**
   * Verified bytes in order, chunks of at most 1 MiB. May be called once. The iterator throws a KrakenError when the blob
   * cannot be finished or fails its digest; a reader that saw the end has the right bytes. A chunk is only valid until the
   * next one is asked for: copy it to keep it.
   */
  stream(range?: ByteRange): AsyncIterable<Uint8Array>;
  /** Give up what `stream` did not take. Safe to call twice. */
  close(): void;
}

/** What of a blob is wanted, and for how long. */
export interface OpenOptions {
  /** Bytes that will be read; only their pieces are fetched. Absent: the whole blob. */
  readonly range?: ByteRange;
  readonly signal?: CancelSignal;
  /** From now; absent: the node's default. */
  readonly deadlineMs?: number;
}

/** Where an HTTP handler gets blobs from: the swarm on an agent, the origin cluster on a proxy. */
export interface BlobSource {
  /** Length without fetching the content (metadata only). `undefined` when nobody has it. */
  stat(namespace: string, digest: Digest, signal?: CancelSignal): Promise<{ length: number } | undefined>;
  /**
   * @throws KrakenError `blob-unknown`, `too-many-pulls`, `pull-timeout`, `storage-unavailable`, …
   */
  open(namespace: string, digest: Digest, options?: OpenOptions): Promise<OpenedBlob>;
}

/** Committed blobs and uploads on the local disk (Kraken: CAStore). */
export interface BlobStore {
  /** Length of a committed blob. */
  stat(digest: Digest): Promise<{ length: number; committedAtMs: number } | undefined>;
  /** A committed blob for reading; touches the access time. */
  open(digest: Digest): Promise<OpenedBlob | undefined>;
  /** @throws KrakenError `blob-pinned`; false when it was not there */
  delete(digest: Digest): Promise<boolean>;
  /** Digests of all committed blobs. */
  list(): AsyncIterable<Digest>;
  /** Keep from eviction and deletion while true (Kraken: `_persist`). Durable on return. */
  setPinned(digest: Digest, pinned: boolean): Promise<void>;
  /** Whether {@link BlobStore.setPinned} holds it. */
  isPinned(digest: Digest): Promise<boolean>;
  /** Sidecar `_torrentmeta`; `undefined` when absent or unreadable (it is then regenerated). */
  metaInfo(digest: Digest): Promise<MetaInfo | undefined>;
  /** Atomic replace. */
  setMetaInfo(metainfo: MetaInfo): Promise<void>;
  /** Piece sums of a committed blob, and the root of its piece layer, computed off the event loop, stored as sidecars and returned. */
  generateMetaInfo(digest: Digest, pieceLength: number): Promise<MetaInfo>;
  /** The piece layer under the root of the metainfo, checked against it; `undefined` when there is no root, or no sound layer. */
  pieceLayer?(digest: Digest): Promise<Uint8Array | undefined>;
  readonly uploads: UploadStore;
}

/** Upload sessions: files that become blobs. Ids are UUIDs; a session is bound to nothing but its id. */
export interface UploadStore {
  /** @throws KrakenError `too-many-uploads`, `disk-full` */
  create(): Promise<string>;
  /** Bytes written so far, contiguous from 0. @throws KrakenError `upload-unknown` */
  size(id: string): Promise<number>;
  /**
   * Write `source` at byte `position` (any order; holes fail at commit). Stops with `size-invalid` when more than `maxBytes`
   * come; what was written before an error stays, unless that is `disk-full`: it ends the session. @returns bytes written
   */
  write(id: string, position: number, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<number>;
  /**
   * Verify SHA-256, fsync, rename into the cache, fsync the directory. The session ends in every case but `disk-full`.
   * An existing blob is kept and the upload dropped (`existed`).
   * @throws KrakenError `digest-mismatch`, `upload-unknown`
   */
  commit(id: string, digest: Digest): Promise<{ length: number; existed: boolean }>;
  /** No error when it does not exist. */
  abort(id: string): Promise<void>;
}
