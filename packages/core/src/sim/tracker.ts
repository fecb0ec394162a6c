/**
 * A simulated tracker host: the shipping tracker behind requests and answers that take their time.
 */
import type { Digest, MetaInfo, PeerInfo } from '../content/index.js';
import type { PeerOrderName } from '../policy/index.js';
import type { Random } from '../random/index.js';
import { PENDING_POLL_BACKOFF } from '../retry/index.js';
import type { Failure, SwarmEffect } from '../swarm/index.js';
import { Tracker } from '../tracker/index.js';
import type { VirtualClock } from './clock.js';
import type { SimHost } from './host.js';

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

interface AnnounceAnswer {
  readonly peers: readonly PeerInfo[];
  readonly intervalMs: number;
}

type Done<T> = (result: T | undefined, failure: Failure) => void;

const UNAVAILABLE: Failure = { code: 'tracker-unavailable', says: 'the tracker does not answer' };
const UNKNOWN: Failure = { code: 'blob-unknown', says: 'no origin that runs has the blob' };

export class SimTracker {
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

  announce(from: SimHost, effect: Extract<SwarmEffect, { type: 'announce' }>, done: Done<AnnounceAnswer>): void {
    const { clock, latencyMs, intervalMs, originPeers } = this.#options;
    const { digest, infoHash, event } = effect;
    const announce = { infoHash, peer: from.nodeState.peerInfo(effect.complete), event };
    this.#exchange(latencyMs, done, UNAVAILABLE, () => {
      const wants = this.#tracker.record(announce, clock.now);
      const peers = wants ? this.#tracker.answer(announce, originPeers(digest), clock.now) : [];
      return { peers, intervalMs };
    });
  }

  metaInfo(digest: Digest, done: Done<MetaInfo>): void {
    const { clock, latencyMs, metaInfo } = this.#options;
    const askedAt = clock.now;
    const ask = (waitMs: number): void => {
      const answered: Done<MetaInfo | 'pending'> = (answer, failure) => {
        if (answer !== 'pending') done(answer, failure);
        else if (clock.now + waitMs - askedAt > POLL_MAX_MS) done(undefined, UNKNOWN);
        else clock.after(waitMs, () => ask(Math.min(waitMs * POLL.factor, POLL.maxMs)));
      };
      // The tracker asks an origin: two more ways.
      this.#exchange(2 * latencyMs, answered, UNKNOWN, () => metaInfo(digest));
    };
    ask(POLL.initialMs);
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
