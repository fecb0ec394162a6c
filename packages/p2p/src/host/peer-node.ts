/**
 * A node of the swarm for embedding: pulls blobs, seeds blobs, serves peers. Owns the listener, the host and the
 * machine behind it. Never speaks HTTP; the tracker client that it is given does.
 */
import { createHash, randomInt } from 'node:crypto';
import { parsePeerId, type Digest, type MetaInfo, type PeerContext, type PeerId } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  silentLogger,
  silentMetrics,
  type BlobSource,
  type ByteRange,
  type CancelSignal,
  type Logger,
  type Metrics,
  type OpenOptions,
  type TrackerClient,
} from '@kraken/core/ports';
import { Random } from '@kraken/core/random';
import {
  DEFAULT_SWARM_CONFIG,
  SwarmMachine,
  type BlacklistEntry,
  type SwarmConfig,
  type TorrentStatus,
} from '@kraken/core/swarm';
import type { PieceStore, TorrentFile } from '../store/piece-store.js';
import { processPools, type BufferPools } from './buffer-pool.js';
import { systemClock } from './clock.js';
import { HostCounters } from './counters.js';
import { PeerListener } from './listener.js';
import type { PeerSocketShared } from './peer-socket.js';
import type { Pull } from './pull.js';
import { FedBlob, type BlobFeed, type SwarmBlob } from './swarm-blob.js';
import { SwarmHost } from './swarm-host.js';
import { SwarmStats, type TransferStats } from './swarm-stats.js';
import { TokenBucket } from './token-bucket.js';
import { HeldFile } from './torrent-table.js';

/** The disk of a node. */
export interface NodeStore extends PieceStore {
  /** Length of a committed blob, where the store can tell it without opening the torrent. */
  stat?(digest: Digest): Promise<{ readonly length: number } | undefined>;
  /** Call `listener` for each blob that the store drops by itself. @returns how to stop */
  onEvict?(listener: (digest: Digest) => void): () => void;
}

/** Limits on payload bytes of the node, both directions; absent = none. Kraken: `scheduler.conn.bandwidth`, there in bits. */
export interface Bandwidth {
  readonly egressBytesPerSec?: number | undefined;
  readonly ingressBytesPerSec?: number | undefined;
}

/** Settings of the swarm that differ from the defaults. */
export type SwarmSettings = Partial<Omit<SwarmConfig, 'peerId' | 'role'>>;

export interface PeerNodeOptions {
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
    readonly zone?: string;
    readonly cluster?: string;
    readonly origin?: boolean;
  };
  /** Default: the peer port on all interfaces, as Kraken does. */
  readonly listen?: { readonly host?: string; readonly port?: number };
  readonly swarm?: SwarmSettings;
  readonly bandwidth?: Bandwidth;
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
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export interface PullOptions extends OpenOptions {
  /** Repository that the blob belongs to: decides which storage backend has it. Default {@link DEFAULT_NAMESPACE}. */
  readonly namespace?: string;
  /** Called when pieces have been stored. */
  readonly onProgress?: (progress: { readonly verifiedBytes: number; readonly totalBytes: number }) => void;
}

/** Totals of a node. */
export interface NodeStats extends Readonly<TransferStats> {
  readonly torrents: number;
  /** Connections that are attached to torrents. */
  readonly connections: number;
  readonly host: Readonly<HostCounters>;
  /** How often a transfer had to wait for bandwidth or a buffer. */
  readonly waits: { readonly egress: number; readonly ingress: number };
}

/** Namespace of pulls that name none: trackers refuse an empty one, and it matches backends for `.*`. */
export const DEFAULT_NAMESPACE = 'default';

const DEADLINE_MS = 15 * 60_000;
const HANDSHAKES_MAX = 256;
const TURN_BUDGET_BYTES = 512 * 1024;

/**
 * Start a node: it listens when this resolves.
 * @throws KrakenError `network-error` when the port cannot be had
 *
 * @example
 * const node = await createPeerNode({ store, tracker, peer: { ip: '10.0.0.7' } });
 * const blob = await node.open(digest, { namespace: 'library/redis' });
 * for await (const chunk of blob.stream()) sink.write(chunk);
 */
