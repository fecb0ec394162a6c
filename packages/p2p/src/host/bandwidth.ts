/** The bandwidth setting of a node and the two limiters made from it. Owns how a setting becomes a rate. */
import { systemClock, type Clock } from './clock.js';
import type { NamespaceWeight } from './namespace-classes.js';
import { TokenBucket } from './token-bucket.js';

/** Limits on payload bytes of the node, both directions; absent = none. Kraken: `scheduler.conn.bandwidth`, there in bits. */
export interface Bandwidth {
  /** What goes out; absent = no limit. */
  readonly egressBytesPerSec?: number | undefined;
  /** What comes in; absent = no limit. */
  readonly ingressBytesPerSec?: number | undefined;
  /**
   * How namespaces share the rates while these are short. What no entry names is one class of weight 1, in which payloads
   * are served oldest start first. Default: that class alone.
   */
  readonly namespaceWeights?: readonly NamespaceWeight[] | undefined;
}

export interface BandwidthLimits {
  readonly ingress: TokenBucket;
  readonly egress: TokenBucket;
}

/**
 * Part of a limit that payloads use. The rest covers what is not counted (frames, TCP headers) and what socket
 * buffers shift between one second and the next, so that nobody who measures for some seconds sees more than the limit.
 */
const USED_PART = 0.99;

/** @throws RangeError for a rate or weight that is not positive, SyntaxError for a bad expression */
export function bandwidthLimits(bandwidth: Bandwidth = {}, clock: Clock = systemClock): BandwidthLimits {
  const { ingressBytesPerSec, egressBytesPerSec, namespaceWeights } = bandwidth;
  return {
    ingress: new TokenBucket(used(ingressBytesPerSec), clock, namespaceWeights),
    egress: new TokenBucket(used(egressBytesPerSec), clock, namespaceWeights),
  };
}

/** Change running limits. @throws as {@link bandwidthLimits} */
export function limitBandwidth({ ingress, egress }: BandwidthLimits, bandwidth: Bandwidth): void {
  const weights = bandwidth.namespaceWeights ?? [];
  ingress.setWeights(weights);
  egress.setWeights(weights);
  ingress.setRate(used(bandwidth.ingressBytesPerSec));
  egress.setRate(used(bandwidth.egressBytesPerSec));
}

function used(bytesPerSec: number | undefined): number | undefined {
  return bytesPerSec === undefined ? undefined : bytesPerSec * USED_PART;
}
