/**
 * What a run came to, as numbers and as one line. Percentiles are of the completion times of agents: from
 * an agent's first request until the last of its blobs is committed. No real time is in here: steps per
 * second are the business of whoever has a clock.
 */
import type { Millis } from '../machine/index.js';
import type { SwarmObservation } from '../swarm/index.js';
import type { Want } from './client.js';
import type { NetworkCounts } from './network.js';

/** Sums over all nodes. */
export interface SimCounts {
  dials: number;
  refusals: number;
  duplicates: number;
  rejected: number;
  expired: number;
  blacklisted: number;
  /** Pieces stored by agents. */
  pieces: number;
  piecesFromOrigins: number;
}

export interface SimReport {
  readonly link: string;
  readonly agents: number;
  /** Completion times of the agents that finished all their blobs, ascending. */
  readonly completionMs: readonly Millis[];
  /** Times from request to first piece at the in-order reader, per blob, ascending. */
  readonly firstByteMs: readonly Millis[];
  readonly unfinished: number;
  readonly failedPulls: number;
  /** Bytes of all blobs together: one image. */
  readonly imageBytes: number;
  readonly bytesFromOrigins: number;
  readonly bytesFromAgents: number;
  readonly counts: SimCounts;
  /** Control messages sent. */
  readonly messages: number;
  readonly steps: number;
  readonly virtualMs: Millis;
  readonly traceHash: string;
}

export const emptyCounts = (): SimCounts => ({
  dials: 0,
  refusals: 0,
  duplicates: 0,
  rejected: 0,
  expired: 0,
  blacklisted: 0,
  pieces: 0,
  piecesFromOrigins: 0,
});

/** Add one observation of an agent or an origin. */
export function count(counts: SimCounts, observation: SwarmObservation): void {
  switch (observation.kind) {
    case 'connection-refused':
      counts.refusals++;
      return;
    case 'piece-duplicate':
      counts.duplicates++;
      return;
    case 'piece-rejected':
      counts.rejected++;
      return;
    case 'request-expired':
      counts.expired++;
      return;
    case 'peer-blacklisted':
      counts.blacklisted++;
      return;
    default:
  }
}

/** The value below which a share of `ascending` lies (nearest rank); NaN when it is empty. */
export function percentile(ascending: readonly number[], share: number): number {
  const rank = Math.max(1, Math.ceil(ascending.length * share));
  return ascending[rank - 1] ?? NaN;
}

export function makeReport(input: {
  readonly link: string;
  readonly agents: number;
  readonly wants: readonly Want[];
  readonly imageBytes: number;
  readonly network: NetworkCounts;
  readonly counts: SimCounts;
  readonly steps: number;
  readonly virtualMs: Millis;
  readonly traceHash: string;
}): SimReport {
  const { wants, network, ...rest } = input;
  const started = new Map<number, Millis>();
  const finished = new Map<number, Millis | undefined>();
  for (const want of wants) {
    started.set(want.node, Math.min(started.get(want.node) ?? Infinity, want.askedAt));
    const before = finished.has(want.node) ? finished.get(want.node) : 0;
    finished.set(
      want.node,
      before === undefined || want.finishedAt === undefined ? undefined : Math.max(before, want.finishedAt),
    );
  }
  const completionMs: Millis[] = [];
  for (const [node, at] of finished) if (at !== undefined) completionMs.push(at - (started.get(node) ?? 0));
  const firstByteMs = wants.flatMap((want) =>
    want.firstByteAt === undefined ? [] : [want.firstByteAt - want.askedAt],
  );
  const ascending = (a: number, b: number): number => a - b;
  return {
    ...rest,
    completionMs: completionMs.sort(ascending),
    firstByteMs: firstByteMs.sort(ascending),
    unfinished: wants.filter((want) => want.finishedAt === undefined).length,
    failedPulls: wants.reduce((sum, want) => sum + want.failures.length, 0),
    bytesFromOrigins: network.bytesFromOrigins,
    bytesFromAgents: network.bytesFromAgents,
    messages: network.messages,
  };
}

/** One line for people. */
export function reportLine(report: SimReport): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(3)}s`;
  const { completionMs, firstByteMs, counts, imageBytes } = report;
  const parts = [
    `link=${report.link}`,
    `agents=${report.agents}`,
    `p50=${seconds(percentile(completionMs, 0.5))}`,
    `p99=${seconds(percentile(completionMs, 0.99))}`,
    `p99.9=${seconds(percentile(completionMs, 0.999))}`,
    `max=${seconds(percentile(completionMs, 1))}`,
    `first-byte-p50=${seconds(percentile(firstByteMs, 0.5))}`,
    `origin-copies=${(report.bytesFromOrigins / imageBytes).toFixed(2)}`,
    `agent-copies=${(report.bytesFromAgents / imageBytes).toFixed(2)}`,
    `origin-bytes=${report.bytesFromOrigins}`,
    `duplicates=${counts.duplicates}`,
    `rejected=${counts.rejected}`,
    `expired=${counts.expired}`,
    `dials=${counts.dials}`,
    `refusals=${counts.refusals}`,
    `messages/piece=${(report.messages / Math.max(1, counts.pieces)).toFixed(1)}`,
    `steps=${report.steps}`,
    `virtual=${seconds(report.virtualMs)}`,
    `unfinished=${report.unfinished}`,
    `failed-pulls=${report.failedPulls}`,
    `trace=${report.traceHash}`,
  ];
  return parts.join(' ');
}
