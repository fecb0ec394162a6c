/** A rolling update: hosts start one after the other, so the first ones find no peers and the last ones many. */
import { MB, MiB, type Scenario } from './scenario.js';

export const staggered: Scenario = {
  says: '2 × 1.5 GB to 260 hosts that start in the course of two minutes',
  runs: ['token-bucket', 'max-min'].map((link) => ({
    agents: 260,
    origins: 5,
    trackers: 5,
    blobs: 2,
    blobBytes: 1500 * MB,
    pieceBytes: 4 * MiB,
    startWithinMs: 120_000,
    streaming: true,
    link,
  })),
};
