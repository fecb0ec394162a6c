/**
 * Health of hosts as callers experience it: a host that gave no answer several times in a row of time is left out for
 * a while. Source: spec tracker-agent-ring.md §6.4. Differs from Kraken: takes effect at once, not at the next refresh.
 *
 * Owns the failures. Reads no clock: times are milliseconds of the caller's.
 */

export interface PassiveHealthConfig {
  /** Failures within `failTimeoutMs` that make a host unhealthy [healthcheck.fails]. Kraken: 3. */
  readonly fails: number;
  /** How long failures count, and how long a host is left out after the last one [healthcheck.fail_timeout]. Kraken: 5 min. */
  readonly failTimeoutMs: number;
}

/** As Kraken ships. */
export const DEFAULT_PASSIVE_HEALTH: PassiveHealthConfig = { fails: 3, failTimeoutMs: 300_000 };

interface HostFailures {
  /** Times of the latest failures, oldest first; at most `fails`. */
  readonly times: number[];
  unhealthySince: number | undefined;
}

/** Health of hosts by the requests that got no answer. */
export class PassiveHealth {
  readonly #config: PassiveHealthConfig;
  readonly #hosts = new Map<string, HostFailures>();

  constructor(config: Partial<PassiveHealthConfig> = {}) {
    this.#config = { ...DEFAULT_PASSIVE_HEALTH, ...config };
  }

  /** A request to `host` got no answer. */
  failed(host: string, now: number): void {
    const { fails, failTimeoutMs } = this.#config;
    let state = this.#hosts.get(host);
    if (state === undefined) this.#hosts.set(host, (state = { times: [], unhealthySince: undefined }));
    const { times } = state;
    while (times.length > 0 && now - (times[0] as number) > failTimeoutMs) times.shift();
    times.push(now);
    if (times.length >= fails) {
      state.unhealthySince = now;
      // Older ones cannot change the verdict any more.
      times.splice(0, times.length - Math.max(fails, 1));
    }
  }

  /** Whether `host` may be used now. */
  isHealthy(host: string, now: number): boolean {
    const state = this.#hosts.get(host);
    if (state?.unhealthySince === undefined) return true;
    if (now - state.unhealthySince <= this.#config.failTimeoutMs) return false;
    state.unhealthySince = undefined;
    return true;
  }

  /** The healthy ones of `hosts`, or all of them when none is. */
  healthyOf(hosts: readonly string[], now: number): readonly string[] {
    const healthy = hosts.filter((host) => this.isHealthy(host, now));
    return healthy.length === 0 ? hosts : healthy;
  }

  /** Forget hosts that are not members any more. Call it when the membership changes: it bounds the memory. */
  retain(members: Iterable<string>): void {
    const keep = new Set(members);
    for (const host of this.#hosts.keys()) if (!keep.has(host)) this.#hosts.delete(host);
  }
}
