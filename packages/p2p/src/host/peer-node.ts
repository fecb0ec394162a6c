/**
 * A node of the swarm for embedding: pulls blobs, seeds blobs, serves peers. Owns the listener, the host and the
 * machine behind it. Never speaks HTTP; the tracker client that it is given does.
 */
import type { Digest, MetaInfo, PeerContext } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { Recorder } from '@kraken/core/machine';
import type { BlobSource, ByteRange, CancelSignal } from '@kraken/core/ports';
import type {
  BlacklistEntry,
  SwarmConfig,
  SwarmEffect,
  SwarmEvent,
  SwarmMachine,
  TorrentStatus,
} from '@kraken/core/swarm';
import type { TorrentFile } from '../store/piece-store.js';
import { limitBandwidth, type Bandwidth } from './bandwidth.js';
import type { LineFile } from './line-file.js';
import type { PeerListener } from './listener.js';
import type { NetworkEvents } from './network-events.js';
import {
  DEFAULT_NAMESPACE,
  type NodeStats,
  type PeerNodeOptions,
  type PullOptions,
  type SwarmSettings,
} from './peer-node-options.js';
import type { PeerSocketShared } from './peer-socket.js';
import type { Pull } from './pull.js';
import { FedBlob, type BlobFeed, type SwarmBlob } from './swarm-blob.js';
import type { SwarmHost } from './swarm-host.js';
import type { SwarmStats, TransferStats } from './swarm-stats.js';
import type { PeerTlsMaterial } from './tls-settings.js';
import { HeldFile } from './torrent-table.js';

const DEADLINE_MS = 15 * 60_000;

/** The node's recording: who makes the lines, who keeps them. */
export interface NodeRecording {
  readonly recorder: Recorder<SwarmEvent, SwarmEffect>;
  readonly file: LineFile;
}

/** What `createPeerNode` puts together. */
export interface NodeParts {
  readonly options: PeerNodeOptions;
  readonly port: number;
  readonly context: PeerContext;
  readonly swarm: SwarmConfig;
  readonly settings: { handshakeTimeoutMs: number };
  readonly listener: PeerListener;
  readonly recording: NodeRecording | undefined;
  readonly networkEvents: NetworkEvents | undefined;
  readonly host: SwarmHost;
  readonly machine: SwarmMachine;
  readonly shared: PeerSocketShared;
  readonly stats: SwarmStats;
}

/** A running node; made by `createPeerNode`. */
export class PeerNode {
  /** The port that is listened on. */
  readonly port: number;
  /** Who the node is to others. */
  readonly context: PeerContext;
  /** The node as a source of blobs for HTTP handlers. */
  readonly blobs: BlobSource;
  readonly #parts: NodeParts;
  readonly #stopListening: (() => void) | undefined;
  #swarm: SwarmConfig;

  /** @internal */
  constructor(parts: NodeParts) {
    this.#parts = parts;
    this.#swarm = parts.swarm;
    this.port = parts.port;
    this.context = parts.context;
    this.#stopListening = parts.options.store.onEvict?.((digest) => parts.host.post({ type: 'blob-evicted', digest }));
    this.blobs = {
      stat: (namespace, digest, signal) =>
        this.stat(digest, { namespace, ...(signal === undefined ? {} : { signal }) }),
      open: (namespace, digest, open) => this.open(digest, { ...open, namespace }),
    };
  }

  /** Length of a blob without its content: from the disk, else from the tracker's metainfo. `undefined` when nobody has it. */
  async stat(
    digest: Digest,
    options: { namespace?: string; signal?: CancelSignal } = {},
  ): Promise<{ length: number } | undefined> {
    const { store, tracker } = this.#parts.options;
    const open = this.#parts.host.torrents.get(digest);
    if (open !== undefined) return { length: open.file.metainfo.length };
    const known = await store.stat?.(digest);
    if (known !== undefined) return { length: known.length };
    if (tracker === undefined) return undefined;
    try {
      return {
        length: (await tracker.metaInfo(options.namespace ?? DEFAULT_NAMESPACE, digest, options.signal)).length,
      };
    } catch (error) {
      if (isKrakenError(error, 'blob-unknown')) return undefined;
      throw error;
    }
  }

