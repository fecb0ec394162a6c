/**
 * The published rollout, a flash crowd: two blobs of 1.5 GB to 2,600 hosts at once, 300 MB/s everywhere, 5 origins
 * with 3 replicas. A host's time runs from its own start until both blobs are verified. The small form has a tenth
 * of the hosts.
 */
import type { Bounds } from '../bounds.js';
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

const READERS: Bounds = { firstPieceP50Seconds: 0.5, lastByteLagSeconds: 0.3 };

const bounds: Scenario['bounds'] = {
  'token-bucket': { p50Seconds: 10.5, p99Seconds: 11, p999Seconds: 11.5, ...READERS },
  'max-min': { p50Seconds: 10.9, p99Seconds: 11.5, p999Seconds: 12, ...READERS },
};

export const uber2600: Scenario = {
  says: '2 × 1.5 GB to 2,600 hosts at once',
  runs: runs(2600),
  bounds,
  beside: ['kraken'],
};

export const uber260: Scenario = {
  says: '2 × 1.5 GB to 260 hosts at once',
  runs: runs(260),
  bounds,
  beside: ['kraken'],
};
