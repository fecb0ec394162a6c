/**
 * The least time in which a flash crowd can have the image when a piece is passed on only after it is whole:
 * the bytes over the host's own card, and before them the way of the first pieces through the swarm, in which
 * the holders of a piece at most double each time it is sent. No hashing and no connecting is in it.
 */
import type { SimOptions } from './options.js';

/** Seconds; a bound from below, for hosts that start together. */
export function storeAndForwardSeconds(options: SimOptions): number {
  const { agents, replicas, pieceBytes, latencyMs, pieceWriteMs } = options;
  const imageBytes =
    (options.blobsPerAgent * (options.blobBytes + Math.max(options.blobBytes, options.blobBytesMax))) / 2;
  const down = options.agentDownBytesPerSecond;
  const own = imageBytes / down;
  const senders = agents * options.agentUpBytesPerSecond + options.origins * options.originUpBytesPerSecond;
  const shared = (agents * imageBytes) / senders;
  // To be told of a piece, to ask for it, to get it and to store it.
  const hop = pieceBytes / Math.min(down, options.agentUpBytesPerSecond) + (3 * latencyMs + pieceWriteMs) / 1000;
  return Math.max(own, shared) + hop * doublings((agents + replicas) / replicas);
}

/** Smallest n with 2ⁿ ≥ `factor`. */
function doublings(factor: number): number {
  let n = 0;
  for (let reached = 1; reached < factor; reached *= 2) n++;
  return n;
}
