// Prints the fingerprints of a few small runs as JSON, `{ "what": "hash" }`: what every version of Node must agree on. Both
// link models, with and without faults, and one run on two threads.
import { drawOptions, LINK_MODELS, Simulation } from '../../../packages/core/dist/sim/index.js';
import { simulateDivided } from './divided.mjs';

const FAULTY_PER_LINK = 4;
const KiB = 1024;

const runs = {};
for (const link of Object.keys(LINK_MODELS)) {
  const options = { link, agents: 40, blobBytes: 40 * 64 * KiB, pieceBytes: 64 * KiB, streaming: true, pullsApart: true };
  runs[`${link}, no faults`] = { ...options, blobs: 6, blobsPerAgent: 3, popularity: 'zipf', blobsIn: 'backend' };
  let found = 0;
  for (let seed = 1; found < FAULTY_PER_LINK; seed++) {
    const drawn = drawOptions(seed, 20);
    if (drawn.link !== link || drawn.faults < 3) continue;
    found++;
    runs[`${link}, ${drawn.faults} faults, seed ${seed}`] = drawn;
  }
}
const hashOf = ({ traceHash, steps, virtualMs }) => `${traceHash} after ${steps} steps and ${virtualMs} ms`;
const hashes = Object.entries(runs).map(([what, options]) => [what, hashOf(new Simulation(options).run())]);
const divided = { ...runs['token-bucket, no faults'], checkers: ['capacity', 'committed-whole'], shards: 2 };
hashes.push(['two shards', hashOf((await simulateDivided(divided)).report)]);
console.log(JSON.stringify(Object.fromEntries(hashes)));
