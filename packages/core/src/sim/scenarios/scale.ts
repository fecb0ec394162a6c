/**
 * The same rollout over cluster sizes: completion must hardly grow, and the origins' share not at all. The image
 * lies in the storage behind the origins and is prefetched a minute before the hosts start.
 */
import { MB, MiB, type Scenario } from './scenario.js';

/** From so many hosts on, two threads are well worth it. */
const DIVIDED_AGENTS = 1000;

export const scale: Scenario = {
  says: '2 × 1.5 GB to 100, 1,000, 2,600 and 15,000 hosts, prefetched from the backend',
  runs: [100, 1000, 2600, 15_000].map((agents) => ({
    agents,
    origins: 5,
    trackers: 5,
    blobs: 2,
    blobBytes: 1500 * MB,
    pieceBytes: 4 * MiB,
    blobsIn: 'backend',
    prefetchMs: 60_000,
    streaming: true,
    shards: agents < DIVIDED_AGENTS ? 1 : 2,
  })),
  bounds: { 'token-bucket': { originCopies: 6, backendReads: 1 } },
  growth: { fromAgents: 1000, toAgents: 15_000, p99RatioMax: 1.1 },
};
