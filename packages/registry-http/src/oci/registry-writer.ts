/** Pushes into an origin cluster. Owns the choice of namespace; sessions and content belong to the store it is given. */
import type { BlobStore, OriginCluster } from '@kraken/core/ports';
import type { RegistryWriter } from './registry-options.js';

/** Where pushed blobs go. */
export interface OriginWriterOptions {
  readonly store: BlobStore;
  readonly origins: OriginCluster;
  /**
   * Namespace of uploads, which chooses the storage backend. Default: the repository. A Go proxy uses one fixed word for
   * every push (spec §3.2).
   */
  readonly uploadNamespace?: (repository: string) => string;
}

/** Takes pushes into a local store and hands finished blobs to the origins. */
export function createOriginWriter(options: OriginWriterOptions): RegistryWriter {
  const { store, origins, uploadNamespace = (repository: string) => repository } = options;
  return {
    uploads: store.uploads,
    store,
    publish: (repository, digest, source) => origins.upload(uploadNamespace(repository), digest, source),
  };
}
