/**
 * Answers announces: the tracker logic of core, fed with the origins of the blob. Source: spec tracker-agent-ring.md §1.5,
 * §1.7. Owns the memory of origins and how long an announcer waits for them. Knows no HTTP.
 */
import type { Digest, PeerInfo } from '@kraken/core/content';
import { asKrakenError, KrakenError } from '@kraken/core/errors';
import type { CancelSignal, Logger, Metrics, OriginDirectory } from '@kraken/core/ports';
import type { Tracker } from '@kraken/core/tracker';
import { DEFAULT_ANNOUNCE_LIMIT, wantsPeers, type Announce } from '@kraken/core/tracker';
import type { PeerDirectory } from './peer-directory.js';
import { SingleFlightCache } from './single-flight-cache.js';

/** How long the origins of a digest are fresh [originstore.locations_ttl]. Kraken: 10 s. */
const ORIGINS_TTL_MS = 10_000;
/** How long a failed lookup is remembered [originstore.locations_error_ttl]. Kraken: 1 s. */
const ORIGINS_ERROR_TTL_MS = 1000;
/** How long known origins outlive a lookup that fails or is slow. Guess: 1 min, Kraken's memory of a dead origin. */
const ORIGINS_STALE_MS = 60_000;
/** Guess: the blobs of an hour in a busy cluster. */
const ORIGINS_ENTRIES_MAX = 20_000;
const ORIGIN_LOOKUPS_MAX = 1000;
/** How many peers of a handout the seeder metrics look at; agents use about so many. Kraken: 10. */
const SEEDERS_SEEN = 10;
const GAUGE_INTERVAL_MS = 1000;

export interface AnnounceServiceOptions {
  readonly tracker: Tracker;
  readonly origins: OriginDirectory;
  readonly peerDirectory: PeerDirectory | undefined;
  readonly peerOrder: string;
  readonly announceLimit: number | undefined;
  /** Longest wait of one announcer for the origins. */
  readonly originWaitMs: number;
  readonly now: () => number;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Who waits for an answer. */
export interface Caller {
  /** Fires when the caller goes away. Only read when there is something to wait for. */
  readonly signal: CancelSignal;
}

/** Peers, best first; `undefined` for an announcer that wants none. */
export type Handout = readonly PeerInfo[] | undefined;

/** One half of an answer; a failure is remembered, not fatal. */
interface Found {
  readonly peers: readonly PeerInfo[];
  readonly failure?: string;
}

export class AnnounceService {
  readonly #options: AnnounceServiceOptions;
  readonly #originPeers: SingleFlightCache<readonly PeerInfo[]>;
  #gaugesAt = -Infinity;

