/** The reference server as a library: a cluster in one process, and the roles. */
export { startCluster, type ClusterOptions, type EmbeddedCluster } from './cluster/embedded-cluster.js';
export { main } from './cli/main.js';
