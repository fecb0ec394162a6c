/** Kraken's peer-to-peer layer for Node: blob client, seeding, node, disk store, tracker client and handler. */
export { fetchBlob, type FetchBlobOptions, type FetchedBlob } from './client/fetch-blob.js';
export { fetchFile, type FetchedFile, type FetchFileOptions } from './client/fetch-file.js';
export { importFile, type ImportFileOptions } from './client/import-file.js';
export { createLocalOrigins, type LocalOrigin } from './client/local-origins.js';
export { saveTo } from './client/save-to.js';
export { seedFile, type SeededFile, type SeedFileOptions } from './client/seed-file.js';
export { serveTracker, type ServedTracker, type ServeTrackerOptions } from './client/serve-tracker.js';
export { toReadable } from './client/to-readable.js';
export type { Bandwidth } from './host/bandwidth.js';
export { BufferPool, type BufferPools } from './host/buffer-pool.js';
export type { HostCounters } from './host/counters.js';
export { addrHash, createPeerNode } from './host/create-peer-node.js';
export {
  DEFAULT_NAMESPACE,
  type NodeStats,
  type NodeStore,
  type PeerNodeOptions,
  type PullOptions,
  type PullProgress,
  type SwarmSettings,
} from './host/peer-node-options.js';
export type { NamespaceWeight } from './host/namespace-classes.js';
export type { PeerNode } from './host/peer-node.js';
export type { NetworkEventOptions } from './host/network-events.js';
export type { RecordOptions } from './host/recording-file.js';
export type { PeerTlsMaterial, PeerTlsMode, PeerTlsOptions } from './host/tls-settings.js';
export type { SwarmBlob } from './host/swarm-blob.js';
export type { PeerTraffic, TransferStats } from './host/swarm-stats.js';
export * from './store/index.js';
export * from './tracker/index.js';
// What callers of this package meet in signatures and in `catch`, so that they need not import core for it.
export { parseDigest, type Digest, type MetaInfo } from '@kraken/core/content';
export { isKrakenError, KrakenError, type ErrorCode } from '@kraken/core/errors';
export type { PeerOrder, PieceChoice, PieceQuestion } from '@kraken/core/policy';
export type { ByteRange, CancelSignal, Logger, Metrics, OpenedBlob } from '@kraken/core/ports';
