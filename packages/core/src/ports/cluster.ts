/** How roles reach each other. Implemented by registry-http's typed clients and p2p's tracker client; faked in tests. */
import type { Digest, InfoHash, MetaInfo, PeerInfo, PiecesRoot } from '../content/index.js';
import type { CancelSignal } from './cancel.js';

/** A set of hosts that serve shards of digests, with passive health (Kraken: passive hash ring). */
export interface HostRing {
  /** `host:port` in order of preference; never empty. */
  locations(digest: Digest): readonly string[];
  /** A request to `host` got no answer. */
  failed(host: string): void;
}

/** An announce as p2p sends it to trackers. */
export interface AnnounceRequest {
  readonly namespace: string;
  readonly digest: Digest;
  readonly infoHash: InfoHash;
  readonly peer: PeerInfo;
  /** Hint for our trackers: the peer leaves the torrent. Go trackers ignore the key and record the peer once more. */
  readonly event?: 'stopped';
}

/** What a tracker says to an announce. */
export interface AnnounceAnswer {
  readonly peers: readonly PeerInfo[];
  readonly intervalMs: number;
}

/** What an agent asks of trackers. */
export interface TrackerClient {
  /** @throws KrakenError `tracker-unavailable` */
  announce(request: AnnounceRequest, signal?: CancelSignal): Promise<AnnounceAnswer>;
  /** Polls while the origin is still fetching. @throws KrakenError `blob-unknown`, `storage-unavailable`, `tracker-unavailable` */
  /**
   * With `rejected`, metainfo with one of these roots is not taken: the blob turned out not to fit it.
   * @throws KrakenError `root-mismatch` when nobody has any other
   */
  metaInfo(
    namespace: string,
    digest: Digest,
    signal?: CancelSignal,
    rejected?: readonly PiecesRoot[],
  ): Promise<MetaInfo>;
  /**
   * The piece layer under the root of `metainfo`. Another tracker is asked when `check` throws.
   * @throws KrakenError `tracker-unavailable`, or what `check` threw last
   */
  pieceLayer?(
    namespace: string,
    metainfo: MetaInfo,
    check: (layer: Uint8Array) => Promise<void>,
    signal?: CancelSignal,
  ): Promise<void>;
  /** Whether it can work. @throws KrakenError `not-ready` */
  checkReady(signal?: CancelSignal): Promise<void>;
}

/** What a tracker asks of the origin cluster. */
export interface OriginDirectory {
  /** Origins that seed `digest`, in ring order, as complete peers. @throws KrakenError `origin-unavailable` */
  originPeers(digest: Digest, signal?: CancelSignal): Promise<readonly PeerInfo[]>;
  /**
   * The metainfo response of an origin, passed on as it is: 200 body, or another status (202, 404, 5xx) with its text. An
   * answer that names the root `rejected` is passed on only when no origin gives another one.
   * @throws KrakenError `origin-unavailable` when none answers
   */
  metaInfoResponse(
    namespace: string,
    digest: Digest,
    signal?: CancelSignal,
    rejected?: PiecesRoot,
  ): Promise<{ status: number; body: string }>;
  /** The piece layer under `root` as an origin has it, unchecked; `undefined` when none has it. @throws KrakenError `origin-unavailable` */
  pieceLayer?(
    namespace: string,
    digest: Digest,
    root: PiecesRoot,
    signal?: CancelSignal,
  ): Promise<Uint8Array | undefined>;
  /** @throws KrakenError `not-ready` */
  checkReady(signal?: CancelSignal): Promise<void>;
}

/** What proxy and build-index ask of the origin cluster. */
export interface OriginCluster {
  /** Length of a blob; `undefined` when no origin and no storage has it. @throws KrakenError `storage-unavailable`, `origin-unavailable` */
  stat(namespace: string, digest: Digest, signal?: CancelSignal): Promise<{ length: number } | undefined>;
  /** Bytes are verified against `digest` on the way: the stream ends well only if they match. @throws KrakenError `blob-unknown`, `storage-unavailable`, `origin-unavailable` */
  download(
    namespace: string,
    digest: Digest,
    options?: { range?: { start: number; end: number }; signal?: CancelSignal },
  ): Promise<{ length: number; stream: AsyncIterable<Uint8Array> }>;
  /** Resolves when an origin acknowledged the commit. `source.open` may be called again for the next owner. */
  upload(
    namespace: string,
    digest: Digest,
    source: { length: number; open(): AsyncIterable<Uint8Array> },
    signal?: CancelSignal,
  ): Promise<void>;
  /** Whether it can work. @throws KrakenError `not-ready` */
  checkReady(signal?: CancelSignal): Promise<void>;
}

/** What agents and proxies ask of build-index. */
export interface TagSource {
  /** @throws KrakenError `tag-unknown`, `build-index-unavailable` */
  get(tag: string, signal?: CancelSignal): Promise<Digest>;
  /** `PUT …?replicate=true`. @throws KrakenError with the reason when dependencies are missing */
  put(tag: string, digest: Digest, signal?: CancelSignal): Promise<void>;
  /** Tags (without the repository) of one repository, all pages. @throws KrakenError `repository-unknown` */
  listRepository(repository: string, signal?: CancelSignal): Promise<readonly string[]>;
  /** Names `repo:tag` under a prefix, one page. */
  list(
    prefix: string,
    page?: { limit?: number; offset?: string },
    signal?: CancelSignal,
  ): Promise<{ names: readonly string[]; offset?: string }>;
  /** Whether it can work. @throws KrakenError `not-ready` */
  checkReady(signal?: CancelSignal): Promise<void>;
}
