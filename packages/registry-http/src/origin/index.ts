export { DEFAULT_CHUNK_BYTES, OriginClient, type DownloadedBlob, type OriginClientOptions } from './origin-client.js';
export { OriginClusterClient, type OriginClusterOptions } from './origin-cluster.js';
export { createOriginHandler, originRoutes, type OriginHandlerOptions } from './origin-handler.js';
export { OriginService, type CleanupReport, type Found, type OriginServiceOptions } from './origin-service.js';
export { DEFAULT_REFRESH_LIMITS, type RefreshLimits } from './refresher.js';
export type { OriginPeer, OriginRing } from './replicator.js';
