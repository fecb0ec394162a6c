/**
 * Which origins own a digest, over the hosts and their health. Source: spec tracker-agent-ring.md §5.4.
 *
 * Joins core's ring with a monitor; owns nothing of its own but who watches. Health takes effect at once.
 */
import type { Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { Ring } from '@kraken/core/ring';
import { sleep, systemClock, type Clock } from '../retry/index.js';

/** Hosts with health; `ActiveMonitor` is one. */
export interface RingMembers {
  /** All hosts, healthy or not. */
  members(): readonly string[];
  /** Whether `host` may be asked. */
  isHealthy(host: string): boolean;
  /** Called when hosts come or go. @returns how to stop */
  onChange(listener: () => void): () => void;
}

/** What a ring stands on. */
export interface OriginRingOptions {
  readonly members: RingMembers;
  /** This host as the list names it; empty for a program that is no member. */
  readonly self?: string;
  /** Kraken: 3. */
  readonly maxReplica?: number;
  readonly clock?: Clock;
}

/** The owners of each digest among the origins. */
export class HashRing {
  readonly self: string;
  readonly #members: RingMembers;
  readonly #ring: Ring;
  readonly #clock: Clock;
  readonly #listeners = new Set<(members: readonly string[]) => void>();
  readonly #stopWatching: () => void;

  constructor(options: OriginRingOptions) {
    this.self = options.self ?? '';
    this.#members = options.members;
    this.#ring = new Ring(options.members.members(), options.maxReplica);
    this.#clock = options.clock ?? systemClock;
    this.#stopWatching = options.members.onChange(() => {
      if (!this.#ring.setMembers(this.#members.members())) return;
      for (const listener of this.#listeners) listener(this.#ring.members);
    });
  }

  /** Healthy owners, best first; empty only without members. */
  locations(digest: Digest): readonly string[] {
    return this.#ring.locations(digest, (host) => host === this.self || this.#members.isHealthy(host));
  }

  /** Owners whether healthy or not. */
  owners(digest: Digest): readonly string[] {
    return this.#ring.order(digest).slice(0, Math.max(1, this.#ring.maxReplica));
  }

  /** All origins, healthy or not. */
  members(): readonly string[] {
    return this.#ring.members;
  }

  /** Called after the membership changed, with all members; bandwidth is divided by their number. */
  onChange(listener: (members: readonly string[]) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /**
   * Wait until the hosts include this one: an origin must not serve before it is a member.
   * @throws KrakenError `not-ready` after `timeoutMs` (Kraken: 1 min)
   */
  async waitForSelf(timeoutMs = 60_000, intervalMs = 500): Promise<void> {
    const deadline = this.#clock.nowMs() + timeoutMs;
    while (!this.#ring.contains(this.self)) {
      if (this.#clock.nowMs() >= deadline) {
        throw new KrakenError('not-ready', `timed out waiting for membership: address ${this.self} not found in ring`);
      }
      await sleep(this.#clock, intervalMs);
    }
  }

  /** Stop following health. */
  close(): void {
    this.#stopWatching();
    this.#listeners.clear();
  }
}
