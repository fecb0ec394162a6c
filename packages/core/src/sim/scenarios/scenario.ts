/** What a scenario is: named runs that are reported together, and what they must come to. One file each beside this one. */
import type { Bounds, Growth } from '../bounds.js';
import type { SimOptions } from '../options.js';

/** A run worth repeating, with what it must achieve. */
export interface Scenario {
  /** What it asks, for people. */
  readonly says: string;
  readonly runs: readonly Partial<SimOptions>[];
  /** By link model: what each run of the shipping policy must keep. */
  readonly bounds?: Readonly<Record<string, Bounds>>;
  /** What the runs of the shipping policy must keep together. */
  readonly growth?: Growth;
  /** Policies that run beside the shipping one: reported, not judged. */
  readonly beside?: readonly string[];
}

/** MB as operators count them. */
export const MB = 1e6;
export const MiB = 1024 * 1024;
