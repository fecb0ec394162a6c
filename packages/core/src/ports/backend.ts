/** Storage behind origins and build-index. One file per kind in the backends package. */
import type { CancelSignal } from './cancel.js';

/** Content to upload: can be opened again when an attempt fails. */
export interface UploadSource {
  readonly length: number;
  /** The content from its first byte; once per attempt. */
  open(): AsyncIterable<Uint8Array>;
}

/** A part of a listing. */
export interface ListPage {
  /** Blob hex names or `repo:tag`, as the backend's pather reads them. */
  readonly names: readonly string[];
  /** Opaque; absent when there is no more. */
  readonly continuation?: string;
}

/**
 * A storage backend. Errors are KrakenErrors: `blob-unknown` when the name is not there, `storage-unavailable` when the
 * backend cannot be reached or failed, `unsupported` for an operation the kind lacks.
 */
export interface StorageBackend {
  /** Kind name, for logs. */
  readonly kind: string;
  /** What the kind can do; a read-only backend never gets write-back tasks. */
  readonly can: { readonly upload: boolean; readonly list: boolean; readonly paginate: boolean };
  /** Length of an object in bytes. */
  stat(namespace: string, name: string, signal?: CancelSignal): Promise<{ length: number }>;
  /** The object; `length` where the kind knows it before the bytes. */
  download(
    namespace: string,
    name: string,
    signal?: CancelSignal,
  ): Promise<{ length?: number; stream: AsyncIterable<Uint8Array> }>;
  /** Replaces an existing object atomically: a reader sees the old or the new one, whole. */
  upload(namespace: string, name: string, source: UploadSource, signal?: CancelSignal): Promise<void>;
  /** Names under `prefix` (a path prefix in the pather's tree; empty = all). `limit` absent = everything, no continuation. */
  list(prefix: string, options?: { limit?: number; continuation?: string; signal?: CancelSignal }): Promise<ListPage>;
  /** Give up connections and timers. */
  close(): Promise<void>;
}

/** Ordered regular expressions over namespaces; the first match wins (Kraken: backend manager). */
export interface BackendManager {
  /** @throws KrakenError `backend-no-match` */
  forNamespace(namespace: string): StorageBackend;
  /** Every backend marked `must_ready` answers. @throws KrakenError `not-ready` naming the first that does not */
  checkReady(signal?: CancelSignal): Promise<void>;
  /** Close every backend. */
  close(): Promise<void>;
}
