/**
 * Asks every host for `/health` now and then. Source: spec tracker-agent-ring.md §6.3, §6.5.
 *
 * Owns the schedule and the requests; the verdicts are core's `ActiveHealth`. With one host there is nothing to choose, so
 * it is never asked. When all hosts are unhealthy all of them are used.
 */
import { silentLogger, silentMetrics, type Logger, type Metrics } from '@kraken/core/ports';
import { ActiveHealth, type ActiveHealthConfig } from '@kraken/core/ring';
import type { HttpClient } from '../http/index.js';
import { systemClock, type CancelTimer, type Clock } from '../retry/index.js';
import type { HostSource } from './host-list.js';

/** Which hosts are asked for their health, and how often. */
export interface ActiveMonitorOptions {
  readonly source: HostSource & { onChange?(listener: () => void): () => void };
  readonly http: HttpClient;
  readonly health?: Partial<ActiveHealthConfig>;
  /** Between two rounds. Kraken: 10 s. */
  readonly intervalMs?: number;
  /** For one request. Kraken: 3 s for a round. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export class ActiveMonitor implements HostSource {
  readonly #options: ActiveMonitorOptions;
  readonly #health: ActiveHealth;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  readonly #stopWatching: (() => void) | undefined;
  #cancelTimer: CancelTimer | undefined;
  #round: Promise<void> | undefined;

  constructor(options: ActiveMonitorOptions) {
    this.#options = options;
    this.#health = new ActiveHealth(options.health);
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
    this.#health.sync(options.source.hosts());
    this.#stopWatching = options.source.onChange?.(() => {
      this.#health.sync(options.source.hosts());
      this.#notify();
    });
  }

  /** Begin the rounds; the first is one interval away, until then every host counts as healthy. */
  start(): void {
    this.#schedule();
  }

  /** Healthy hosts, or all when none is. */
  hosts(): readonly string[] {
    return this.#health.usable();
  }

  /** All hosts. */
  members(): readonly string[] {
    return this.#options.source.hosts();
  }

  /** Whether `host` answered the last times it was asked. */
  isHealthy(host: string): boolean {
    return this.#health.isHealthy(host);
  }

  /** Called after hosts came, went or changed their health. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** One round now. */
  check(): Promise<void> {
    this.#round ??= this.#checkAll().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  /** Stop asking. */
  async close(): Promise<void> {
    this.#cancelTimer?.();
    this.#stopWatching?.();
    this.#listeners.clear();
    this.#abort.abort();
    await this.#round;
  }

  #schedule(): void {
    if (this.#abort.signal.aborted) return;
    this.#cancelTimer = this.#clock.after(this.#options.intervalMs ?? 10_000, () => {
      void this.check().finally(() => {
        this.#schedule();
      });
    });
  }

  async #checkAll(): Promise<void> {
    const hosts = this.#options.source.hosts();
    if (hosts.length <= 1) return;
    const changed = await Promise.all(
      hosts.map(async (host) => {
        const passed = await this.#passes(host);
        if (this.#abort.signal.aborted || !this.#health.report(host, passed)) return false;
        this.#logger.warn({ host, healthy: passed }, 'health of a host changed');
        return true;
      }),
    );
    this.#metrics.gauge('kraken_cluster_healthy_hosts', hosts.filter((host) => this.isHealthy(host)).length);
    if (changed.includes(true)) this.#notify();
  }

  async #passes(host: string): Promise<boolean> {
    const timeout = new AbortController();
    const cancel = this.#clock.after(this.#options.timeoutMs ?? 3000, () => timeout.abort());
    try {
      const signal = AbortSignal.any([timeout.signal, this.#abort.signal]);
      const response = await this.#options.http.request(host, '/health', { signal });
      await response.discard();
      return true;
    } catch (error) {
      this.#logger.debug({ host, err: error }, 'health check failed');
      return false;
    } finally {
      cancel();
    }
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
