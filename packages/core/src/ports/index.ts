export type { BackendManager, ListPage, StorageBackend, UploadSource } from './backend.js';
export type { BlobSource, BlobStore, ByteRange, OpenedBlob, OpenOptions, UploadStore } from './blob.js';
export type { CancelSignal } from './cancel.js';
export type {
  AnnounceAnswer,
  AnnounceRequest,
  HostRing,
  OriginCluster,
  OriginDirectory,
  TagSource,
  TrackerClient,
} from './cluster.js';
export { silentLogger, silentMetrics, type Logger, type Metrics } from './telemetry.js';
