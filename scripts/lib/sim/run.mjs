// Runs simulations in child processes and prints what they come to.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { reportLine } from '../../../packages/core/dist/sim/index.js';

const CHILD = fileURLToPath(new URL('./child.mjs', import.meta.url));
/** Room for everything, and for young objects enough from the start that few of those on their way between hosts are copied: 5 to 10 % sooner. */
const NODE_FLAGS = ['--max-old-space-size=16384', '--min-semi-space-size=64', '--max-semi-space-size=64'];

/**
 * One run with these options.
 * @returns options with defaults filled in, faults, report or failure, real and processor time, memory, Node version
 */
export function simulate(options) {
  return new Promise((resolve, reject) => {
    const child = fork(CHILD, { serialization: 'advanced', execArgv: NODE_FLAGS });
    let outcome;
    child.once('message', (message) => (outcome = message));
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (outcome !== undefined) resolve(outcome);
      else reject(new Error(`the simulation ended with ${signal ?? `code ${code}`}`));
    });
    child.send(options);
  });
}

/** As {@link simulate}, at most `jobs` at once; `done` hears of each in the order of `runs`, as early as that allows. */
export async function simulateAll(runs, jobs, done) {
  const results = [];
  const waiting = runs.entries();
  let told = 0;
  const worker = async () => {
    for (const [index, options] of waiting) {
      results[index] = await simulate(options);
      while (results[told] !== undefined) done(results[told], told++);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, runs.length) }, worker));
  return results;
}

/** Print one run. @returns whether all pulls finished and no checker objected */
export function printRun(
  { options, faults, report, failure, realSeconds, cpuSeconds, rssMiB, node },
  { label = '', json = false, say = console.log } = {},
) {
  say(JSON.stringify(options));
  for (const { atMs, untilMs, says } of faults) say(`# ${atMs.toFixed(0)}–${untilMs.toFixed(0)} ms: ${says}`);
  if (failure !== undefined) {
    say(`FAILED ${label}${failure}\n  repeat: ${replayCommand(options)}`);
    return false;
  }
  say(json ? JSON.stringify(report) : `${label}${reportLine(report)}`);
  say(
    `real=${realSeconds.toFixed(2)}s cpu=${cpuSeconds.toFixed(2)}s steps/s=${Math.round(report.steps / realSeconds)} rss=${rssMiB}MiB node=${node}`,
  );
  if (report.unfinished > 0)
    say(`FAILED ${report.unfinished} pulls did not finish\n  repeat: ${replayCommand(options)}`);
  return report.unfinished === 0;
}

/** The command that repeats a run. */
export function replayCommand(options) {
  return `npm run sim -- --options '${JSON.stringify(options)}'`;
}
