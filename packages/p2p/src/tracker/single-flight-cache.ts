/**
 * Remembers outcomes of lookups for a while and lets concurrent callers of one key share one lookup. Errors are outcomes
 * too. Source: spec tracker-agent-ring.md §1.9, §9.6; differs from Kraken's limiter: bounded, refreshes in the background,
 * and a lookup that breaks cannot block its key.
 *
 * Owns entries and running lookups. Never starts a timer: expired entries go as others come, others when a limit is reached.
 */
import { KrakenError } from '@kraken/core/errors';
import type { CancelSignal } from '@kraken/core/ports';

export interface SingleFlightCacheOptions<T> {
  readonly entriesMax: number;
  /** Sum of `sizeOf`; default: no limit. */
  readonly bytesMax?: number;
  /** Lookups that run at once; beyond, `queue-full`. */
  readonly flightsMax: number;
  /** How long a value is fresh. */
  readonly ttlMs: (value: T) => number;
  /** How long a failure is remembered. */
  readonly errorTtlMs: number;
  /** How long after that a value is still served while a new one is looked up. Default 0. */
  readonly staleMs?: number;
  /** Bytes of a value, key not counted. Default 0. */
  readonly sizeOf?: (value: T) => number;
  /** Whether a lookup goes on when all who asked have gone. Default false: it is aborted. */
  readonly outlivesCallers?: boolean;
  readonly now: () => number;
}

/** Expired entries that one new entry removes. */
const EXPIRED_PER_STORE = 2;

/** What an error takes beside its words: stack, causes. Guess. */
const ERROR_BYTES = 2048;

/** Words of an upstream may be in the message and in the detail. */
function sizeOfError(error: unknown): number {
  if (!(error instanceof Error)) return ERROR_BYTES;
  const { detail } = error as { detail?: unknown };
  const body = typeof detail === 'object' && detail !== null && 'body' in detail ? detail.body : '';
  return ERROR_BYTES + error.message.length + (typeof body === 'string' ? body.length : 0);
}

type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

interface CacheEntry<T> {
  readonly outcome: Outcome<T>;
  expiresAt: number;
  readonly staleUntil: number;
  readonly bytes: number;
}

interface Flight<T> {
  readonly promise: Promise<T>;
  readonly controller: AbortController;
  waiters: number;
}

export class SingleFlightCache<T> {
  readonly #options: SingleFlightCacheOptions<T>;
  /** Least recently used first. */
  readonly #entries = new Map<string, CacheEntry<T>>();
  readonly #flights = new Map<string, Flight<T>>();
  #bytes = 0;

  constructor(options: SingleFlightCacheOptions<T>) {
    this.#options = options;
  }

  /** Entries now, expired ones included. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value of `key` if it is fresh; costs neither promise nor abort controller. Does not count as a use. */
  fresh(key: string, now = this.#options.now()): T | undefined {
    const entry = this.#entries.get(key);
    return entry?.outcome.ok === true && now <= entry.expiresAt ? entry.outcome.value : undefined;
  }

  /**
   * The remembered outcome of `key`, or that of `load`.
   * @throws whatever `load` threw; KrakenError `cancelled` when `signal` fires first, `queue-full`
   */
  async get(key: string, load: (signal: AbortSignal) => Promise<T>, signal?: CancelSignal): Promise<T> {
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      const now = this.#options.now();
      const isFresh = now <= entry.expiresAt;
      if (isFresh || (entry.outcome.ok && now <= entry.staleUntil)) {
        this.#entries.delete(key);
        this.#entries.set(key, entry);
        if (!isFresh && !this.#flights.has(key) && this.#flights.size < this.#options.flightsMax) {
          // One waiter that never leaves: nothing aborts a background refresh.
          this.#start(key, load).waiters++;
        }
        if (entry.outcome.ok) return entry.outcome.value;
        throw entry.outcome.error;
      }
    }
    const flight = this.#flights.get(key) ?? this.#start(key, load);
    return this.#join(key, flight, signal);
  }

  #start(key: string, load: (signal: AbortSignal) => Promise<T>): Flight<T> {
    if (this.#flights.size >= this.#options.flightsMax) {
      throw new KrakenError('queue-full', `${this.#options.flightsMax} lookups are already running`);
    }
    const controller = new AbortController();
    const run = async (): Promise<T> => load(controller.signal);
    const settle = (outcome: Outcome<T>): void => {
      if (this.#flights.get(key) !== flight) return; // abandoned: the outcome is that of an abort
      this.#flights.delete(key);
      this.#store(key, outcome);
    };
    const flight: Flight<T> = {
      controller,
      waiters: this.#options.outlivesCallers === true ? 1 : 0,
      // Settled one turn later, so that `flight` exists even when `load` is already done.
      promise: run().then(
        (value) => {
          settle({ ok: true, value });
          return value;
        },
        (error: unknown) => {
          settle({ ok: false, error });
          throw error;
        },
      ),
    };
    this.#flights.set(key, flight);
    // Callers that wait see the rejection; with none left it must not become an unhandled one.
    flight.promise.catch(() => undefined);
    return flight;
  }

  #join(key: string, flight: Flight<T>, signal: CancelSignal | undefined): Promise<T> {
    flight.waiters++;
    return new Promise<T>((resolve, reject) => {
      const leave = (): void => {
        signal?.removeEventListener('abort', onAbort);
        flight.waiters--;
      };
      const onAbort = (): void => {
        leave();
        if (flight.waiters === 0 && this.#flights.get(key) === flight) {
          this.#flights.delete(key);
          flight.controller.abort();
        }
        reject(new KrakenError('cancelled', 'the caller gave up', { cause: signal?.reason }));
      };
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      const settled = (): void => {
        leave();
        resolve(flight.promise);
      };
      flight.promise.then(settled, settled);
    });
  }

  #store(key: string, outcome: Outcome<T>): void {
    const { entriesMax, bytesMax = Infinity, errorTtlMs, staleMs = 0, sizeOf, ttlMs, now: clock } = this.#options;
    const now = clock();
    const previous = this.#entries.get(key);
    if (!outcome.ok && previous?.outcome.ok === true && now <= previous.staleUntil) {
      // The refresh failed: go on with what we have, and do not ask again at once.
      previous.expiresAt = now + errorTtlMs;
      return;
    }
    this.#drop(key);
    const expiresAt = now + (outcome.ok ? ttlMs(outcome.value) : errorTtlMs);
    const bytes = key.length + (outcome.ok ? (sizeOf?.(outcome.value) ?? 0) : sizeOfError(outcome.error));
    if (bytes > bytesMax || entriesMax < 1) return;
    let dropped = 0;
    for (const [oldest, { expiresAt: freshUntil, staleUntil }] of this.#entries) {
      const hasRoom = this.#entries.size < entriesMax && this.#bytes + bytes <= bytesMax;
      // One comes and two go: what is of no use any more does not wait until there is no room.
      if (hasRoom && (dropped >= EXPIRED_PER_STORE || now <= Math.max(freshUntil, staleUntil))) break;
      this.#drop(oldest);
      dropped++;
    }
    this.#entries.set(key, { outcome, expiresAt, staleUntil: expiresAt + staleMs, bytes });
    this.#bytes += bytes;
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#bytes -= entry.bytes;
    this.#entries.delete(key);
  }
}
