/**
 * What the machine asks of the tracker and of the disk: each piece of work ends in exactly one event. Owns the work
 * under way and its cancellation. Never decides what is asked.
 */
import type { Digest, PeerContext } from '@kraken/core/content';
import { asKrakenError, KrakenError, type ErrorCode } from '@kraken/core/errors';
import type { Logger, TrackerClient } from '@kraken/core/ports';
import type { Failure, SwarmEffect, SwarmEvent } from '@kraken/core/swarm';
import type { PieceStore } from '../store/piece-store.js';
import type { TorrentTable } from './torrent-table.js';

/** One kind of effect. */
export type EffectOf<T extends SwarmEffect['type']> = Extract<SwarmEffect, { type: T }>;

export interface SwarmWorkOptions {
  readonly store: PieceStore;
  /** Absent on origins. */
  readonly tracker: TrackerClient | undefined;
  /** As announced. */
  readonly context: PeerContext;
  readonly torrents: TorrentTable;
  readonly logger: Logger;
  /** A peer asked for a blob that is not on disk. */
  readonly lookupMissing: ((namespace: string, digest: Digest) => void) | undefined;
  /** Takes the events. */
  post(event: SwarmEvent): void;
}

export class SwarmWork {
  readonly #options: SwarmWorkOptions;
  /** Ends tracker requests when the node stops. */
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

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
        const metainfo = await this.#tracker().metaInfo(namespace, digest, this.#abort.signal);
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
        };
      },
      'io-error',
      (failure) => ({ type: 'blob-open-failed', digest, failure }),
    );
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

  commitBlob(digest: Digest): void {
    const held = this.#options.torrents.get(digest)?.use();
    this.#do(
      async () => {
        if (held === undefined) throw new KrakenError('internal', `commit of ${digest}, which is not open`);
        try {
          await held.file.commit();
        } finally {
          held.done();
        }
        return { type: 'blob-committed', digest };
      },
      'io-error',
      (failure) => ({ type: 'blob-commit-failed', digest, failure }),
    );
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

/** A thrown error as data; `code` when it has none. */
export function failureOf(error: unknown, code: ErrorCode): Failure {
  const { code: known, message } = asKrakenError(error, code);
  return { code: known, says: message };
}
