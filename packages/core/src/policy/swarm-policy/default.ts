/**
 * What ships. Simulated, 260 hosts, 2 × 1.5 GB at 300 MB/s, token buckets: median 10.4 s, where Kraken’s policy takes 15.5 s
 * and the bound is 10.2 s. Why each number: docs/SIMULATOR.md and the comments here.
 */
import type { SwarmPolicy } from './swarm-policy.js';

export const defaultSwarmPolicy: SwarmPolicy = {
  // Half of Kraken's ten: who fills all slots by dialling leaves none for those who come later.
  dialsPerTorrentMax: 5,
  originDialsMax: 2,
  // Who is dialled by few gets less than the others to the end: simulated, 800 hosts, p99 11.9 s without this, 10.9 s with it.
  lonelyDialsMax: 8,
  // Those who announce first would connect among themselves, and pieces leave the origins late.
  firstDialsMax: 1,
  refill: true,
  announceAgainMs: 200,
  // Keeps the graph random and slots moving; slower swaps leave early clusters in place for too long.
  rotationIntervalMs: 1000,
  // A deeper pipeline than the round trip needs only fixes early who will send what.
  pipelineLimit: 0,
  originPipelineLimit: 0,
  // Guess: one spare copy is enough for a peer that stalls.
  endgameCopiesMax: 2,
  // Costs nothing up to a half, and brings a reader's first piece in a tenth of the time.
  readerShare: 0.5,
  originSparing: true,
  // Guess.
  originIdleMs: 1000,
};