export async function createPeerNode(options: PeerNodeOptions): Promise<PeerNode> {
  const logger = options.logger ?? silentLogger;
  const config = { ...DEFAULT_SWARM_CONFIG, ...options.swarm };
  const shared: PeerSocketShared = {
    pools: options.pools ?? processPools,
    ingress: new TokenBucket(options.bandwidth?.ingressBytesPerSec),
    egress: new TokenBucket(options.bandwidth?.egressBytesPerSec),
    counters: new HostCounters(),
    clock: systemClock,
    turnBudgetBytes: options.turnBudgetBytes ?? TURN_BUDGET_BYTES,
  };
  const handshakesMax = options.handshakesMax ?? HANDSHAKES_MAX;
  const settings = { handshakeTimeoutMs: config.handshakeTimeoutMs };
  const listener = new PeerListener({
    ...(options.listen?.host === undefined ? {} : { host: options.listen.host }),
    port: options.listen?.port ?? options.peer.port ?? 0,
    limits: { handshakesMax, socketsMax: handshakesMax + config.connectionsMax },
    shared,
    handshakeTimeoutMs: () => settings.handshakeTimeoutMs,
    failed: (error) => logger.error({ error }, 'the listening socket failed'),
  });
  const port = await listener.listen();
  const context = contextOf(options.peer, port);
  const role = context.origin ? 'origin' : 'agent';
  const swarm: SwarmConfig = { ...config, role, peerId: context.peerId };
  const stats = new SwarmStats(logger, options.metrics ?? silentMetrics);
  const machine = new SwarmMachine(swarm, new Random(options.seed ?? randomInt(2 ** 32)));
  const host = new SwarmHost({
    machine,
    store: options.store,
    tracker: options.tracker,
    context,
    shared,
    stats,
    logger,
    ...(options.lookupMissing === undefined ? {} : { lookupMissing: options.lookupMissing }),
  });
  listener.serve((peer) => host.accepted(peer));
  return new PeerNode({ options, port, context, swarm, settings, listener, host, machine, shared, stats });
}

function contextOf(peer: PeerNodeOptions['peer'], listening: number): PeerContext {
  if (peer.ip === '') throw new TypeError('peer.ip expected an address that others can dial, got an empty string');
  const port = peer.port === undefined || peer.port === 0 ? listening : peer.port;
  return {
    ip: peer.ip,
    port,
    peerId: peer.peerId ?? addrHash(peer.ip, port),
    zone: peer.zone ?? '',
    cluster: peer.cluster ?? '',
    origin: peer.origin ?? false,
  };
}

/** Kraken's `addr_hash`: SHA-1 of `ip:port`. */
export function addrHash(ip: string, port: number): PeerId {
  return parsePeerId(createHash('sha1').update(`${ip}:${port}`).digest('hex'));
}

interface NodeParts {
  readonly options: PeerNodeOptions;
  readonly port: number;
  readonly context: PeerContext;
  readonly swarm: SwarmConfig;
  readonly settings: { handshakeTimeoutMs: number };
  readonly listener: PeerListener;
  readonly host: SwarmHost;
  readonly machine: SwarmMachine;
  readonly shared: PeerSocketShared;
  readonly stats: SwarmStats;
}

/** A running node; made by {@link createPeerNode}. */
export class PeerNode {
  /** The port that is listened on. */
  readonly port: number;
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
      return { length: (await tracker.metaInfo(options.namespace ?? DEFAULT_NAMESPACE, digest, options.signal)).length };
    } catch (error) {
      if (isKrakenError(error, 'blob-unknown')) return undefined;
      throw error;
    }
  }

  /**
   * Open a blob: resolves when its length is known, streams while the swarm delivers. With a range, only the pieces of
   * the range are fetched, unless it ends where the blob ends: its last bytes are shown only once the whole digest has
   * been checked, so such a range fetches the whole blob.
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
      if (range !== undefined && range.end === metainfo.length && range.start > 0) {
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
      if (local?.file.committed === true) return;
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

  /** Replaces both limits; absent = none. Counts at once, also for transfers under way. */
  setBandwidth(bandwidth: Bandwidth): void {
    this.#parts.shared.egress.setRate(bandwidth.egressBytesPerSec);
    this.#parts.shared.ingress.setRate(bandwidth.ingressBytesPerSec);
  }

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
    return file === undefined ? undefined : new HeldFile(file);
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
  #reportProgress(digest: Digest, { onProgress }: PullOptions): () => void {
    if (onProgress === undefined) return () => undefined;
    const { host } = this.#parts;
    return host.onProgress(digest, () => {
      const held = host.torrents.get(digest);
      if (held !== undefined)
        onProgress({ verifiedBytes: verifiedBytes(held.file), totalBytes: held.file.metainfo.length });
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
