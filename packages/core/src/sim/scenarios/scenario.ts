/** What a scenario is: named runs that are reported together. One file each beside this one. */
import type { SimOptions } from '../options.js';

export interface Scenario {
  /** What it asks, for people. */
  readonly says: string;
  readonly runs: readonly Partial<SimOptions>[];
}

/** MB as operators count them. */
export const MB = 1e6;
export const MiB = 1024 * 1024;
