/** A `*_cleanup` block → settings of the disk store. */
import type { CleanupOptions } from '@kraken/p2p';
import type { AgentConfig } from '../config/component-keys.js';

type CleanupConfig = AgentConfig['store']['cache_cleanup'];

export function diskCleanup(config: CleanupConfig): Partial<CleanupOptions> {
  if (config.disabled) return { intervalMs: 0 };
  const { aggressive_threshold: high, aggressive_lower_threshold: low } = config;
  return {
    intervalMs: config.interval,
    ttlMs: config.ttl,
    idleMs: config.tti,
    aggressiveTtlMs: config.aggressive_ttL,
    ...(high === 0 ? {} : { highWatermark: { diskPercent: high } }),
    ...(high === 0 || low === 0 ? {} : { lowWatermark: { diskPercent: low } }),
  };
}
