/**
 * Entry of a hash thread: single pieces and roots at once, long jobs in turns between them, one after the other. Owns the
 * jobs and the pieces under way, and one read buffer.
 */
import { parentPort } from 'node:worker_threads';
import { FeedHashes, type PassedBlob } from './feed-hashes.js';
import { DescribeJob, FollowJob } from './hash-jobs.js';
import type { HashReply, HashRequest } from './hash-messages.js';
import { CACHED_BYTES, hashPiece, rootOf } from './leaf-hashes.js';

if (parentPort === null) throw new TypeError('a hash thread must be started as a worker thread');
const port = parentPort;
const buffer = Buffer.allocUnsafeSlow(CACHED_BYTES);
const jobs = new Map<number, FollowJob | DescribeJob>();
/** Jobs with work, in order of their next turn. */
const runnable = new Set<number>();
let scheduled = false;
const feeds = new Map<number, FeedHashes>();

function reply(message: HashReply): void {
  port.postMessage(message);
}

/** Run `work`; what it throws is the answer. */
function answering(job: number, work: () => void): void {
  try {
    work();
  } catch (error) {
    jobs.delete(job);
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
    reply({ type: 'failed', job, code, says: error instanceof Error ? error.message : String(error) });
  }
}

function wake(job: number): void {
  runnable.add(job);
  if (scheduled) return;
  scheduled = true;
  // Messages are delivered between turns, so new and cancelled jobs count at once.
  setImmediate(takeTurn);
}

function takeTurn(): void {
  scheduled = false;
  const [id] = runnable;
  if (id === undefined) return;
  runnable.delete(id);
  const job = jobs.get(id);
  if (job !== undefined) answering(id, () => runTurn(id, job));
  const [next] = runnable;
  if (next !== undefined) wake(next);
}

function runTurn(id: number, job: FollowJob | DescribeJob): void {
  const result = job.turn(buffer);
  if (result !== undefined) {
    jobs.delete(id);
    reply(
      typeof result === 'string'
        ? { type: 'hashed', job: id, hex: result }
        : { type: 'described', job: id, sums: result.sums, layer: result.layer },
    );
  } else if (job.hasWork) runnable.add(id);
}

type BytesRequest = Extract<HashRequest, { type: 'bytes' }>;

function takeBytes({ job, feed, bytes, first, last, length, width, follow }: BytesRequest): void {
  const piece = first ? new FeedHashes(length, width, blobOf(follow)) : feeds.get(feed);
  if (piece === undefined) throw new Error('the thread that had the beginning of this piece is gone');
  piece.add(bytes);
  if (last) {
    feeds.delete(feed);
    reply({ type: 'piece', job, hash: piece.finish() });
  } else {
    feeds.set(feed, piece);
    reply({ type: 'taken', job });
  }
}

function blobOf(follow: BytesRequest['follow']): PassedBlob | undefined {
  const job = follow === undefined ? undefined : jobs.get(follow.job);
  return follow !== undefined && job instanceof FollowJob ? { ...follow, job } : undefined;
}

port.on('message', (request: HashRequest) => {
  switch (request.type) {
    case 'bytes':
      answering(request.job, () => takeBytes(request));
      return;
    case 'piece':
      answering(request.job, () => {
        const { job, fd, position, length, width } = request;
        reply({ type: 'piece', job, hash: hashPiece(fd, buffer, position, length, width) });
      });
      return;
    case 'forget':
      feeds.delete(request.feed);
      return;
    case 'root':
      answering(request.job, () => {
        const { job, layer, length, pieceLength } = request;
        reply({ type: 'root', job, root: rootOf(layer, length, pieceLength) });
      });
      return;
    case 'follow':
      jobs.set(request.job, new FollowJob(request.path));
      return;
    case 'extend': {
      const job = jobs.get(request.job);
      if (!(job instanceof FollowJob)) return;
      job.extend(request.end, request.last);
      if (job.hasWork) wake(request.job);
      return;
    }
    case 'describe': {
      const { job, path, length, pieceLength, layer, claimed } = request;
      answering(job, () => {
        jobs.set(job, new DescribeJob(path, length, pieceLength, layer, claimed));
        wake(job);
      });
      return;
    }
    case 'cancel':
      jobs.delete(request.job);
      runnable.delete(request.job);
  }
});
