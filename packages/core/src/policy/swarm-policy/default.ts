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
  // Keeps the graph random and slots moving. Most swap dials find a full peer; simulated, 260 hosts: 27,000 dials at 1 s with
  // a p99 of 10.61 s, 19,000 at 2 s with 10.65 s, 13,000 at 3 s with 10.86 s.
  rotationIntervalMs: 2000,
  // A deeper pipeline than the round trip needs only fixes early who will send what.
  pipelineLimit: 0,
  originPipelineLimit: 0,
  // Guess: one spare copy is enough for a peer that stalls.
  endgameCopiesMax: 2,
  // Pieces spread more slowly when more of the first ones are asked for in order, and readers end late when more of the last
  // ones are not. Simulated, 1,000 hosts, max-min links: median 10.72 s at a constant 0.7, 10.60 s at a constant half with the
  // last bytes up to 0.30 s after the last piece, 10.58 s and 0.18 s for a share that rises.
  readerShare: 0.45,
  originSparing: true,
  // Guess.
  originIdleMs: 1000,
};