  /**
   * Open a blob: resolves when its length is known, streams while the swarm delivers. With a range, only the pieces of
   * the range are fetched, unless it ends where a blob without a root ends: its last bytes are shown only once the whole
   * digest has been checked, so such a range fetches the whole blob.
   * @throws KrakenError `blob-unknown`, `too-many-pulls`, `pull-timeout`, `range-invalid`, `cancelled`, `shutting-down`, …
   */
  async open(digest: Digest, options: PullOptions = {}): Promise<SwarmBlob> {
    this.#check(options.signal);
    const local = await this.#localFile(digest);
    if (local?.file.committed === true) return this.#openLocal(local, options);
    try {
      let pull = this.#pull(digest, options, true, options.range);
      let metainfo = await this.#opened(pull, options.signal);
      const { range } = options;
      if (range !== undefined && (range.start < 0 || range.start > range.end || range.end > metainfo.length)) {
        this.#parts.host.cancel(pull);
        throw new KrakenError(
          'range-invalid',
          `range ${range.start}–${range.end} is not within ${metainfo.length} bytes`,
        );
      }
      const isProven = metainfo.piecesRoot !== undefined;
      if (range !== undefined && range.end === metainfo.length && range.start > 0 && !isProven) {
        const whole = this.#pull(digest, options, true, undefined);
        this.#parts.host.cancel(pull);
        pull = whole;
        metainfo = await this.#opened(pull, options.signal);
      }
      return this.#openPulled(pull, metainfo, options);
    } finally {
      local?.done();
    }
  }

  /** Fetch a blob until it is committed to the disk. Nothing to do when it is. @throws as {@link open} */
  async download(digest: Digest, options: PullOptions = {}): Promise<void> {
    this.#check(options.signal);
    const local = await this.#localFile(digest);
    try {
      if (local?.file.committed === true) {
        this.#report(local.file, options);
        return;
      }
      const pull = this.#pull(digest, options, false, options.range);
      const stop = this.#reportProgress(digest, options);
      try {
        await this.#untilAborted(pull, options.signal, pull.finished);
      } finally {
        stop();
      }
    } finally {
      local?.done();
    }
  }

  /** Offer a committed local blob to the swarm. @throws KrakenError `blob-unknown` when it is not here or has no metainfo */
  async seed(digest: Digest, namespace: string): Promise<void> {
    this.#check(undefined);
    const local = await this.#localFile(digest);
    const committed = local?.file.committed === true;
    if (committed) this.#parts.host.post({ type: 'seed-requested', namespace, digest });
    local?.done();
    if (!committed) throw new KrakenError('blob-unknown', `${digest} is not complete on this node`);
  }

  /** Forget the torrent and delete its files; pulls of it fail with `removed`. @throws KrakenError `blob-pinned` */
  remove(digest: Digest): Promise<void> {
    this.#check(undefined);
    return this.#parts.host.remove(digest);
  }

