/** Many small blobs at once, as the layers of many images: the cost per torrent shows. */
import { MB, MiB, type Scenario } from './scenario.js';

export const manySmall: Scenario = {
  says: '200 blobs of 1 to 20 MB, of which each of 100 hosts pulls 40',
  runs: [
    {
      agents: 100,
      origins: 5,
      trackers: 5,
      blobs: 200,
      blobsPerAgent: 40,
      blobBytes: MB,
      blobBytesMax: 20 * MB,
      pieceBytes: MiB,
      startWithinMs: 5000,
    },
  ],
};
