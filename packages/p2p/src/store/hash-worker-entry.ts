/**
 * Entry of the hash worker thread: takes requests, gives every runnable job a turn after the other, answers.
 * Owns the table of jobs and one read buffer.
 */
import { parentPort } from 'node:worker_threads';
import { FollowJob, SumJob, type HashJob } from './hash-jobs.js';
import type { HashReply, HashRequest } from './hash-messages.js';

/** Small enough to stay in a core's cache between reading and hashing. */
const READ_BYTES = 256 * 1024;

if (parentPort === null) throw new TypeError('the hash worker must be started as a worker thread');
const port = parentPort;
const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
const jobs = new Map<number, HashJob<string | Uint32Array>>();
/** Jobs with work, in order of their next turn. */
const runnable = new Set<number>();
let scheduled = false;

function reply(message: HashReply): void {
  port.postMessage(message);
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
  if (job !== undefined) runTurn(id, job);
  const [next] = runnable;
  if (next !== undefined) wake(next);
}

function runTurn(id: number, job: HashJob<string | Uint32Array>): void {
  try {
    const result = job.turn(buffer);
    if (result !== undefined) {
      jobs.delete(id);
      reply(
        typeof result === 'string'
          ? { type: 'hashed', job: id, hex: result }
          : { type: 'summed', job: id, sums: result },
      );
    } else if (job.hasWork) {
      runnable.add(id);
    }
  } catch (error) {
    jobs.delete(id);
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
    reply({ type: 'failed', job: id, code, says: error instanceof Error ? error.message : String(error) });
  }
}

port.on('message', (request: HashRequest) => {
  switch (request.type) {
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
    case 'sum':
      jobs.set(request.job, new SumJob(request.path, request.length, request.pieceLength, request.claimed));
      wake(request.job);
      return;
    case 'cancel':
      jobs.delete(request.job);
      runnable.delete(request.job);
  }
});
