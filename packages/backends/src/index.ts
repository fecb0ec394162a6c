/** Storage backends for Kraken origins and build-index. */
export type { BackendContext, BackendKind } from './kind.js';
export { BACKEND_KINDS } from './kinds.js';
export { createBackendManager, type BackendManagerOptions, type BackendRule } from './manager.js';
export { NOOP_NAMESPACE, noopBackend } from './noop.js';
export { createObjectPaths, type ObjectPaths } from './object-path.js';
export { pageOf } from './paging.js';
export { Settings } from './settings.js';
