/** Kraken's peer-to-peer layer for Node: node, blob client, disk store, tracker client and handler. */
export { fetchBlob, type FetchBlobOptions, type FetchedBlob } from './client/fetch-blob.js';
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
  type SwarmSettings,
} from './host/peer-node-options.js';
export type { NamespaceWeight } from './host/namespace-classes.js';
export type { PeerNode } from './host/peer-node.js';
export type { PeerTlsMaterial, PeerTlsMode, PeerTlsOptions } from './host/tls-settings.js';
export type { SwarmBlob } from './host/swarm-blob.js';
export type { PeerTraffic, TransferStats } from './host/swarm-stats.js';
export * from './store/index.js';
export * from './tracker/index.js';
