/** As the Go implementation behaves (spec p2p.md §3, §5), for comparison and for those who want it back. */
import type { SwarmPolicy } from './swarm-policy.js';

export const krakenSwarmPolicy: SwarmPolicy = {
  dialsPerTorrentMax: 10,
  originDialsMax: 10,
  lonelyDialsMax: 0,
  firstDialsMax: 10,
  refill: false,
  // Only when the tracker's interval has passed.
  announceAgainMs: 3_600_000,
  rotationIntervalMs: 0,
  pipelineLimit: 3,
  originPipelineLimit: 5,
  endgameCopiesMax: 10,
  readerShare: 0,
  originSparing: false,
  originIdleMs: 0,
};
