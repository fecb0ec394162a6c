/**
 * Which remote clusters get a tag, and when the neighbours of this host step in. Source: spec
 * index-proxy-registry-config.md §2.4, §2.5. Differs from Go: a remote with two matching patterns is named once.
 */
import { compilePattern } from './pattern.js';

/** Kraken: `tagserver.duplicate_replicate_stagger` and `duplicate_put_stagger`. */
export const DEFAULT_NEIGHBOUR_STAGGER_MS = 20 * 60_000;

/** Which clusters get which tags. */
export interface Remotes {
  /** Build-index addresses of the clusters that `tag` goes to, sorted, each once. */
  matching(tag: string): readonly string[];
  /** Whether a replication task that was recorded earlier is still wanted. */
  wants(tag: string, destination: string): boolean;
}

/**
 * @param config remote build-index address → regular expressions, matched anywhere in the tag
 * @throws KrakenError `config-invalid`
 */
export function createRemotes(config: Readonly<Record<string, readonly string[]>>): Remotes {
  const compiled = Object.keys(config)
    .sort()
    .map((address) => ({
      address,
      patterns: (config[address] ?? []).map((pattern) => compilePattern(pattern, `remotes.${address}`)),
    }));
  const matching = (tag: string): string[] =>
    compiled.filter(({ patterns }) => patterns.some((pattern) => pattern.test(tag))).map(({ address }) => address);
  return { matching, wants: (tag, destination) => matching(tag).includes(destination) };
}

/** The n-th neighbour (from 1) waits n staggers, so that normally only the first host does the work. */
export function neighbourDelays(
  neighbours: readonly string[],
  staggerMs: number,
): readonly { host: string; delayMs: number }[] {
  return neighbours.map((host, index) => ({ host, delayMs: staggerMs * (index + 1) }));
}
