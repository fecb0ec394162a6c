/**
 * A swarm so small that real processes can run it on one machine: `npm run parity` does, and sets both side by side.
 * A limiter of 20 MB/s gives payloads 99 % of that, and its bucket is full, a second's worth, when a node has started. Wire
 * and latency are what processes that share two cores see of loopback, measured: a piece of 1 MiB passes in 4 ms, a
 * control frame is handled 1 ms after it was sent (docs/simulations/parity.md).
 */
import { MB, MiB, type Scenario } from './scenario.js';

/** What payloads get of a limit of 20 MB/s. */
const RATE = 0.99 * 20 * MB;

export const parity: Scenario = {
  says: '256 MiB to 11 hosts from one origin, 20 MB/s everywhere, as real processes run it',
  runs: [
    {
      agents: 11,
      origins: 1,
      replicas: 1,
      blobs: 1,
      blobBytes: 256 * MiB,
      pieceBytes: MiB,
      startWithinMs: 100,
      roots: true,
      streaming: true,
      link: 'token-bucket',
      agentUpBytesPerSecond: RATE,
      agentDownBytesPerSecond: RATE,
      originUpBytesPerSecond: RATE,
      originDownBytesPerSecond: RATE,
      burstMs: 1000,
      wireBytesPerSecond: 250 * MB,
      latencyMs: 1,
    },
  ],
};
