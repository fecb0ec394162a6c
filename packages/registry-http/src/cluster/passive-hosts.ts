/**
 * Hosts that are left out for a while after requests to them got no answer. Source: spec tracker-agent-ring.md §6.4, §6.5.
 * Owns nothing but the link between a list and core's `PassiveHealth`; without healthy hosts all are used.
 */
import { PassiveHealth, type PassiveHealthConfig } from '@kraken/core/ring';
import { systemClock, type Clock } from '../retry/index.js';
import type { HostSource } from './host-list.js';

/** Where the hosts come from, and when one is left out. */
export interface PassiveHostsOptions {
  readonly source: HostSource & { onChange?(listener: () => void): () => void };
  readonly health?: Partial<PassiveHealthConfig>;
  readonly clock?: Clock;
}

export class PassiveHosts implements HostSource {
  readonly #source: HostSource;
  readonly #health: PassiveHealth;
  readonly #clock: Clock;
  readonly #stopWatching: (() => void) | undefined;

  constructor(options: PassiveHostsOptions) {
    this.#source = options.source;
    this.#health = new PassiveHealth(options.health);
    this.#clock = options.clock ?? systemClock;
    this.#stopWatching = options.source.onChange?.(() => {
      this.#health.retain(this.#source.hosts());
    });
  }

  hosts(): readonly string[] {
    return this.#health.healthyOf(this.#source.hosts(), this.#clock.nowMs());
  }

  failed(host: string): void {
    this.#health.failed(host, this.#clock.nowMs());
  }

  /** Stop following the list. */
  close(): void {
    this.#stopWatching?.();
  }
}
