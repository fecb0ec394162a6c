/**
 * The simulator on the command line: one run, scenarios with their bounds, or a sweep over fault seeds.
 *
 *   npm run sim -- --agents 50 --origins 3 --size 67108864 --seed 1
 *   npm run sim -- --scenario uber-260
 *   npm run sim -- --sweep 200
 *
 * The options that a run prints are everything that it depends on: `--options '<json>'` repeats it.
 */
import { ensureBuilt } from './lib/ensure-built.mjs';

ensureBuilt('packages/core');
const { CHECKERS, POLICIES, SCENARIO_CHECKERS, simOptions } = await import('../packages/core/dist/sim/index.js');
const { HELP, parseFlags } = await import('./lib/sim/flags.mjs');
const { printRun, simulate } = await import('./lib/sim/run.mjs');
const { runScenario } = await import('./lib/sim/scenario.mjs');
const { sweep } = await import('./lib/sim/sweep.mjs');
const { saveScenario } = await import('./lib/sim/save.mjs');

const flags = parseFlags(process.argv.slice(2));
if (flags.help) console.log(HELP);
else process.exitCode = (await main()) ? 0 : 1;

async function main() {
  if (flags.sweep !== undefined) return sweep(flags.given.seed ?? 1, flags.sweep, flags.agentsMax);
  if (flags.scenarios !== undefined) return scenarios();
  const policy = flags.policy === undefined ? {} : { agentSwarm: POLICIES[flags.policy] };
  const checkers = flags.given.shards > 1 ? SCENARIO_CHECKERS : Object.keys(CHECKERS);
  const options = { ...(flags.options ?? { checkers }), ...flags.given, ...policy };
  simOptions(options);
  return printRun(await simulate(options), { json: flags.json });
}

/** All of them, also after one that failed: a report is a comparison. */
async function scenarios() {
  let ok = true;
  for (const scenario of flags.scenarios) {
    const result = await runScenario(scenario, flags);
    ok &&= result.ok;
    if (flags.save) saveScenario(scenario, result);
  }
  return ok;
}
