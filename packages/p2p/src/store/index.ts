export { DiskStore, type DiskStoreOptions, type StoreLimits } from './disk-store.js';
export { DEFAULT_CLEANUP, type CleanupOptions, type SweepResult, type Watermark } from './eviction.js';
export type { PieceStore, TorrentFile } from './piece-store.js';
