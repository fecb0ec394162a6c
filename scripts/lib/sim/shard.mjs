// One shard of a run, on its own thread. When another one fails there is nothing to say: that one says it.
import { parentPort, workerData } from 'node:worker_threads';
import { Shard, ShardAbandoned } from '../../../packages/core/dist/sim/index.js';
import { failing } from './failing.mjs';

const { given, memory, shard } = workerData;
try {
  const part = new Shard(given, memory, shard);
  parentPort.postMessage(failing('result', () => part.run()));
} catch (error) {
  if (!(error instanceof ShardAbandoned)) throw error;
  parentPort.postMessage({});
}
