/**
 * What the machine asks of the tracker and of the disk: each piece of work ends in exactly one event. Owns the work
 * under way and its cancellation. Never decides what is asked.
 */
import { withRoot, type Bitfield, type Digest, type PeerContext, type PiecesRoot } from '@kraken/core/content';
import { asKrakenError, isKrakenError, KrakenError, type ErrorCode } from '@kraken/core/errors';
import type { Logger, TrackerClient } from '@kraken/core/ports';
import type { Failure, SwarmEffect, SwarmEvent } from '@kraken/core/swarm';
import type { PieceStore } from '../store/piece-store.js';
import type { LayerExchange } from './layer-exchange.js';
import type { TorrentTable } from './torrent-table.js';

/** Blobs whose wrong roots are remembered, and roots of each. Guess. */
const REJECTED_MAX = 1000;
const ROOTS_MAX = 4;

/** One kind of effect. */
export type EffectOf<T extends SwarmEffect['type']> = Extract<SwarmEffect, { type: T }>;

export interface SwarmWorkOptions {
  readonly store: PieceStore;
  /** Absent on origins. */
  readonly tracker: TrackerClient | undefined;
  /** As announced. */
  readonly context: PeerContext;
  readonly torrents: TorrentTable;
  readonly layers: LayerExchange;
  /** Take metainfo as if it had no root. */
  readonly ignoreRoots: boolean;
  readonly logger: Logger;
  /** A peer asked for a blob that is not on disk. */
  readonly lookupMissing: ((namespace: string, digest: Digest) => void) | undefined;
  /** A blob did not fit the root that its metainfo named. */
  rootRejected(): void;
  /** Takes the events. */
  post(event: SwarmEvent): void;
}

export class SwarmWork {
  readonly #options: SwarmWorkOptions;
  /** Ends tracker requests when the node stops. */
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  /** Roots that proved wrong. */
  readonly #rejected = new Map<Digest, readonly PiecesRoot[]>();

  constructor(options: SwarmWorkOptions) {
    this.#options = options;
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** Give up what can be given up; what still ends, ends as a failure. */
  abort(): void {
    this.#abort.abort(new KrakenError('shutting-down'));
  }

  fetchMetaInfo({ namespace, digest }: EffectOf<'fetch-metainfo'>): void {
    this.#do(
      async () => {
        const rejected = this.#rejected.get(digest);
        const fetched = await this.#tracker().metaInfo(namespace, digest, this.#abort.signal, rejected);
        const metainfo = this.#options.ignoreRoots ? withRoot(fetched, undefined) : fetched;
        if (metainfo.digest !== digest) {
          throw new KrakenError('metainfo-invalid', `asked for ${digest}, got the metainfo of ${metainfo.digest}`);
        }
        return { type: 'metainfo-fetched', digest, metainfo };
      },
      'tracker-unavailable',
      (failure) => ({ type: 'metainfo-fetch-failed', digest, failure }),
    );
  }

