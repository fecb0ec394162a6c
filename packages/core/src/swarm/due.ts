/** What a timer of the swarm machine can be for. */
import type { Digest } from '../content/index.js';

export type Due =
  | { readonly kind: 'announce'; readonly digest: Digest }
  | { readonly kind: 'pull'; readonly pull: number }
  /** Requests of a connection may have expired, or an origin has been idle. */
  | { readonly kind: 'connection'; readonly conn: number }
  /** A leeching torrent may have stalled. */
  | { readonly kind: 'stall'; readonly digest: Digest }
  /** A leeching torrent may swap a connection. */
  | { readonly kind: 'rotation'; readonly digest: Digest }
  /** A torrent may look for its piece layer again. */
  | { readonly kind: 'layer'; readonly digest: Digest }
  | { readonly kind: 'preemption' };
