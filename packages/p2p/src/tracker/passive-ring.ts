/**
 * A ring of hosts with passive health: core's ring and failure counts behind the `HostRing` port. Source: spec
 * tracker-agent-ring.md §5.5. Owns no timer and resolves no names: `hosts` gives the current list.
 */
import type { Digest } from '@kraken/core/content';
import type { HostRing } from '@kraken/core/ports';
import { PassiveHealth, Ring, type PassiveHealthConfig } from '@kraken/core/ring';

/** Where the hosts come from, and when one is left out. */
export interface PassiveRingOptions extends Partial<PassiveHealthConfig> {
  /** All hosts (`host:port`) now. Called at each lookup: return the same array while nothing changes. */
  readonly hosts: () => readonly string[];
  /** [hashring.max_replica] Kraken: 3. */
  readonly maxReplica?: number;
  /** Monotonic milliseconds; default `performance.now`. */
  readonly now?: () => number;
}

/** Failures count at once: the next lookup already leaves the host out. */
export function createPassiveRing(options: PassiveRingOptions): HostRing {
  const { hosts, maxReplica, fails, failTimeoutMs } = options;
  const now = options.now ?? (() => performance.now());
  const health = new PassiveHealth({
    ...(fails === undefined ? {} : { fails }),
    ...(failTimeoutMs === undefined ? {} : { failTimeoutMs }),
  });
  let seen = hosts();
  const ring = new Ring(seen, maxReplica);

  const refresh = (): void => {
    const current = hosts();
    if (current === seen) return;
    seen = current;
    if (ring.setMembers(current)) health.retain(ring.members);
  };

  return {
    locations(digest: Digest): readonly string[] {
      refresh();
      const at = now();
      return ring.locations(digest, (host) => health.isHealthy(host, at));
    },
    failed(host: string): void {
      // One that left meanwhile would stay in memory for ever.
      if (ring.contains(host)) health.failed(host, now());
    },
  };
}
