/** The table of swarm policies. A new one is a file and a line here; the name is the value of `scheduler.swarm_policy`. */
import { defaultSwarmPolicy } from './default.js';
import { krakenSwarmPolicy } from './kraken.js';
import type { SwarmPolicy } from './swarm-policy.js';

export type { SwarmPolicy } from './swarm-policy.js';

/** What ships. */
export const SWARM_POLICIES = {
  default: defaultSwarmPolicy,
  kraken: krakenSwarmPolicy,
} as const satisfies Readonly<Record<string, SwarmPolicy>>;
