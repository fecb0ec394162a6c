/** What a node is made from and what it reports: the shapes of the public API. */
import type { Digest, PeerId } from '@kraken/core/content';
import type { PieceChoices } from '@kraken/core/policy';
import type { Logger, Metrics, OpenOptions, TrackerClient } from '@kraken/core/ports';
import type { SwarmConfig } from '@kraken/core/swarm';
import type { PieceStore } from '../store/piece-store.js';
import type { Bandwidth } from './bandwidth.js';
import type { BufferPools } from './buffer-pool.js';
import type { HostCounters } from './counters.js';
import type { NetworkEventOptions } from './network-events.js';
import type { RecordOptions } from './recording-file.js';
import type { TransferStats } from './swarm-stats.js';
import type { PeerTlsOptions } from './tls-settings.js';

/** The disk of a node. */
export interface NodeStore extends PieceStore {
  /** Length of a committed blob, where the store can tell it without opening the torrent. */
  stat?(digest: Digest): Promise<{ readonly length: number } | undefined>;
  /** Call `listener` for each blob that the store drops by itself. @returns how to stop */
  onEvict?(listener: (digest: Digest) => void): () => void;
}

/** Settings of the swarm that differ from the defaults. */
export type SwarmSettings = Partial<Omit<SwarmConfig, 'peerId' | 'role'>>;

/** What a node is made of. `store` and `peer` are needed, and `tracker` for whoever pulls. */
export interface PeerNodeOptions {
  /** Where blobs are kept; `DiskStore` fits. */
  readonly store: NodeStore;
  /** Absent on origins, which neither announce nor pull. */
  readonly tracker?: TrackerClient | undefined;
  /** Who the node is to others. */
  readonly peer: {
    /** Address that others dial. */
    readonly ip: string;
    /** Port that others dial; 0 or absent = the port that is listened on. */
    readonly port?: number;
    /** Default: SHA-1 of `ip:port` (Kraken's `addr_hash`), stable across restarts. */
    readonly peerId?: PeerId;
    /** Told to whoever asks, not used for anything. */
    readonly zone?: string;
    /** As `zone`. */
    readonly cluster?: string;
    /** Seeds what its store has and never pulls. Default false. */
    readonly origin?: boolean;
  };
  /** Default: the peer port on all interfaces, as Kraken does. */
  readonly listen?: { readonly host?: string; readonly port?: number };
  /** Settings of the swarm that differ from the defaults. */
  readonly swarm?: SwarmSettings;
  /**
   * Piece choices of your own, by name; `swarm.pieceChoice` names the one in force. Called for each request, on the event
   * loop: it must be quick and must not throw.
   */
  readonly pieceChoices?: PieceChoices;
  /** Limits of payload bytes. Default: none. */
  readonly bandwidth?: Bandwidth;
  /** Transport security of the peer port and of dials. Absent: plain TCP, as in Kraken. */
  readonly tls?: PeerTlsOptions | undefined;
  /** Write down what the machine sees and does, for `npm run replay`. No payload bytes; digests, addresses and names. */
  readonly record?: RecordOptions | undefined;
  /** Write network events to a file, with Kraken's names and fields. */
  readonly networkEvents?: NetworkEventOptions | undefined;
  /** False: pieces are checked by CRC-32 although their metainfo has a root [integrity.piece_layer]. Default true. */
  readonly pieceLayer?: boolean;
  /** Seed of the machine's random choices; default: drawn. */
  readonly seed?: number;
  /** A peer asked for a blob that is not here: an origin fetches it from storage. */
  readonly lookupMissing?: (namespace: string, digest: Digest) => void;
  /** Limit of a pull that names none. Kraken has no limit; default 15 min. */
  readonly defaultDeadlineMs?: number;
  /** Accepted sockets without a handshake. Default 256. */
  readonly handshakesMax?: number;
  /** Bytes that one connection may take in per turn of the event loop; Infinity = no budget. Default 512 KiB. */
  readonly turnBudgetBytes?: number;
  /** Default: the pools that all nodes of the process share. */
  readonly pools?: BufferPools;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Default: none. */
  readonly metrics?: Metrics;
}

/** How far a pull is. Counts what is verified and on the disk, whoever asked for it, so it may start above zero. */
export interface PullProgress {
  /** Of the whole blob, also when a range is pulled. */
  readonly verifiedBytes: number;
  /** Length of the blob. */
  readonly totalBytes: number;
  /** Pieces behind `verifiedBytes`. */
  readonly verifiedPieces: number;
  /** Pieces of the blob. */
  readonly totalPieces: number;
  /** Peers that the blob is exchanged with at this moment. */
  readonly peers: number;
}

/** One pull. */
export interface PullOptions extends OpenOptions {
  /** Repository that the blob belongs to: decides which storage backend has it. Default {@link DEFAULT_NAMESPACE}. */
  readonly namespace?: string;
  /** Called when the blob is open, then after each piece that was verified and stored. Must not throw. */
  readonly onProgress?: (progress: PullProgress) => void;
}

/** Totals of a node. */
export interface NodeStats extends Readonly<TransferStats> {
  /** Torrents in memory. */
  readonly torrents: number;
  /** Connections that are attached to torrents. */
  readonly connections: number;
  /** What sockets counted. */
  readonly host: Readonly<HostCounters>;
  /** How often a transfer had to wait for bandwidth or a buffer. */
  readonly waits: { readonly egress: number; readonly ingress: number };
}

/** Namespace of pulls that name none: trackers refuse an empty one, and it matches backends for `.*`. */
export const DEFAULT_NAMESPACE = 'default';
