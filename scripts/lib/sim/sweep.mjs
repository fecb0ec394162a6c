// Drawn runs with faults, one seed after the other.
import { CheckFailed, drawOptions, Simulation } from '../../../packages/core/dist/sim/index.js';
import { replayCommand } from './run.mjs';

/** Run `total` seeds from `first`. @returns whether all held */
export function sweep(first, total, agentsMax) {
  const startedAt = process.hrtime.bigint();
  let failed = 0;
  let steps = 0;
  for (let seed = first; seed < first + total; seed++) {
    const options = drawOptions(seed, agentsMax);
    const says = failureOf(options, (done) => (steps += done.steps));
    if (says === undefined) continue;
    failed++;
    console.log(`seed ${seed}: ${says}\n  repeat: ${replayCommand(options)}`);
  }
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const rss = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(
    `${total} seeds from ${first}: ${failed} failed; ${steps} steps in ${seconds.toFixed(1)} s, ` +
      `${Math.round(steps / seconds)} steps/s, rss=${rss}MiB node=${process.version}`,
  );
  return failed === 0;
}

function failureOf(options, done) {
  try {
    const result = new Simulation(options).run();
    done(result);
    return result.unfinished === 0 ? undefined : `${result.unfinished} pulls did not finish after healing`;
  } catch (error) {
    if (error instanceof CheckFailed) return error.message;
    throw error;
  }
}