  openBlob({ namespace, digest, metainfo }: EffectOf<'open-blob'>): void {
    const { store, torrents } = this.#options;
    this.#do(
      async () => {
        const file = metainfo === undefined ? await store.lookup(digest) : await store.create(metainfo);
        if (file === undefined) {
          this.#options.lookupMissing?.(namespace, digest);
          throw new KrakenError('blob-unknown', `${digest} is not on this node`);
        }
        if (this.#abort.signal.aborted) {
          file.release();
          throw new KrakenError('shutting-down');
        }
        torrents.add(digest, file, namespace);
        return {
          type: 'blob-opened',
          digest,
          metainfo: file.metainfo,
          have: file.have.clone(),
          committed: file.committed,
          layerMissing: file.proof?.isWaiting === true,
        };
      },
      'io-error',
      (failure) => ({ type: 'blob-open-failed', digest, failure }),
    );
  }

  /** From the tracker, or from the peer of `conn`. */
  fetchLayer({ namespace, digest, conn }: EffectOf<'fetch-layer'>): void {
    const from = conn === undefined ? {} : { conn };
    this.#do(
      async () => {
        if (conn === undefined) await this.#fetchLayer(namespace, digest);
        else await this.#options.layers.fetch(conn, digest);
        // The torrent may have been opened anew meanwhile.
        if (this.#options.torrents.get(digest)?.file.proof?.isWaiting !== false) {
          throw new KrakenError('removed', `the download of ${digest} that the layer was for is gone`);
        }
        return { type: 'layer-fetched', digest, ...from };
      },
      'tracker-unavailable',
      (failure) => ({ type: 'layer-fetch-failed', digest, ...from, failure }),
    );
  }

  async #fetchLayer(namespace: string, digest: Digest): Promise<void> {
    const held = this.#options.torrents.get(digest)?.use();
    const tracker = this.#tracker();
    try {
      const { proof, metainfo } = held?.file ?? {};
      if (proof === undefined || metainfo === undefined || tracker.pieceLayer === undefined) {
        throw new KrakenError('tracker-unavailable', 'nobody to ask for a piece layer');
      }
      await tracker.pieceLayer(namespace, metainfo, (layer) => proof.accept(layer), this.#abort.signal);
    } finally {
      held?.done();
    }
  }

  announce({ namespace, digest, infoHash, complete, event }: EffectOf<'announce'>): void {
    const { context } = this.#options;
    const peer = { peerId: context.peerId, ip: context.ip, port: context.port, origin: context.origin, complete };
    const request = { namespace, digest, infoHash, peer, ...(event === undefined ? {} : { event }) };
    this.#do(
      async () => {
        const { peers, intervalMs } = await this.#tracker().announce(request, this.#abort.signal);
        return { type: 'announce-answered', digest, peers, intervalMs };
      },
      'tracker-unavailable',
      (failure) => ({ type: 'announce-failed', digest, failure }),
    );
  }

  commitBlob(digest: Digest, doubts: Bitfield | undefined): void {
    const held = this.#options.torrents.get(digest)?.use();
    let doubted = false;
    this.#do(
      async () => {
        if (held === undefined) throw new KrakenError('internal', `commit of ${digest}, which is not open`);
        try {
          await held.file.commit(doubts);
          this.#rejected.delete(digest);
        } catch (error) {
          doubted = isDoubted(error);
          if (isKrakenError(error, 'root-mismatch')) this.#reject(digest, held.file.metainfo.piecesRoot);
          throw error;
        } finally {
          held.done();
        }
        return { type: 'blob-committed', digest };
      },
      'io-error',
      (failure) => ({ type: 'blob-commit-failed', digest, failure, doubted }),
    );
  }

  /** The blob does not fit this root: whoever names it is not believed again. */
  #reject(digest: Digest, root: PiecesRoot | undefined): void {
    const roots = this.#rejected.get(digest) ?? [];
    this.#rejected.delete(digest);
    if (root !== undefined) this.#rejected.set(digest, [...roots, root].slice(-ROOTS_MAX));
    const [oldest] = this.#rejected.keys();
    if (this.#rejected.size > REJECTED_MAX && oldest !== undefined) this.#rejected.delete(oldest);
    this.#options.rootRejected();
  }

  deleteBlob(digest: Digest): void {
    this.#options.torrents.get(digest)?.file.failReaders(new KrakenError('removed'));
    this.#options.torrents.drop(digest);
    this.#do(
      async () => {
        await this.#options.store.remove(digest);
        return { type: 'blob-deleted', digest };
      },
      'io-error',
      (failure) => ({ type: 'blob-delete-failed', digest, failure }),
    );
  }

  #tracker(): TrackerClient {
    const { tracker } = this.#options;
    if (tracker === undefined) throw new KrakenError('tracker-unavailable', 'this node has no tracker');
    return tracker;
  }

  /** Run `work`, remembered until it ends. Its result or its failure becomes an event; an error of the machine surfaces. */
  #do(work: () => Promise<SwarmEvent>, code: ErrorCode, failed: (failure: Failure) => SwarmEvent): void {
    const running = work()
      .catch((error: unknown) => {
        const failure = failureOf(error, code);
        this.#options.logger.debug({ failure }, 'work for the swarm failed');
        return failed(failure);
      })
      .then((event) => {
        this.#running.delete(running);
        this.#options.post(event);
      });
    this.#running.add(running);
  }
}

/** The files of a bad blob are still there, without the pieces in doubt. */
function isDoubted(error: unknown): boolean {
  if (!isKrakenError(error)) return false;
  const { detail } = error;
  return typeof detail === 'object' && detail !== null && 'doubted' in detail;
}

/** A thrown error as data; `code` when it has none. */
export function failureOf(error: unknown, code: ErrorCode): Failure {
  const { code: known, message } = asKrakenError(error, code);
  return { code: known, says: message };
}
