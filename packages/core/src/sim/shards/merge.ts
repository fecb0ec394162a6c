/** What shards measured becomes one report; and what no shard can check alone is checked here. */
import type { Digest } from '../../content/index.js';
import { CheckFailed } from '../checkers/index.js';
import { simOptions, type SimOptions } from '../options.js';
import { makeReport, type MeasuredParts, type ReportedWant, type SimReport } from '../report.js';
import { TraceHash } from '../trace.js';
import type { FarEnd } from './far-end.js';

/** A connection to another shard that was open when everything was quiet. */
export interface OpenFarEnd extends FarEnd {
  readonly digest: Digest;
}

/** What one shard measured; can be posted between threads. */
export interface ShardResult
  extends MeasuredParts, Pick<SimReport, 'imageBytes' | 'counts' | 'steps' | 'virtualMs' | 'traceHash'> {
  readonly shard: number;
  readonly wants: readonly ReportedWant[];
  readonly openFarEnds: readonly OpenFarEnd[];
}

/**
 * One report of all shards of a run.
 * @throws CheckFailed `capacity` when a connection is open at one end only
 */
export function mergeShards(given: Partial<SimOptions>, results: readonly ShardResult[]): SimReport {
  const options = simOptions(given);
  const ordered = [...results].sort((a, b) => a.shard - b.shard);
  const wants = ordered.flatMap((result) => result.wants);
  const virtualMs = ordered.reduce((latest, result) => Math.max(latest, result.virtualMs), 0);
  if (options.checkers.includes('capacity')) bothEndsAgree(ordered, virtualMs);
  const trace = new TraceHash();
  for (const { traceHash } of ordered) trace.text(traceHash);
  return makeReport({
    options,
    wants,
    imageBytes: ordered[0]?.imageBytes ?? 0,
    network: sum(ordered.map(({ network }) => network)),
    backend: sum(ordered.map(({ backend }) => backend)),
    counts: sum(ordered.map(({ counts }) => counts)),
    steps: ordered.reduce((steps, result) => steps + result.steps, 0),
    virtualMs,
    traceHash: trace.hex(),
  });
}

function bothEndsAgree(results: readonly ShardResult[], at: number): void {
  const name = (shard: number, end: number, digest: Digest): string => `${shard} ${end} ${digest}`;
  const open = new Set(results.flatMap((r) => r.openFarEnds.map((end) => name(r.shard, end.ours, end.digest))));
  for (const { openFarEnds } of results)
    for (const { shard, theirs, node, digest } of openFarEnds)
      if (!open.has(name(shard, theirs, digest)))
        throw new CheckFailed('capacity', 'a connection is open at the other end only', at, node);
}

function sum<Counts extends { [Key in keyof Counts]: number }>(all: readonly Counts[]): Counts {
  const total: Record<string, number> = {};
  for (const counts of all)
    for (const [key, value] of Object.entries<number>(counts)) total[key] = (total[key] ?? 0) + value;
  return total as Counts;
}
