/**
 * What a put of an existing tag does. `mutable`: the last write wins (what users of registries expect). `immutable`: another
 * digest is refused with 409. `first-write-wins`: what Go does, 200 and the old value stays.
 * Source: spec index-proxy-registry-config.md §2.2.
 */

/** What a put of an existing tag does: the last put wins, another digest is refused, or the old one stays without an error. */
export type TagPolicy = 'mutable' | 'immutable' | 'first-write-wins';

/** `store` the new digest, `keep` what is there without an error, or answer `conflict`. */
export type PutDecision = 'store' | 'keep' | 'conflict';

/** What to do with a put. @param current the digest that the tag names now, if any */
export function decidePut(policy: TagPolicy, current: string | undefined, next: string): PutDecision {
  if (current === undefined) return 'store';
  if (current === next || policy === 'first-write-wins') return 'keep';
  return policy === 'immutable' ? 'conflict' : 'store';
}
