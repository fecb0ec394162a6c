/**
 * The published rollout: two blobs of 1.5 GB to 2,600 hosts at once, 300 MB/s everywhere, 5 origins with 3
 * replicas. The small form has a tenth of the hosts. Store-and-forward bound: 10.2 s.
 */
import type { SimOptions } from '../options.js';
import { MB, MiB, type Scenario } from './scenario.js';

const runs = (agents: number): Partial<SimOptions>[] =>
  ['token-bucket', 'max-min'].map((link) => ({
    agents,
    origins: 5,
    trackers: 5,
    replicas: 3,
    blobs: 2,
    blobBytes: 1500 * MB,
    pieceBytes: 4 * MiB,
    startWithinMs: 100,
    streaming: true,
    link,
  }));

export const uber2600: Scenario = { says: '2 × 1.5 GB to 2,600 hosts at once', runs: runs(2600) };
export const uber260: Scenario = { says: '2 × 1.5 GB to 260 hosts at once', runs: runs(260) };
