// Prints the fingerprints of a few small runs as JSON, `{ "what": "hash" }`: what every version of Node must agree on. Both
// link models, with and without faults.
import { drawOptions, LINK_MODELS, Simulation } from '../../../packages/core/dist/sim/index.js';

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
const hashes = Object.entries(runs).map(([what, options]) => {
  const { traceHash, steps, virtualMs } = new Simulation(options).run();
  return [what, `${traceHash} after ${steps} steps and ${virtualMs} ms`];
});
console.log(JSON.stringify(Object.fromEntries(hashes)));
