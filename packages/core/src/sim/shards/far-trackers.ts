/**
 * Trackers that another shard runs: questions and answers are records. The first shard runs all trackers, origins and the
 * storage behind them, so that whatever these share needs no record.
 */
import type { Digest, MetaInfo } from '../../content/index.js';
import type { SimHost } from '../host.js';
import type { SimNode } from '../node.js';
import {
  metaInfoWayMs,
  pollMetaInfo,
  UNAVAILABLE,
  UNKNOWN,
  type AnnounceAnswer,
  type AskedTracker,
  type Done,
  type SimAnnounce,
  type SimTracker,
} from '../tracker.js';
import { MAIL } from './mail.js';
import type { MailContext, ReadRecord } from './post-office.js';

/** The shard that runs trackers, origins and the backend. */
export const SERVERS_SHARD = 0;

export interface TrackerMailOptions extends MailContext {
  /** What a tracker takes to answer, without the wire. */
  readonly delayMs: number;
}

/** What is known of the metainfo of a blob, as a number. */
const METAINFO = { unknown: 0, pending: 1, known: 2 } as const;

/** One tracker as agents of other shards see it. */
export class FarTracker implements AskedTracker {
  readonly #options: TrackerMailOptions;
  readonly #tracker: number;
  readonly #blobs: ReadonlyMap<Digest, number>;

  constructor(options: TrackerMailOptions, tracker: number) {
    this.#options = options;
    this.#tracker = tracker;
    this.#blobs = new Map(options.blobs.map(({ digest }, blob) => [digest, blob]));
  }

  announce(from: SimHost, announce: SimAnnounce, done: Done<AnnounceAnswer>): void {
    const { post, clock, latencyMs, delayMs, nodes } = this.#options;
    const box = post.to(SERVERS_SHARD);
    const start = box.record(MAIL.announced, clock.now + latencyMs + delayMs, 6);
    box.cells[start] = this.#tracker;
    box.cells[start + 1] = post.question(([intervalMs = 0, ...peers]) =>
      done({ intervalMs, peers: peers.map((cell) => peerFrom(nodes, cell)) }, UNAVAILABLE),
    );
    box.cells[start + 2] = from.node;
    box.cells[start + 3] = this.#blobs.get(announce.digest) as number;
    box.cells[start + 4] = announce.complete ? 1 : 0;
    box.cells[start + 5] = announce.event === 'stopped' ? 1 : 0;
  }

  metaInfo(digest: Digest, done: Done<MetaInfo>): void {
    const { post, clock, latencyMs, delayMs, blobs } = this.#options;
    const blob = this.#blobs.get(digest) as number;
    pollMetaInfo(clock, done, (answered) => {
      const box = post.to(SERVERS_SHARD);
      const start = box.record(MAIL.metaInfoAsked, clock.now + metaInfoWayMs(latencyMs) + delayMs, 3);
      box.cells[start] = this.#tracker;
      box.cells[start + 1] = post.question(([known]) => {
        if (known === METAINFO.known) answered(blobs[blob], UNKNOWN);
        else answered(known === METAINFO.pending ? 'pending' : undefined, UNKNOWN);
      });
      box.cells[start + 2] = blob;
    });
  }
}

/** Answer what comes from other shards. */
export function serveTrackers(trackers: readonly SimTracker[], options: TrackerMailOptions): void {
  const { post, clock, latencyMs, nodes, blobs } = options;
  const numbers = new Map(nodes.map(({ peerId, number }) => [peerId, number]));
  const announced: ReadRecord = (from, at, cells, start) => {
    const [tracker, question, node, blob, complete, stopped] = cells.subarray(start, start + 6);
    clock.at(at, () => {
      const { digest, infoHash } = blobs[blob as number] as MetaInfo;
      const event = stopped === 1 ? ({ event: 'stopped' } as const) : {};
      const announce = { digest, infoHash, complete: complete === 1, ...event };
      const answer = trackers[tracker as number]?.announced(nodes[node as number] as SimNode, announce);
      if (answer === undefined) throw new RangeError(`there is no tracker ${tracker}`);
      const peers = answer.peers.map((peer) => (numbers.get(peer.peerId) as number) * 2 + (peer.complete ? 1 : 0));
      post.answer(from, clock.now + latencyMs, question as number, [answer.intervalMs, ...peers]);
    });
  };
  const asked: ReadRecord = (from, at, cells, start) => {
    const [tracker, question, blob] = cells.subarray(start, start + 3);
    clock.at(at, () => {
      const known = trackers[tracker as number]?.metaInfoAsked((blobs[blob as number] as MetaInfo).digest);
      const code = known === undefined ? METAINFO.unknown : known === 'pending' ? METAINFO.pending : METAINFO.known;
      post.answer(from, clock.now + metaInfoWayMs(latencyMs), question as number, [code]);
    });
  };
  post.reads(MAIL.announced, announced);
  post.reads(MAIL.metaInfoAsked, asked);
}

const peerFrom = (nodes: readonly SimNode[], cell: number): ReturnType<SimNode['peerInfo']> =>
  (nodes[Math.floor(cell / 2)] as SimNode).peerInfo(cell % 2 === 1);
