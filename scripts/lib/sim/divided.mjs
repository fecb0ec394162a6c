// A run of several shards: a thread for each, and one report of all.
import { Worker } from 'node:worker_threads';
import { createShardMemory, mergeShards } from '../../../packages/core/dist/sim/index.js';
import { failing } from './failing.mjs';

/** @returns `report`, or `failure` with what a checker objected to */
export async function simulateDivided(given) {
  const memory = createShardMemory(given.shards);
  const outcomes = await Promise.all(Array.from({ length: given.shards }, (_, shard) => runShard({ given, memory, shard })));
  // Shards that fail in one window do not know of each other.
  const [first] = outcomes
    .filter(({ failure }) => failure !== undefined)
    .sort((a, b) => a.failedAtMs - b.failedAtMs);
  return first ?? failing('report', () => mergeShards(given, outcomes.map(({ result }) => result)));
}

function runShard(workerData) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./shard.mjs', import.meta.url), { workerData });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`a shard ended with code ${code} and without a result`)));
  });
}
