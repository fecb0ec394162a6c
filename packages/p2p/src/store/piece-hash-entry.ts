/**
 * Entry of the piece-hash worker thread: single pieces at once, whole files in turns between them. Owns the files and
 * pieces under way and one read buffer.
 */
import { parentPort } from 'node:worker_threads';
import { DescribeJob, hashPiece, LeafHashes, rootOf } from './piece-hash-jobs.js';
import type { PieceHashReply, PieceHashRequest } from './piece-hash-messages.js';

/** A multiple of a leaf. Small enough to stay in the second-level cache between reading and hashing. */
const READ_BYTES = 256 * 1024;

if (parentPort === null) throw new TypeError('the piece-hash worker must be started as a worker thread');
const port = parentPort;
const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
/** Files in order of their next turn. */
const files = new Map<number, DescribeJob>();

/** Pieces that are hashed while they pass. */
const feeds = new Map<number, LeafHashes>();

function reply(message: PieceHashReply): void {
  port.postMessage(message);
}

/** Run `work`; what it throws is the answer. */
function answering(job: number, work: () => void): void {
  try {
    work();
  } catch (error) {
    files.delete(job);
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
    reply({ type: 'failed', job, code, says: error instanceof Error ? error.message : String(error) });
  }
}

function takeTurn(): void {
  const [next] = files;
  if (next === undefined) return;
  const [job, file] = next;
  files.delete(job);
  answering(job, () => {
    if (file.turn(buffer)) reply({ type: 'file', job, sums: file.sums, layer: file.layer });
    else files.set(job, file);
  });
  // Messages are delivered between turns.
  if (files.size > 0) setImmediate(takeTurn);
}

port.on('message', (request: PieceHashRequest) => {
  const { job } = request;
  switch (request.type) {
    case 'piece':
      answering(job, () => {
        const { fd, position, length, width } = request;
        reply({ type: 'piece', job, hash: hashPiece(fd, buffer, position, length, width) });
      });
      return;
    case 'bytes':
      answering(job, () => {
        const { feed, bytes, last, length, width } = request;
        const leaves = feeds.get(feed) ?? new LeafHashes(length);
        leaves.add(bytes);
        if (last) {
          feeds.delete(feed);
          reply({ type: 'piece', job, hash: leaves.finish(width) });
        } else {
          feeds.set(feed, leaves);
          reply({ type: 'taken', job });
        }
      });
      return;
    case 'forget':
      feeds.delete(request.feed);
      return;
    case 'root':
      answering(job, () => {
        const { layer, length, pieceLength } = request;
        reply({ type: 'root', job, root: rootOf(layer, length, pieceLength) });
      });
      return;
    case 'file':
      answering(job, () => {
        const { path, length, pieceLength, claimed } = request;
        files.set(job, new DescribeJob(path, length, pieceLength, claimed));
        if (files.size === 1) setImmediate(takeTurn);
      });
  }
});
