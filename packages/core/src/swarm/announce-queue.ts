/**
 * When each torrent is announced next. Every torrent has its own clock (Go announces one torrent per tick for all,
 * spec p2p.md §10.22), its own interval, jitter of ±10 % and exponential back-off on failure. At most one announce per
 * torrent is under way. Never looks at connections: the torrent says whether it needs more peers.
 */
import type { Digest } from '../content/index.js';
import type { SwarmContext } from './context.js';
import type { Timer } from './timers.js';
import type { Due } from './due.js';

/** Complete torrents are announced again so rarely: trackers forget peers after hours. Guess: 30 min. */
const SEED_INTERVAL_MS = 1_800_000;

interface Entry {
  readonly timer: Timer<Due>;
  complete: boolean;
  intervalMs: number;
  failures: number;
  /** Announces that came back and left us short of peers. */
  shortAnswers: number;
  /** Came due while the last announce was still under way. */
  again: boolean;
}

export class AnnounceQueue {
  readonly #context: SwarmContext;
  readonly #entries = new Map<Digest, Entry>();
  readonly #underWay = new Set<Digest>();

  constructor(context: SwarmContext) {
    this.#context = context;
  }

  /** Announce `digest` now and from now on, as leecher or seeder. A second call changes the role and announces at once. */
  start(digest: Digest, complete: boolean): void {
    const { config, timers, now } = this.#context;
    if (config.role === 'origin') return;
    let entry = this.#entries.get(digest);
    if (entry === undefined) {
      const timer = timers.create({ kind: 'announce', digest });
      entry = { timer, complete, intervalMs: config.announceIntervalMs, failures: 0, shortAnswers: 0, again: false };
      this.#entries.set(digest, entry);
    }
    entry.complete = complete;
    entry.failures = 0;
    entry.shortAnswers = 0;
    timers.set(entry.timer, now);
  }

  has(digest: Digest): boolean {
    return this.#entries.has(digest);
  }

  stop(digest: Digest): void {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    this.#context.timers.clear(entry.timer);
    this.#entries.delete(digest);
  }

  /** True when an announce may go out now; it is then under way. */
  take(digest: Digest): boolean {
    const entry = this.#entries.get(digest);
    if (entry === undefined || entry.timer.slot >= 0) return false;
    if (this.#underWay.has(digest)) {
      entry.again = true;
      return false;
    }
    this.#underWay.add(digest);
    return true;
  }

  /** A last announce that says goodbye; only when none is under way, so that the two cannot overtake each other. */
  takeStopped(digest: Digest): boolean {
    if (!this.#entries.has(digest) || this.#underWay.has(digest)) return false;
    this.#underWay.add(digest);
    return true;
  }

  /** @param need what the torrent lacks: peers and has slots for them (`more`), nothing (`enough`), or slots (`full`) */
  answered(digest: Digest, intervalMs: number, need: 'more' | 'enough' | 'full'): void {
    const entry = this.#finish(digest);
    if (entry === undefined) return;
    const { config } = this.#context;
    entry.failures = 0;
    entry.intervalMs = intervalMs > 0 ? Math.min(intervalMs, config.announceIntervalMaxMs) : config.announceIntervalMs;
    let waitMs = entry.intervalMs;
    if (entry.complete) waitMs = SEED_INTERVAL_MS;
    else if (need === 'full') waitMs = Math.min(4 * waitMs, Math.max(waitMs, config.announceIntervalMaxMs));
    else if (need === 'more')
      waitMs = Math.min(waitMs, config.announceAgainMs * 2 ** Math.min(entry.shortAnswers++, 30));
    this.#setAfter(entry, waitMs);
  }

  failed(digest: Digest): void {
    const entry = this.#finish(digest);
    if (entry === undefined) return;
    const { config } = this.#context;
    const waitMs = config.announceIntervalMs * 2 ** Math.min(entry.failures++, 30);
    this.#setAfter(entry, Math.min(waitMs, Math.max(config.announceBackoffMaxMs, config.announceIntervalMs)));
  }

  /** Digests that are being announced, oldest first. */
  digests(): Iterable<Digest> {
    return this.#entries.keys();
  }

  /** The announce that was under way is over. @returns the entry when it wants a next time and has none yet */
  #finish(digest: Digest): Entry | undefined {
    if (!this.#underWay.delete(digest)) return undefined;
    const entry = this.#entries.get(digest);
    if (entry === undefined) return undefined;
    if (entry.again) {
      entry.again = false;
      this.#context.timers.setBy(entry.timer, this.#context.now);
    }
    return entry.timer.slot >= 0 ? undefined : entry;
  }

  #setAfter(entry: Entry, waitMs: number): void {
    const { timers, random, now } = this.#context;
    timers.set(entry.timer, now + Math.max(1, waitMs * (0.9 + 0.2 * random.unit())));
  }
}
