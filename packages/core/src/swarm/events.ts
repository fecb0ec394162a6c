/**
 * Everything that enters and leaves the swarm machine, on one page.
 *
 * Identity: `pull` and `request` numbers are chosen by the host; `conn` numbers are even when the machine
 * minted them (dials) and odd when the host did (accepted sockets). A torrent is named by its digest.
 *
 * Pairs: each effect that can finish has exactly one completion event, also when the connection or the
 * torrent goes away meanwhile:
 *
 *   fetch-metainfo → metainfo-fetched | metainfo-fetch-failed
 *   open-blob      → blob-opened | blob-open-failed
 *   fetch-layer    → layer-fetched | layer-fetch-failed
 *   announce       → announce-answered | announce-failed
 *   dial           → dial-succeeded | dial-failed
 *   receive-piece  → piece-stored (verdict `aborted` when the connection died first)
 *   send-piece     → piece-sent | piece-send-failed
 *   commit-blob    → blob-committed | blob-commit-failed
 *   delete-blob    → blob-deleted | blob-delete-failed
 *   close          → connection-closed
 *
 * A connection that was announced to the machine (`handshake-received`, `dial-succeeded`) ends with
 * exactly one `connection-closed`, after the completions of its piece effects. Nothing follows `shutdown`
 * but completions. Payload bytes never appear here: indexes, lengths and verdicts only.
 */
import type { Bitfield, Digest, InfoHash, MetaInfo, PeerId, PeerInfo } from '../content/index.js';
import type { ErrorCode } from '../errors/index.js';
import type { Handshake, PeerMessage } from '../wire/index.js';
import type { SwarmConfig } from './config.js';

/** A coded failure as data. `says` is for people. */
export interface Failure {
  readonly code: ErrorCode;
  readonly says: string;
}

/**
 * What became of a payload that the machine permitted. `disk-*` and `io-error` are ours; `bad-sum` (its CRC-32) and `forged`
 * (its hash in the piece layer) are the peer's fault.
 */
export type PieceVerdict = 'ok' | 'bad-sum' | 'forged' | 'disk-full' | 'io-error' | 'aborted';

/** Why a connection ended. Decides blacklisting. `remote-*` came from the other side, the rest from us. */
export type CloseReason =
  | 'remote-closed'
  | 'remote-reset'
  | 'protocol-error'
  | 'io-error'
  | 'at-capacity'
  | 'duplicate'
  | 'self'
  | 'handshake-mismatch'
  | 'handshake-timeout'
  | 'unknown-blob'
  | 'both-complete'
  | 'idle'
  | 'too-old'
  | 'rotated'
  | 'bad-piece'
  | 'blacklisted'
  | 'torrent-removed'
  | 'shutdown';

