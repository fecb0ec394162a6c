/**
 * Health of hosts from periodic checks: several failures in a row make a host unhealthy, several successes in a row
 * healthy again. Source: spec tracker-agent-ring.md §6.3.
 *
 * Owns verdicts only: who checks, how and how often is the host program's. Differs from Kraken: a host that left and
 * returns starts healthy, and when all are unhealthy all are used (Kraken: nobody).
 */

export interface ActiveHealthConfig {
  /** Failed checks in a row until unhealthy [filter.fails]. Kraken: 3. */
  readonly fails: number;
  /** Good checks in a row until healthy [filter.passes]. Kraken: 2. */
  readonly passes: number;
}

/** As Kraken ships. */
export const DEFAULT_ACTIVE_HEALTH: ActiveHealthConfig = { fails: 3, passes: 2 };

interface HostTrend {
  healthy: boolean;
  /** Successes (positive) or failures (negative) in a row, clamped to `passes` and −`fails`. */
  trend: number;
}

/** Health of hosts that are asked regularly: it changes after several equal answers in a row. */
export class ActiveHealth {
  readonly #config: ActiveHealthConfig;
  readonly #hosts = new Map<string, HostTrend>();

  constructor(config: Partial<ActiveHealthConfig> = {}) {
    this.#config = { ...DEFAULT_ACTIVE_HEALTH, ...config };
  }

  /** Set the hosts that are checked. New ones start healthy, those that left are forgotten. */
  sync(hosts: Iterable<string>): void {
    const members = new Set(hosts);
    for (const host of this.#hosts.keys()) if (!members.has(host)) this.#hosts.delete(host);
    for (const host of members) if (!this.#hosts.has(host)) this.#hosts.set(host, { healthy: true, trend: 0 });
  }

  /**
   * The outcome of one check. One about a host that left meanwhile is ignored.
   * @returns whether the host's verdict changed
   */
  report(host: string, passed: boolean): boolean {
    const state = this.#hosts.get(host);
    if (state === undefined) return false;
    const { fails, passes } = this.#config;
    state.trend = passed
      ? Math.min(Math.max(state.trend + 1, 1), passes)
      : Math.max(Math.min(state.trend - 1, -1), -fails);
    const was = state.healthy;
    if (state.trend >= passes) state.healthy = true;
    else if (state.trend <= -fails) state.healthy = false;
    return state.healthy !== was;
  }

  /** The verdict about one host; false for one that is not checked. */
  isHealthy(host: string): boolean {
    return this.#hosts.get(host)?.healthy ?? false;
  }

  /** The hosts to use, in the order of `sync`: the healthy ones, or all when none is. */
  usable(): string[] {
    const healthy: string[] = [];
    for (const [host, state] of this.#hosts) if (state.healthy) healthy.push(host);
    return healthy.length === 0 ? [...this.#hosts.keys()] : healthy;
  }
}
