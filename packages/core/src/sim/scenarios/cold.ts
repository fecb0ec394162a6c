/** A flash crowd for an image that no origin has yet: what the wait for the storage behind them adds. */
import { MB, MiB, type Scenario } from './scenario.js';

export const cold: Scenario = {
  says: '2 × 1.5 GB to 260 hosts at once, not prefetched: the first pulls make the origins read the backend',
  runs: [
    {
      agents: 260,
      origins: 5,
      trackers: 5,
      blobs: 2,
      blobBytes: 1500 * MB,
      pieceBytes: 4 * MiB,
      blobsIn: 'backend',
      streaming: true,
    },
  ],
  bounds: { 'token-bucket': { backendReads: 1 } },
};