/** What the machine is told. */
export type SwarmEvent =
  // From the embedding program.
  /** Wants a blob. `deadlineAt` on the machine's clock. `range` in bytes, end exclusive; absent = whole blob. `streaming`: an in-order reader waits. */
  | {
      readonly type: 'pull-requested';
      readonly pull: number;
      readonly namespace: string;
      readonly digest: Digest;
      readonly deadlineAt?: number;
      readonly range?: { readonly start: number; readonly end: number };
      readonly streaming: boolean;
    }
  | { readonly type: 'pull-cancelled'; readonly pull: number }
  /** The in-order reader of `pull` now needs `piece` next. */
  | { readonly type: 'reader-moved'; readonly pull: number; readonly piece: number }
  /** A committed local blob should be offered to the swarm. */
  | { readonly type: 'seed-requested'; readonly namespace: string; readonly digest: Digest }
  /** Forget the torrent and delete its files; answered by `removal-finished`. */
  | { readonly type: 'remove-requested'; readonly request: number; readonly digest: Digest }
  /** The store evicted the blob by itself. */
  | { readonly type: 'blob-evicted'; readonly digest: Digest }
  | { readonly type: 'reconfigured'; readonly config: SwarmConfig }
  | { readonly type: 'shutdown-requested' }
  | { readonly type: 'woke' }
  // Completions.
  | { readonly type: 'metainfo-fetched'; readonly digest: Digest; readonly metainfo: MetaInfo }
  | { readonly type: 'metainfo-fetch-failed'; readonly digest: Digest; readonly failure: Failure }
  /** `have`: pieces that are verified on disk; the machine owns the copy. `committed`: the whole blob is in the cache. */
  | {
      readonly type: 'blob-opened';
      readonly digest: Digest;
      readonly metainfo: MetaInfo;
      readonly have: Bitfield;
      readonly committed: boolean;
      /** The metainfo has a root, but the piece layer is not here: no piece can be proved yet. */
      readonly layerMissing?: boolean;
    }
  | { readonly type: 'blob-open-failed'; readonly digest: Digest; readonly failure: Failure }
  /** The layer fits the root and is with the blob. `conn` as in `fetch-layer`. */
  | { readonly type: 'layer-fetched'; readonly digest: Digest; readonly conn?: number }
  /** `layer-invalid`: what came does not fit the root. */
  | {
      readonly type: 'layer-fetch-failed';
      readonly digest: Digest;
      readonly conn?: number;
      readonly failure: Failure;
    }
  | {
      readonly type: 'announce-answered';
      readonly digest: Digest;
      readonly peers: readonly PeerInfo[];
      readonly intervalMs: number;
    }
  | { readonly type: 'announce-failed'; readonly digest: Digest; readonly failure: Failure }
  | { readonly type: 'dial-succeeded'; readonly conn: number; readonly handshake: Handshake }
  | { readonly type: 'dial-failed'; readonly conn: number; readonly failure: Failure }
  | {
      readonly type: 'piece-stored';
      readonly conn: number;
      readonly digest: Digest;
      readonly piece: number;
      readonly verdict: PieceVerdict;
      /** For a piece that was in doubt: how it compares with what lay there. */
      readonly replaced?: 'same' | 'different';
    }
  | { readonly type: 'piece-sent'; readonly conn: number; readonly digest: Digest; readonly piece: number }
  | {
      readonly type: 'piece-send-failed';
      readonly conn: number;
      readonly digest: Digest;
      readonly piece: number;
      readonly failure: Failure;
    }
  | { readonly type: 'blob-committed'; readonly digest: Digest }
  /** `doubted`: the files are still there, without the pieces that `commit-blob` named. */
  | {
      readonly type: 'blob-commit-failed';
      readonly digest: Digest;
      readonly failure: Failure;
      readonly doubted?: boolean;
    }
  | { readonly type: 'blob-deleted'; readonly digest: Digest }
  | { readonly type: 'blob-delete-failed'; readonly digest: Digest; readonly failure: Failure }
  // From peers.
  /** An accepted socket sent a well-formed handshake. Answer: `accept` or `close`, perhaps after `open-blob`. */
  | { readonly type: 'handshake-received'; readonly conn: number; readonly handshake: Handshake; readonly ip: string }
  /** Any frame after the handshake but a payload. Indexes and lengths are non-negative int32; the codec saw to it. */
  | { readonly type: 'message-received'; readonly conn: number; readonly message: PeerMessage }
  /** A payload header. Answer in the same step: `receive-piece`, `discard-payload` or `close`. */
  | {
      readonly type: 'payload-started';
      readonly conn: number;
      readonly piece: number;
      readonly offset: number;
      readonly length: number;
    }
  | { readonly type: 'connection-closed'; readonly conn: number; readonly reason: CloseReason };

