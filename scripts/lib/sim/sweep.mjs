// Drawn runs with faults, one seed after the other. One that fails is made small.
import { drawOptions, failureOf, shrinkFailure, Simulation } from '../../../packages/core/dist/sim/index.js';
import { replayCommand } from './run.mjs';

/** Failures that are made small; the others are only printed. Each takes many runs. */
const SHRUNK_MAX = 3;

/**
 * Run `total` seeds from `first`.
 * @param createMachine what runs on the nodes; replaced in tests that break it on purpose
 * @returns whether all held
 */
export function sweep(first, total, agentsMax, { say = console.log, createMachine } = {}) {
  const startedAt = process.hrtime.bigint();
  let failed = 0;
  let steps = 0;
  for (let seed = first; seed < first + total; seed++) {
    const options = drawOptions(seed, agentsMax);
    const stepsNow = stepsIfItHolds(options, createMachine);
    if (stepsNow !== undefined) {
      steps += stepsNow;
      continue;
    }
    failed++;
    const run = (tried, watch) => failureOf(tried, watch, createMachine);
    say(`FAILED seed ${seed}: ${run(options)?.says}\n  repeat: ${replayCommand(options)}`);
    if (failed <= SHRUNK_MAX) sayShrunk(shrinkFailure(options, run), say);
  }
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const rss = Math.round(process.resourceUsage().maxRSS / 1024);
  say(
    `${total} seeds from ${first}: ${failed} failed; ${steps} steps in ${seconds.toFixed(1)} s, ` +
      `${Math.round(steps / seconds)} steps/s, rss=${rss}MiB node=${process.version}`,
  );
  return failed === 0;
}

/** Undefined when anything is wrong; `failureOf` says what. */
function stepsIfItHolds(options, createMachine) {
  try {
    const { unfinished, steps } = new Simulation(options, createMachine).run();
    return unfinished === 0 ? steps : undefined;
  } catch {
    // Whatever was thrown is thrown again when the failing run is repeated for its description.
    return undefined;
  }
}

function sayShrunk({ options, says, step, atMs, runs }, say) {
  const { agents, blobs, faults, faultsLeftOut } = options;
  say(
    `  shortest failing prefix: ${step} steps, ${atMs.toFixed(1)} virtual ms, with ${agents} agents, ${blobs} blobs, ` +
      `${faults - faultsLeftOut.length} faults (${runs} runs): ${says.split('\n')[0]}\n  repeat: ${replayCommand(options)}`,
  );
}
