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

/**
 * What checks the runs of a scenario. The checkers that follow each request and look at all tables at intervals are left to
 * drawn runs and sweeps: here they would double the time and take a copy of every bitfield that a peer ever told.
 */
export const SCENARIO_CHECKERS: readonly string[] = ['capacity', 'committed-whole', 'pulls-answered-once'];

/** MB as operators count them. */
export const MB = 1e6;
export const MiB = 1024 * 1024;
