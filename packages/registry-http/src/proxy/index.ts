export { createOriginBlobSource, type OriginBlobSourceOptions } from './origin-blob-source.js';
export { createProxyHandler, type ProxyHandler, type ProxyHandlerOptions } from './proxy-handler.js';
export type { PrefetchBlob } from './prefetch.js';
