/**
 * Named settings of the agents' machines, so that runs can be set side by side in one report. A policy is a
 * choice of existing settings; behaviour belongs to the machine.
 */
import type { SwarmConfig } from '../swarm/index.js';

export const POLICIES: Readonly<Record<string, Partial<SwarmConfig>>> = {
  /** What ships. */
  default: {},
  /** As the Go implementation behaves: all slots may be dialled, three pieces ahead, no sparing, no share for readers. */
  kraken: {
    dialsPerTorrentMax: 10,
    connectionsPerTorrentMax: 10,
    pipelineLimit: 3,
    originPipelineLimit: 5,
    originSparing: false,
    readerShare: 0,
    announceAgainMs: 3000,
    endgameCopiesMax: 10,
    protocolVersion: '',
  },
  /** Few own dials and one request ahead: the part of the swarm policy that settings alone can reach. */
  'few-dials': { dialsPerTorrentMax: 3, pipelineLimit: 1, originPipelineLimit: 1 },
};
