/**
 * What a scenario promises, and whether a run kept it. A measure is one number of a report; a bound is the
 * worst value of it that is allowed. Owns the list of measures; never runs anything.
 */
import { percentile, type SimReport } from './report.js';

/** One number of a report that can be bounded. */
interface Measure {
  readonly says: string;
  readonly unit: 's' | '×' | '';
  readonly of: (report: SimReport) => number;
  /** The bound is the least value allowed; otherwise the largest. */
  readonly atLeast?: true;
}

const seconds = (ascendingMs: readonly number[], share: number): number => percentile(ascendingMs, share) / 1000;

/** What bounds may be set on, and how each is read from a report. */
export const MEASURES = {
  p50Seconds: { says: 'hosts done, p50', unit: 's', of: (report) => seconds(report.completionMs, 0.5) },
  p99Seconds: { says: 'hosts done, p99', unit: 's', of: (report) => seconds(report.completionMs, 0.99) },
  p999Seconds: { says: 'hosts done, p99.9', unit: 's', of: (report) => seconds(report.completionMs, 0.999) },
  firstPieceP50Seconds: { says: 'first piece at the reader, p50', unit: 's', of: (r) => seconds(r.firstByteMs, 0.5) },
  lastByteLagSeconds: {
    says: 'last byte after the last piece, max',
    unit: 's',
    of: (report) => seconds(report.lastByteLagMs, 1),
  },
  originCopies: { says: 'images sent by origins', unit: '', of: (r) => r.bytesFromOrigins / r.imageBytes },
  backendReads: { says: 'reads of one blob from the backend, max', unit: '', of: (report) => report.backendReadsMax },
  linkShare: {
    says: 'share of its link that a host used, min',
    unit: '',
    of: (report) => report.linkShares[0] ?? NaN,
    atLeast: true,
  },
} as const satisfies Readonly<Record<string, Measure>>;

/** Worst values allowed, by measure. Seconds, counts and shares as the names say. */
export type Bounds = Readonly<Partial<Record<keyof typeof MEASURES, number>>>;

/** How much the p99 may grow with the cluster. */
export interface Growth {
  readonly fromAgents: number;
  readonly toAgents: number;
  readonly p99RatioMax: number;
}

/** One bound against what a run measured. */
export interface Verdict {
  readonly says: string;
  readonly unit: string;
  readonly value: number;
  readonly limit: number;
  readonly atLeast: boolean;
  readonly ok: boolean;
}

/** All bounds, kept or not, in the order of the measures. A value that is not a number is not kept. */
export function judge(report: SimReport, bounds: Bounds): Verdict[] {
  const measures: readonly [string, Measure][] = Object.entries(MEASURES);
  return measures.flatMap(([name, { says, unit, of, atLeast = false }]) => {
    const limit = bounds[name as keyof Bounds];
    if (limit === undefined) return [];
    const value = of(report);
    return [{ says, unit, value, limit, atLeast, ok: atLeast ? value >= limit : value <= limit }];
  });
}

/** The bound on growth, over runs of different sizes; undefined when one of the two is missing. */
export function judgeGrowth(reports: readonly SimReport[], growth: Growth): Verdict | undefined {
  const p99 = (agents: number): number | undefined => {
    const report = reports.find((candidate) => candidate.agents === agents);
    return report === undefined ? undefined : percentile(report.completionMs, 0.99);
  };
  const [from, to] = [p99(growth.fromAgents), p99(growth.toAgents)];
  if (from === undefined || to === undefined) return undefined;
  const limit = growth.p99RatioMax;
  return {
    says: `p99 of ${growth.toAgents} hosts over p99 of ${growth.fromAgents}`,
    unit: '×',
    value: to / from,
    limit,
    atLeast: false,
    ok: to / from <= limit,
  };
}

/** One line for people, e.g. `ok      hosts done, p99: 11.294 s ≤ 11.5 s`. */
export function verdictLine({ says, unit, value, limit, atLeast, ok }: Verdict): string {
  const tail = unit === '' ? '' : ` ${unit}`;
  return `${ok ? 'ok    ' : 'FAILED'} ${says}: ${value.toFixed(3)}${tail} ${atLeast ? '≥' : '≤'} ${limit}${tail}`;
}
