/** Three agents behind three slow origins: how many copies leave the origins. */
import { MiB, type Scenario } from './scenario.js';

export const sparing: Scenario = {
  says: '3 agents, 3 origins of 64 MiB/s, 3 blobs of 22 MiB',
  runs: ['token-bucket', 'max-min'].map((link) => ({
    agents: 3,
    origins: 3,
    blobs: 3,
    blobBytes: 22 * MiB,
    pieceBytes: MiB,
    startWithinMs: 5,
    link,
    originUpBytesPerSecond: 64 * MiB,
    originDownBytesPerSecond: 64 * MiB,
    agentUpBytesPerSecond: 1e9,
    agentDownBytesPerSecond: 1e9,
  })),
};
