export { BuildIndexClient, type BuildIndexClientOptions } from './build-index-client.js';
export { buildIndexRoutes, createBuildIndexHandler, type BuildIndexHandlerOptions } from './build-index-handler.js';
export {
  replicateTag,
  type RemoteBuildIndex,
  type ReplicatingOrigins,
  type ReplicationTask,
  type TagReplicationOptions,
} from './tag-replication.js';
export { TagService, type BuildIndexNeighbour, type TagServiceOptions } from './tag-service.js';
export { TagStore, type StoredTag, type TagStoreConfig } from './tag-store.js';
export type { Replaced } from './tag-write-back.js';
