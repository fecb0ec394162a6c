/** What a registry handler is made of: where content comes from, where pushes go, limits. Never behaviour. */
import type { Digest } from '@kraken/core/content';
import { MANIFEST_BYTES_MAX } from '@kraken/core/oci';
import {
  silentLogger,
  silentMetrics,
  type BlobSource,
  type BlobStore,
  type Logger,
  type Metrics,
  type TagSource,
  type UploadSource,
  type UploadStore,
} from '@kraken/core/ports';
import type { BackupRegistry } from './backup-registry.js';

/** Present on a registry that takes pushes. */
export interface RegistryWriter {
  /** Sessions on the local disk. */
  readonly uploads: UploadStore;
  /** Where committed sessions end up; blobs found here count as present when a manifest refers to them. */
  readonly store: Pick<BlobStore, 'stat' | 'open'>;
  /** Resolves when the cluster holds the blob. `source.open` may be called again. @throws KrakenError */
  publish(repository: string, digest: Digest, source: UploadSource): Promise<void>;
}

/** What a registry takes at most. */
export interface RegistryLimits {
  /** Default 4 MiB (OCI spec). */
  readonly manifestBytesMax: number;
  /** Default 10 GiB (Kraken's nginx body limit), here for a whole blob. */
  readonly blobBytesMax: number;
  /** Upload bodies being received at one time. Default 256. */
  readonly uploadsMax: number;
  /** Distinct digests in one pushed manifest. Default 10,000. */
  readonly manifestReferencesMax: number;
  /** Tags read for one catalog answer. Default 1,000,000. */
  readonly catalogTagsMax: number;
}

/** What a registry stands on. */
export interface RegistryHandlerOptions {
  readonly blobs: BlobSource;
  readonly tags: TagSource;
  /** Absent: uploads and manifest puts are 405 `UNSUPPORTED` (an agent). */
  readonly writer?: RegistryWriter;
  /** Asked when a pull fails here, before anything was sent. */
  readonly backup?: BackupRegistry;
  readonly limits?: Partial<RegistryLimits>;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** The options with every default filled in; what the parts of the registry share. */
export interface Registry {
  readonly blobs: BlobSource;
  readonly tags: TagSource;
  readonly writer: RegistryWriter | undefined;
  readonly backup: BackupRegistry | undefined;
  readonly limits: RegistryLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export function withDefaults(options: RegistryHandlerOptions): Registry {
  return {
    blobs: options.blobs,
    tags: options.tags,
    writer: options.writer,
    backup: options.backup,
    limits: {
      manifestBytesMax: MANIFEST_BYTES_MAX,
      blobBytesMax: 10_737_418_240,
      uploadsMax: 256,
      manifestReferencesMax: 10_000,
      catalogTagsMax: 1_000_000,
      ...options.limits,
    },
    logger: options.logger ?? silentLogger,
    metrics: options.metrics ?? silentMetrics,
  };
}
