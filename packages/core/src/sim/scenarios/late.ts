/** A third of the hosts joins when the others are half done: nobody may be slowed down by it. */
import { MB, MiB, type Scenario } from './scenario.js';

export const late: Scenario = {
  says: '8 GB to 900 hosts, of which a third joins when the others are half done',
  runs: ['token-bucket', 'max-min'].map((link) => ({
    agents: 900,
    origins: 5,
    trackers: 5,
    blobs: 1,
    blobBytes: 8000 * MB,
    pieceBytes: 4 * MiB,
    lateShare: 1 / 3,
    lateWhenDone: 0.5,
    streaming: true,
    link,
  })),
  bounds: { 'token-bucket': { linkShare: 0.9 }, 'max-min': { linkShare: 0.9 } },
};