/** What the machine wants done. */
export type SwarmEffect =
  // Answers to the embedding program.
  /** The length is known: HEAD and headers can be answered, a reader can start. Emitted once per pull, before `pull-finished` ok. */
  | { readonly type: 'pull-opened'; readonly pull: number; readonly metainfo: MetaInfo }
  /** Exactly once per `pull-requested`, also after `pull-cancelled`. Success of a whole-blob pull means committed; of a range: its pieces are verified. */
  | { readonly type: 'pull-finished'; readonly pull: number; readonly failure?: Failure }
  | { readonly type: 'removal-finished'; readonly request: number; readonly failure?: Failure }
  // Work for the host.
  | { readonly type: 'fetch-metainfo'; readonly namespace: string; readonly digest: Digest }
  /** With metainfo: create or resume the local file. Without: look the blob up locally (an origin may start a refresh and fail). */
  | { readonly type: 'open-blob'; readonly namespace: string; readonly digest: Digest; readonly metainfo?: MetaInfo }
  /** Get the piece layer of an open blob from the tracker, or from the peer of `conn`, check it, keep it. */
  | { readonly type: 'fetch-layer'; readonly namespace: string; readonly digest: Digest; readonly conn?: number }
  /** `event` is a hint for our trackers; Go trackers ignore it. */
  | {
      readonly type: 'announce';
      readonly namespace: string;
      readonly digest: Digest;
      readonly infoHash: InfoHash;
      readonly complete: boolean;
      readonly event?: 'stopped';
    }
  /** Connect, send `handshake`, read the reply; all within `timeoutMs` per step. */
  | {
      readonly type: 'dial';
      readonly conn: number;
      readonly peer: PeerId;
      readonly ip: string;
      readonly port: number;
      readonly handshake: Handshake;
      readonly timeoutMs: number;
    }
  /** Reply to an accepted handshake; the connection is live afterwards. */
  | { readonly type: 'accept'; readonly conn: number; readonly handshake: Handshake }
  | { readonly type: 'close'; readonly conn: number; readonly reason: CloseReason }
  | { readonly type: 'send'; readonly conn: number; readonly message: PeerMessage }
  /** The same message to many connections: encode once. */
  | { readonly type: 'broadcast'; readonly conns: readonly number[]; readonly message: PeerMessage }
  /** Queue a payload header and the bytes of `piece`. */
  | {
      readonly type: 'send-piece';
      readonly conn: number;
      readonly digest: Digest;
      readonly piece: number;
      readonly length: number;
    }
  /** Permission for the payload whose header just came: bytes go to `piece` of the blob and are checked on the way. */
  | {
      readonly type: 'receive-piece';
      readonly conn: number;
      readonly digest: Digest;
      readonly piece: number;
      readonly length: number;
    }
  /** Read and drop the payload whose header just came; nothing is reported back. */
  | { readonly type: 'discard-payload'; readonly conn: number; readonly length: number }
  /**
   * All pieces are verified: check the whole blob against its digest and move it to the cache. When it does not fit, forget
   * the pieces `doubts`, or delete everything when there are none.
   */
  | { readonly type: 'commit-blob'; readonly digest: Digest; readonly doubts?: Bitfield }
  /** The torrent leaves memory; files stay. Descriptors may be closed. */
  | { readonly type: 'close-blob'; readonly digest: Digest }
  | { readonly type: 'delete-blob'; readonly digest: Digest }
  /** Metrics, logs, network events. Must not influence anything. */
  | { readonly type: 'observe'; readonly observation: SwarmObservation };

/** What the machine reports about itself; p2p.md §9 names the Go counterparts. */
export type SwarmObservation =
  /** `rooted`: its pieces are proved by a piece layer, not by CRC-32 alone. */
  | {
      readonly kind: 'torrent-added';
      readonly digest: Digest;
      readonly infoHash: InfoHash;
      readonly complete: boolean;
      readonly rooted: boolean;
    }
  /** `from`: the peer; absent: the tracker. */
  | { readonly kind: 'layer-fetched'; readonly digest: Digest; readonly from?: PeerId }
  /** A blob without a root did not fit its digest; so many pieces are fetched again from origins. */
  | { readonly kind: 'blob-doubted'; readonly digest: Digest; readonly pieces: number }
  /** What the peer had sent for `piece` differs from what an origin sent. */
  | { readonly kind: 'peer-blamed'; readonly digest: Digest; readonly peer: PeerId; readonly piece: number }
  | { readonly kind: 'torrent-completed'; readonly digest: Digest; readonly infoHash: InfoHash }
  | { readonly kind: 'torrent-removed'; readonly digest: Digest; readonly reason: string }
  | { readonly kind: 'connection-added'; readonly digest: Digest; readonly peer: PeerId; readonly inbound: boolean }
  | {
      readonly kind: 'connection-dropped';
      readonly digest: Digest;
      readonly peer: PeerId;
      readonly reason: CloseReason;
    }
  | {
      readonly kind: 'connection-refused';
      readonly digest: Digest;
      readonly peer: PeerId;
      readonly reason: CloseReason;
    }
  | { readonly kind: 'peer-blacklisted'; readonly digest: Digest; readonly peer: PeerId; readonly durationMs: number }
  | { readonly kind: 'piece-requested'; readonly digest: Digest; readonly peer: PeerId; readonly piece: number }
  | {
      readonly kind: 'piece-received';
      readonly digest: Digest;
      readonly peer: PeerId;
      readonly piece: number;
      readonly length: number;
      readonly fromOrigin: boolean;
      /** Checked against the piece layer; otherwise by CRC-32 only. */
      readonly proven: boolean;
    }
  | { readonly kind: 'piece-duplicate'; readonly digest: Digest; readonly peer: PeerId; readonly piece: number }
  | {
      readonly kind: 'piece-rejected';
      readonly digest: Digest;
      readonly peer: PeerId;
      readonly piece: number;
      readonly verdict: PieceVerdict;
    }
  | { readonly kind: 'request-expired'; readonly digest: Digest; readonly peer: PeerId; readonly piece: number }
  | {
      readonly kind: 'piece-uploaded';
      readonly digest: Digest;
      readonly peer: PeerId;
      readonly piece: number;
      readonly length: number;
    }
  | { readonly kind: 'peer-misbehaved'; readonly peer: PeerId; readonly says: string };
