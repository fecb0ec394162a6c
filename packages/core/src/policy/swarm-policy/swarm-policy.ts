/**
 * What shapes the graph of a swarm and the order of its requests: numbers and switches that the swarm machine obeys. A policy
 * is one file with one object; the simulator sets policies side by side in one report. It knows no machine.
 */
export interface SwarmPolicy {
  /** How many connections of a torrent our own dials may fill; the rest is for those who come. */
  readonly dialsPerTorrentMax: number;
  /** How many of those may go to origins: they are few, and everybody is told of them. */
  readonly originDialsMax: number;
  /** How many when few others come: a torrent with fewer connections than this dials one more at each rotation. */
  readonly lonelyDialsMax: number;
  /** Dials after the first answer of the tracker, when it names more peers than we have dial slots. */
  readonly firstDialsMax: number;
  /** Whether the next candidate is dialled as soon as a dial fails or a connection ends, or only after the next announce. */
  readonly refill: boolean;
  /** Next announce of a torrent that still has free dial slots, ms; doubles with each. Never later than the tracker's interval. */
  readonly announceAgainMs: number;
  /** A random connection that we dialled is swapped for another peer so often, ms; never with a Go peer. Absent or 0: never. */
  readonly rotationIntervalMs?: number;
  /** Whole pieces asked ahead of one agent [dispatch.pipeline_limit]; 0: as many as its round trip needs. */
  readonly pipelineLimit: number;
  /** The same for origins [dispatch.origin_pipeline_limit]. */
  readonly originPipelineLimit: number;
  /** Copies of one request that may be in flight in end game. */
  readonly endgameCopiesMax: number;
  /** Share of requests that goes to the lowest missing piece of an open reader, 0..1, at first; it rises to 1 as the holes behind the prefix get few, and is 1 while nobody known lacks pieces. 0: never any. */
  readonly readerShare: number;
  /** An origin is not asked for a piece that a connected agent has, until it has been idle for `originIdleMs`. */
  readonly originSparing: boolean;
  /** See `originSparing`, ms. */
  readonly originIdleMs: number;
}
