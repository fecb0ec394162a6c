export * from './http/index.js';
export * from './oci/index.js';
export * from './cluster/index.js';
export * from './origin/index.js';
export * from './retry/index.js';
export * from './agent/index.js';
export * from './proxy/index.js';
export * from './build-index/index.js';