  constructor(options: AnnounceServiceOptions) {
    this.#options = options;
    this.#originPeers = new SingleFlightCache({
      entriesMax: ORIGINS_ENTRIES_MAX,
      flightsMax: ORIGIN_LOOKUPS_MAX,
      ttlMs: () => ORIGINS_TTL_MS,
      errorTtlMs: ORIGINS_ERROR_TTL_MS,
      staleMs: ORIGINS_STALE_MS,
      outlivesCallers: true,
      now: options.now,
    });
  }

  /**
   * The peers for an announcer, best first; `undefined` for one that wants none. Nearly always there is nothing to wait for.
   * @throws KrakenError `upstream-failed` when there is nobody and a lookup failed; `cancelled`
   */
  announce(announce: Announce, digest: Digest, caller: Caller): Handout | Promise<Handout> {
    const { tracker, peerDirectory } = this.#options;
    const now = this.#options.now();
    this.#reportGauges(now);
    if (peerDirectory !== undefined) return this.#announceElsewhere(announce, digest, caller, peerDirectory);
    if (!tracker.record(announce, now)) return undefined;
    const origins = this.#originPeers.fresh(digest, now);
    if (origins === undefined) return this.#lookUp(announce, digest, caller);
    const handout = tracker.answer(announce, origins, now);
    this.#reportSeeders(handout);
    return handout;
  }

  async #announceElsewhere(
    announce: Announce,
    digest: Digest,
    caller: Caller,
    peerDirectory: PeerDirectory,
  ): Promise<Handout> {
    await this.#recordElsewhere(peerDirectory, announce);
    return wantsPeers(announce) ? this.#lookUp(announce, digest, caller) : undefined;
  }

  async #lookUp(announce: Announce, digest: Digest, caller: Caller): Promise<Handout> {
    const { tracker, peerDirectory, now } = this.#options;
    const [sample, origins] = await Promise.all([
      peerDirectory === undefined ? undefined : this.#sampleElsewhere(peerDirectory, announce),
      this.#findOrigins(digest, caller),
    ]);
    const handout = tracker.answer(announce, origins.peers, now(), sample?.peers);
    const failures: string[] = [];
    if (sample?.failure !== undefined) failures.push(`peer store: ${sample.failure}`);
    if (origins.failure !== undefined) failures.push(`origin store: ${origins.failure}`);
    if (handout.length === 0 && failures.length > 0) {
      throw new KrakenError('upstream-failed', `no peers available: ${failures.join(', ')}`);
    }
    this.#reportSeeders(handout);
    return handout;
  }

  async #recordElsewhere(directory: PeerDirectory, { infoHash, peer, event }: Announce): Promise<void> {
    try {
      if (event === 'stopped') await directory.leave(infoHash, peer.peerId);
      else await directory.announce(infoHash, peer);
    } catch (error) {
      this.#options.logger.warn({ err: error, infoHash, peer: peer.peerId }, 'peer store did not take an announce');
    }
  }

  async #sampleElsewhere(directory: PeerDirectory, { infoHash }: Announce): Promise<Found> {
    try {
      return { peers: await directory.sample(infoHash, this.#options.announceLimit ?? DEFAULT_ANNOUNCE_LIMIT) };
    } catch (error) {
      this.#options.logger.warn({ err: error, infoHash }, 'peer store gave no peers');
      return { peers: [], failure: asKrakenError(error, 'upstream-failed').message };
    }
  }

  /** The origins, or why there are none: an agent's announce must not hang on a dead origin. */
  async #findOrigins(digest: Digest, caller: Caller): Promise<Found> {
    const { origins, originWaitMs, logger, now } = this.#options;
    const known = this.#originPeers.fresh(digest, now());
    if (known !== undefined) return { peers: known };
    const { signal } = caller;
    const impatient = new AbortController();
    const giveUp = (): void => impatient.abort();
    const timer = setTimeout(giveUp, originWaitMs);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      const load = (abort: AbortSignal): Promise<readonly PeerInfo[]> => origins.originPeers(digest, abort);
      return { peers: await this.#originPeers.get(digest, load, impatient.signal) };
    } catch (error) {
      if (signal.aborted) throw new KrakenError('cancelled', 'the client went away');
      const failure = impatient.signal.aborted
        ? `no answer within ${originWaitMs} ms`
        : asKrakenError(error, 'origin-unavailable').message;
      logger.warn({ digest, reason: failure }, 'no origins for an announce');
      return { peers: [], failure };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }

  #reportSeeders(handout: readonly PeerInfo[]): void {
    const { metrics, peerOrder } = this.#options;
    let origins = 0;
    let complete = 0;
    let incomplete = 0;
    for (let i = 0; i < handout.length && i < SEEDERS_SEEN; i++) {
      const peer = handout[i] as PeerInfo;
      if (peer.origin) origins++;
      else if (peer.complete) complete++;
      else incomplete++;
    }
    const labels = { priority: peerOrder };
    metrics.observe('total_seeders', origins + complete, labels);
    metrics.observe('origin_seeders', origins, labels);
    metrics.observe('complete_agent_seeders', complete, labels);
    metrics.observe('incomplete_agent_seeders', incomplete, labels);
  }

  #reportGauges(now: number): void {
    const { metrics, tracker } = this.#options;
    if (now - this.#gaugesAt < GAUGE_INTERVAL_MS) return;
    this.#gaugesAt = now;
    const { torrents, peers, evicted } = tracker.peers.stats;
    metrics.gauge('tracker_torrents', torrents);
    metrics.gauge('tracker_peers', peers);
    metrics.gauge('tracker_peers_evicted', evicted);
  }
}
