/**
 * A simulated tracker host: the shipping tracker behind requests and answers that take their time.
 */
import type { Digest, InfoHash, MetaInfo, PeerInfo } from '../content/index.js';
import type { PeerOrderName } from '../policy/index.js';
import type { Random } from '../random/index.js';
import { PENDING_POLL_BACKOFF } from '../retry/index.js';
import type { Failure } from '../swarm/index.js';
import { Tracker } from '../tracker/index.js';
import type { VirtualClock } from './clock.js';
import type { SimHost } from './host.js';
import type { SimNode } from './node.js';

export interface SimTrackerOptions {
  readonly clock: VirtualClock;
  readonly random: Random;
  /** One way, in milliseconds. */
  readonly latencyMs: number;
  /** What the tracker takes to answer, without the wire. */
  readonly delayMs: number;
  readonly intervalMs: number;
  readonly peerOrder: PeerOrderName;
  /** Peers of one answer, origins not counted. */
  readonly handoutMax: number;
  /** Origins that hold the blob and run. */
  readonly originPeers: (digest: Digest) => readonly PeerInfo[];
  /** What running origins know of the blob; `pending` while one of them fetches it. */
  readonly metaInfo: (digest: Digest) => MetaInfo | 'pending' | undefined;
}

/** How agents wait for a blob that an origin fetches. */
const POLL = PENDING_POLL_BACKOFF;
const POLL_MAX_MS = POLL.elapsedMaxMs ?? Infinity;

/** The tracker asks an origin: two more ways. */
export const metaInfoWayMs = (latencyMs: number): number => 2 * latencyMs;

/** Ask for metainfo until the answer is final. */
export function pollMetaInfo(
  clock: VirtualClock,
  done: Done<MetaInfo>,
  exchange: (answered: Done<MetaInfo | 'pending'>) => void,
): void {
  const askedAt = clock.now;
  const ask = (waitMs: number): void =>
    exchange((answer, failure) => {
      if (answer !== 'pending') done(answer, failure);
      else if (clock.now + waitMs - askedAt > POLL_MAX_MS) done(undefined, UNKNOWN);
      else clock.after(waitMs, () => ask(Math.min(waitMs * POLL.factor, POLL.maxMs)));
    });
  ask(POLL.initialMs);
}

export interface AnnounceAnswer {
  readonly peers: readonly PeerInfo[];
  readonly intervalMs: number;
}

export type Done<T> = (result: T | undefined, failure: Failure) => void;

export const UNAVAILABLE: Failure = { code: 'tracker-unavailable', says: 'the tracker does not answer' };
export const UNKNOWN: Failure = { code: 'blob-unknown', says: 'no origin that runs has the blob' };

/** An announce as it reaches a tracker. */
export interface SimAnnounce {
  readonly digest: Digest;
  readonly infoHash: InfoHash;
  readonly complete: boolean;
  readonly event?: 'stopped';
}

/** What an agent asks of a tracker, wherever that runs. */
export interface AskedTracker {
  announce(from: SimHost, announce: SimAnnounce, done: Done<AnnounceAnswer>): void;
  metaInfo(digest: Digest, done: Done<MetaInfo>): void;
}

export class SimTracker implements AskedTracker {
  isDown = false;
  readonly #options: SimTrackerOptions;
  #tracker: Tracker;

  constructor(options: SimTrackerOptions) {
    this.#options = options;
    this.#tracker = this.#fresh();
  }

  /** The process restarted: everything in memory is gone. */
  forget(): void {
    this.#tracker = this.#fresh();
  }

  announce(from: SimHost, announce: SimAnnounce, done: Done<AnnounceAnswer>): void {
    const { nodeState } = from;
    this.#exchange(this.#options.latencyMs, done, UNAVAILABLE, () => this.announced(nodeState, announce));
  }

  metaInfo(digest: Digest, done: Done<MetaInfo>): void {
    const { clock, latencyMs, metaInfo } = this.#options;
    pollMetaInfo(clock, done, (answered) =>
      this.#exchange(metaInfoWayMs(latencyMs), answered, UNKNOWN, () => metaInfo(digest)),
    );
  }

  /** An announce has arrived. */
  announced(from: SimNode, { digest, infoHash, complete, event }: SimAnnounce): AnnounceAnswer {
    const { clock, intervalMs, originPeers } = this.#options;
    const announce = { infoHash, peer: from.peerInfo(complete), event };
    const wants = this.#tracker.record(announce, clock.now);
    const peers = wants ? this.#tracker.answer(announce, originPeers(digest), clock.now) : [];
    return { peers, intervalMs };
  }

  /** A question for metainfo has arrived. */
  metaInfoAsked(digest: Digest): MetaInfo | 'pending' | undefined {
    return this.#options.metaInfo(digest);
  }

  #exchange<T>(wayMs: number, done: Done<T>, failure: Failure, answer: () => T | undefined): void {
    const { clock, delayMs } = this.#options;
    clock.afterConstant(wayMs + delayMs, () => {
      const isDown = this.isDown;
      const result = isDown ? undefined : answer();
      clock.afterConstant(wayMs, () => done(result, isDown ? UNAVAILABLE : failure));
    });
  }

  #fresh(): Tracker {
    const { random, peerOrder, handoutMax } = this.#options;
    return new Tracker({ random: random.split(), peerOrder, announceLimit: handoutMax });
  }
}
