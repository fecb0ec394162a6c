/** Token buckets per client address. Never remembers more clients than its limit. */
import { LRUCache } from 'lru-cache';

/** How many requests one client may make. */
export interface RateLimitOptions {
  readonly perSecond: number;
  /** Requests above the steady rate that are let through at once. */
  readonly burst: number;
  /** Addresses remembered; the one unseen longest is forgotten first. Default 10,000. */
  readonly clientsMax?: number;
  /** Milliseconds of a clock that never goes back. Default: the process's. */
  readonly now?: () => number;
}

/** True while `client` is within the rate. */
export type RateLimiter = (client: string) => boolean;

/** A token bucket per client address. */
export function createRateLimiter(options: RateLimitOptions): RateLimiter {
  const { perSecond, burst, clientsMax = 10_000, now = () => performance.now() } = options;
  const capacity = burst + 1;
  const buckets = new LRUCache<string, { tokens: number; atMs: number }>({ max: clientsMax });
  return (client) => {
    const atMs = now();
    const bucket = buckets.get(client) ?? { tokens: capacity, atMs };
    const tokens = Math.min(capacity, bucket.tokens + ((atMs - bucket.atMs) * perSecond) / 1_000);
    const isWithin = tokens >= 1;
    buckets.set(client, { tokens: isWithin ? tokens - 1 : tokens, atMs });
    return isWithin;
  };
}
