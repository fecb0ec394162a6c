/**
 * What a run came to, as numbers and as one line. Percentiles are of the completion times of agents: from
 * an agent's first request until the last of its blobs is committed. No real time is in here: steps per
 * second are the business of whoever has a clock.
 */
import type { Millis } from '../machine/index.js';
import type { SwarmObservation } from '../swarm/index.js';
import type { Want } from './client.js';
import type { NetworkCounts } from './network.js';
import type { SimOptions } from './options.js';

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

/** What a run measured. */
export interface SimReport {
  readonly link: string;
  readonly agents: number;
  /** Completion times of the agents that finished all their blobs, ascending. */
  readonly completionMs: readonly Millis[];
  /** Times from request to first piece at the in-order reader, per blob, ascending. */
  readonly firstByteMs: readonly Millis[];
  /** Times from request to commit, per blob, ascending. */
  readonly blobMs: readonly Millis[];
  /** Times from the last piece on the host's disk to the last byte at the reader (the commit), per blob, ascending. */
  readonly lastByteLagMs: readonly Millis[];
  /** Per host that finished: its bytes over its completion time, as a share of its downward rate, ascending. */
  readonly linkShares: readonly number[];
  readonly streaming: boolean;
  readonly unfinished: number;
  readonly failedPulls: number;
  /** Bytes of all blobs together: one image. */
  readonly imageBytes: number;
  readonly bytesFromOrigins: number;
  readonly bytesFromAgents: number;
  /** Copies that origins made from each other. */
  readonly bytesBetweenOrigins: number;
  readonly bytesFromBackend: number;
  /** Reads of the blob that origins read most often from the backend. */
  readonly backendReadsMax: number;
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

/** What a report needs to know of one want. */
export type ReportedWant = Pick<Want, 'node' | 'askedAt' | 'firstByteAt' | 'piecesAt' | 'finishedAt'> & {
  readonly metainfo: { readonly length: number };
  readonly failures: { readonly length: number };
};

/** What the storage behind the origins counted. */
export interface BackendCounts {
  readonly bytesRead: number;
  /** Copies that origins made from each other. */
  readonly bytesBetweenOrigins: number;
  /** Reads of the blob that was read most often. */
  readonly readsMax: number;
}

/** What of a run is counted elsewhere. */
export interface MeasuredParts {
  readonly network: NetworkCounts;
  readonly backend: BackendCounts;
}

export function makeReport(
  input: {
    readonly options: SimOptions;
    readonly wants: readonly ReportedWant[];
    readonly imageBytes: number;
    readonly counts: SimCounts;
    readonly steps: number;
    readonly virtualMs: Millis;
    readonly traceHash: string;
  } & MeasuredParts,
): SimReport {
  const { options, wants, network, backend, ...rest } = input;
  const hosts = [...hostTimes(wants)].filter(({ finished }) => finished < Infinity);
  const perWant = (from: 'askedAt' | 'piecesAt', to: 'firstByteAt' | 'finishedAt'): Millis[] =>
    wants.flatMap((want) => {
      const [start, end] = [want[from], want[to]];
      return start === undefined || end === undefined ? [] : [end - start];
    });
  return {
    ...rest,
    link: options.link,
    agents: options.agents,
    streaming: options.streaming,
    completionMs: sorted(hosts.map(({ started, finished }) => finished - started)),
    firstByteMs: sorted(perWant('askedAt', 'firstByteAt')),
    blobMs: sorted(perWant('askedAt', 'finishedAt')),
    lastByteLagMs: sorted(perWant('piecesAt', 'finishedAt')),
    linkShares: sorted(
      hosts.map(
        ({ started, finished, bytes }) => bytes / (finished - started) / (options.agentDownBytesPerSecond / 1000),
      ),
    ),
    unfinished: wants.filter((want) => want.finishedAt === undefined).length,
    failedPulls: wants.reduce((sum, want) => sum + want.failures.length, 0),
    bytesFromOrigins: network.bytesFromOrigins,
    bytesFromAgents: network.bytesFromAgents,
    bytesBetweenOrigins: backend.bytesBetweenOrigins,
    bytesFromBackend: backend.bytesRead,
    backendReadsMax: backend.readsMax,
    messages: network.messages,
  };
}

interface HostTimes {
  started: Millis;
  /** Infinity while one of its blobs is missing. */
  finished: Millis;
  bytes: number;
}

function hostTimes(wants: readonly ReportedWant[]): IterableIterator<HostTimes> {
  const hosts = new Map<number, HostTimes>();
  for (const { node, askedAt, finishedAt = Infinity, metainfo } of wants) {
    const host = hosts.get(node) ?? { started: Infinity, finished: 0, bytes: 0 };
    host.started = Math.min(host.started, askedAt);
    host.finished = Math.max(host.finished, finishedAt);
    host.bytes += metainfo.length;
    hosts.set(node, host);
  }
  return hosts.values();
}

const sorted = (values: number[]): number[] => values.sort((a, b) => a - b);

/** One line for people. */
export function reportLine(report: SimReport): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(3)}s`;
  const { completionMs, firstByteMs, lastByteLagMs, blobMs, counts, imageBytes } = report;
  const parts = [
    `link=${report.link}`,
    `agents=${report.agents}`,
    `readers=${report.streaming ? 'in-order' : 'plain'}`,
    `p50=${seconds(percentile(completionMs, 0.5))}`,
    `p99=${seconds(percentile(completionMs, 0.99))}`,
    `p99.9=${seconds(percentile(completionMs, 0.999))}`,
    `max=${seconds(percentile(completionMs, 1))}`,
    `first-byte-p50=${seconds(percentile(firstByteMs, 0.5))}`,
    `first-byte-p99=${seconds(percentile(firstByteMs, 0.99))}`,
    `last-byte-lag-p50=${seconds(percentile(lastByteLagMs, 0.5))}`,
    `last-byte-lag-p99=${seconds(percentile(lastByteLagMs, 0.99))}`,
    `last-byte-lag-max=${seconds(percentile(lastByteLagMs, 1))}`,
    `blob-p50=${seconds(percentile(blobMs, 0.5))}`,
    `blob-p99=${seconds(percentile(blobMs, 0.99))}`,
    `link-share-min=${(report.linkShares[0] ?? NaN).toFixed(3)}`,
    `origin-copies=${(report.bytesFromOrigins / imageBytes).toFixed(2)}`,
    `agent-copies=${(report.bytesFromAgents / imageBytes).toFixed(2)}`,
    `origin-bytes=${report.bytesFromOrigins}`,
    `backend-reads-max=${report.backendReadsMax}`,
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
