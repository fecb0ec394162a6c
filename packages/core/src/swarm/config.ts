/**
 * Settings of the swarm machine. Each default states where it comes from. Kraken's YAML keys are named
 * in brackets; the reference server maps them. Times in milliseconds.
 */
import type { PeerId } from '../content/index.js';
import { SWARM_POLICIES, type SwarmPolicy } from '../policy/index.js';

export interface SwarmConfig extends SwarmPolicy {
  /** Who we are; never dialled, never accepted. */
  readonly peerId: PeerId;
  /** Origins never announce, never pull, are always complete. */
  readonly role: 'agent' | 'origin';
  /** Pending + active connections of one torrent, both directions [connstate.max_open_conn]. Kraken: 10. */
  readonly connectionsPerTorrentMax: number;
  /** Connections of the whole node. Guess: 2000 (a tenth of the usual descriptor limit). */
  readonly connectionsMax: number;
  /** Dials of the whole node that have not been answered. Guess: 100, as many as the handshakes that a node takes at a time. */
  readonly pendingDialsMax: number;
  /** Torrents in memory. Guess: 10000. */
  readonly torrentsMax: number;
  /** Waiting pulls. Guess: 1000. */
  readonly pullsMax: number;
  /** Shared neighbours above which an incoming peer is refused [connstate.max_mutual_conn]. Kraken: = connectionsPerTorrentMax. */
  readonly mutualConnectionsMax: number;
  /** How long a failed peer is not dialled again [connstate.blacklist_duration]. Kraken: 30 s. */
  readonly blacklistMs: number;
  /** [connstate.disable_blacklist] Kraken: false. */
  readonly blacklistDisabled: boolean;
  /** Dial, each handshake write, each handshake read [conn.handshake_timeout]. Kraken: 5 s. */
  readonly handshakeTimeoutMs: number;
  /** Idle limit of a connection [conn_tti]. Kraken: 30 s. */
  readonly connectionIdleMs: number;
  /** Age limit of a connection [conn_ttl]. Kraken: 1 h. */
  readonly connectionAgeMs: number;
  /** A complete torrent without reads for so long leaves memory [seeder_tti]. Kraken: 5 min. */
  readonly seederIdleMs: number;
  /** An incomplete torrent without a stored piece for so long fails its pulls [leecher_tti]. Kraken: 5 min. Partial data stays on disk (Go deletes it). */
  readonly leecherIdleMs: number;
  /** Rhythm of idle and age checks [preemption_interval]. Kraken: 30 s. */
  readonly preemptionIntervalMs: number;
  /** [disable_preemption] Kraken: false. */
  readonly preemptionDisabled: boolean;
  /** Name in the piece-choice table [dispatch.piece_request_policy]. Kraken code: `default`; shipped agent config and ours: `rarest_first`. */
  readonly pieceChoice: string;
  /** End game from this many missing pieces [dispatch.endgame_threshold]. Kraken: = pipelineLimit, 3. */
  readonly endgameThreshold: number;
  /** [dispatch.disable_endgame] Kraken: false. */
  readonly endgameDisabled: boolean;
  /** [dispatch.piece_request_min_timeout] Kraken: 4 s. */
  readonly requestTimeoutMinMs: number;
  /** Per MiB of piece length [dispatch.piece_request_timeout_per_mb]. Kraken: 4 s. */
  readonly requestTimeoutPerMiBMs: number;
  /** Announce interval before a tracker says otherwise. Kraken: 5 s. */
  readonly announceIntervalMs: number;
  /** Longest interval that a tracker may set; longer is clamped (Go resets to 5 s). Kraken: 60 s. */
  readonly announceIntervalMaxMs: number;
  /** Longest wait between announces that fail (exponential back-off with jitter). Guess: 30 s. */
  readonly announceBackoffMaxMs: number;
  /** Wire name and capabilities (`layer`: piece layers) sent in `version` of our handshake; empty sends none. Go ignores the field. */
  readonly protocolVersion: string;
}

/** Defaults of an agent; see the field comments for where each comes from. */
export const DEFAULT_SWARM_CONFIG: Omit<SwarmConfig, 'peerId'> = {
  ...SWARM_POLICIES.default,
  role: 'agent',
  connectionsPerTorrentMax: 10,
  connectionsMax: 2000,
  pendingDialsMax: 100,
  torrentsMax: 10_000,
  pullsMax: 1000,
  mutualConnectionsMax: 10,
  blacklistMs: 30_000,
  blacklistDisabled: false,
  handshakeTimeoutMs: 5000,
  connectionIdleMs: 30_000,
  connectionAgeMs: 3_600_000,
  seederIdleMs: 300_000,
  leecherIdleMs: 300_000,
  preemptionIntervalMs: 30_000,
  preemptionDisabled: false,
  pieceChoice: 'rarest_first',
  endgameThreshold: 3,
  endgameDisabled: false,
  requestTimeoutMinMs: 4000,
  requestTimeoutPerMiBMs: 4000,
  announceIntervalMs: 5000,
  announceIntervalMaxMs: 60_000,
  announceBackoffMaxMs: 30_000,
  protocolVersion: 'kraken-ts/1 layer',
};