  /** @throws KrakenError `not-ready` unless the node listens and its machine answers */
  probe(): void {
    this.#check(undefined);
    if (!this.#parts.listener.listening) throw new KrakenError('not-ready', 'the peer port is not listened on');
    this.#parts.host.post({ type: 'woke' });
  }

  /** Change settings of the running swarm; connections and downloads go on. */
  reconfigure(changes: SwarmSettings): void {
    this.#swarm = { ...this.#swarm, ...changes };
    this.#parts.settings.handshakeTimeoutMs = this.#swarm.handshakeTimeoutMs;
    this.#parts.host.post({ type: 'reconfigured', config: this.#swarm });
  }

  /** The settings in force. */
  get swarm(): SwarmConfig {
    return this.#swarm;
  }

  /** Replaces both limits and the weights; absent = none. Counts at once, also for transfers under way. @throws RangeError, SyntaxError */
  setBandwidth(bandwidth: Bandwidth): void {
    limitBandwidth(this.#parts.shared, bandwidth);
  }

  /**
   * New certificates and authorities for connections to come; those that exist go on. The mode stays. Nothing happens
   * on a node without TLS.
   * @throws KrakenError `config-invalid`; the old ones then stay
   */
  reloadTls(material: PeerTlsMaterial): void {
    this.#parts.shared.tls?.reload(material);
  }

  /** Totals since the start. */
  stats(): NodeStats {
    const { stats, shared } = this.#parts;
    return {
      ...stats.total,
      torrents: stats.torrents,
      connections: stats.connections,
      host: shared.counters,
      waits: {
        egress: shared.egress.waits + shared.pools.send.waits,
        ingress: shared.ingress.waits + shared.pools.receive.waits,
      },
    };
  }

  /** Totals of one torrent since the start of the node; `undefined` when nothing was transferred, or long ago. */
  statsOf(digest: Digest): Readonly<TransferStats> | undefined {
    return this.#parts.stats.of(digest);
  }

  /** Peers that are left alone for a while (Kraken: blacklist), per torrent. */
  blacklist(): readonly BlacklistEntry[] {
    return this.#parts.machine.blacklistSnapshot(this.#parts.host.now());
  }

  /** State of one torrent in memory; `undefined` when there is none. */
  status(digest: Digest): TorrentStatus | undefined {
    return this.#parts.machine.status(digest);
  }

  /** Stop: pulls fail with `shutting-down`, trackers are told, connections closed. Takes at most 5 s. */
  async close(): Promise<void> {
    this.#stopListening?.();
    this.#parts.listener.close();
    await this.#parts.host.stop();
    this.#parts.recording?.recorder.end('stopped');
    this.#parts.recording?.file.close();
    this.#parts.networkEvents?.close();
  }

  #check(signal: CancelSignal | undefined): void {
    if (this.#parts.host.stopping) throw new KrakenError('shutting-down');
    if (signal?.aborted === true) throw cancelled(signal);
  }

  /** What is on disk, held; `undefined` when nothing is. */
  async #localFile(digest: Digest): Promise<HeldFile | undefined> {
    const { host, options } = this.#parts;
    const open = host.torrents.get(digest);
    if (open !== undefined) return open.use();
    const file = await options.store.lookup(digest);
    return file === undefined ? undefined : new HeldFile(file, DEFAULT_NAMESPACE);
  }

  #pull(digest: Digest, options: PullOptions, streaming: boolean, range: ByteRange | undefined): Pull {
    this.#check(options.signal);
    return this.#parts.host.pull({
      namespace: options.namespace ?? DEFAULT_NAMESPACE,
      digest,
      deadlineMs: options.deadlineMs ?? this.#parts.options.defaultDeadlineMs ?? DEADLINE_MS,
      streaming,
      ...(range === undefined ? {} : { range }),
    });
  }

  #opened(pull: Pull, signal: CancelSignal | undefined): Promise<MetaInfo> {
    return this.#untilAborted(pull, signal, pull.opened);
  }

  /** `result`, with the pull cancelled when `signal` is aborted meanwhile. */
  async #untilAborted<T>(pull: Pull, signal: CancelSignal | undefined, result: Promise<T>): Promise<T> {
    const onAbort = (): void => this.#parts.host.cancel(pull);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await result;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #openPulled(pull: Pull, metainfo: MetaInfo, options: PullOptions): SwarmBlob {
    const { host } = this.#parts;
    pull.whenOver(this.#reportProgress(pull.digest, options));
    const feed: BlobFeed = {
      file: (signal) => this.#pulledFile(pull, signal),
      needs: (piece) => {
        if (!pull.over) host.post({ type: 'reader-moved', pull: pull.id, piece });
      },
      gaveUp: () => host.cancel(pull),
    };
    return new FedBlob(metainfo, feed, { pull, range: options.range, signal: options.signal });
  }

  #openLocal(local: HeldFile, options: PullOptions): SwarmBlob {
    const { metainfo } = local.file;
    this.#report(local.file, options);
    local.done();
    const feed: BlobFeed = {
      file: async () => {
        const again = await this.#localFile(metainfo.digest);
        if (again === undefined) throw new KrakenError('removed', `${metainfo.digest} is gone`);
        return again;
      },
      needs: () => undefined,
      gaveUp: () => undefined,
    };
    return new FedBlob(metainfo, feed, { range: options.range, signal: options.signal });
  }

  /** The file of a pull that was opened, once the machine has opened it. */
  async #pulledFile(pull: Pull, signal: AbortSignal): Promise<HeldFile> {
    const { host } = this.#parts;
    const open = host.torrents.get(pull.digest);
    if (open !== undefined) return open.use();
    if (!pull.over) {
      const opened = await new Promise<HeldFile | undefined>((resolve, reject) => {
        const leave = host.torrents.whenOpen(pull.digest, (held) => resolve(held.use()));
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        pull.whenOver((failure) => {
          leave();
          if (failure === undefined) resolve(undefined);
          else reject(failure);
        });
      });
      if (opened !== undefined) return opened;
    }
    if (pull.failure !== undefined) throw pull.failure;
    // Finished, and the torrent has left memory meanwhile.
    const local = await this.#localFile(pull.digest);
    if (local === undefined) throw new KrakenError('removed', `${pull.digest} is gone`);
    return local;
  }

  /** @returns how to stop reporting */
  #reportProgress(digest: Digest, options: PullOptions): () => void {
    if (options.onProgress === undefined) return () => undefined;
    const { host } = this.#parts;
    const report = (): void => {
      const held = host.torrents.get(digest);
      if (held !== undefined) this.#report(held.file, options);
    };
    report();
    return host.onProgress(digest, report);
  }

  #report(file: TorrentFile, { onProgress }: PullOptions): void {
    const { have, metainfo } = file;
    onProgress?.({
      verifiedBytes: verifiedBytes(file),
      totalBytes: metainfo.length,
      verifiedPieces: have.count,
      totalPieces: have.length,
      peers: this.status(metainfo.digest)?.connections ?? 0,
    });
  }
}

function verifiedBytes({ have, metainfo }: TorrentFile): number {
  const { length, pieceLength } = metainfo;
  if (have.length === 0) return 0;
  const last = have.length - 1;
  const missingOfLast = have.has(last) ? (last + 1) * pieceLength - length : 0;
  return have.count * pieceLength - missingOfLast;
}

function cancelled(signal: CancelSignal): KrakenError {
  return isKrakenError(signal.reason)
    ? signal.reason
    : new KrakenError('cancelled', undefined, { cause: signal.reason });
}
