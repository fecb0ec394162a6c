// One simulation in a process of its own, so that memory and speed are those of the run. Options come in, and the result
// goes out, as messages of the parent. A run of several shards has a thread for each.
import { Simulation, simOptions } from '../../../packages/core/dist/sim/index.js';
import { simulateDivided } from './divided.mjs';
import { failing } from './failing.mjs';

process.once('message', async (given) => {
  const outcome = await simulate(given);
  process.send(outcome, () => process.disconnect());
});

async function simulate(given) {
  const startedAt = process.hrtime.bigint();
  const outcome =
    given.shards > 1
      ? { options: simOptions(given), faults: [], ...(await simulateDivided(given)) }
      : simulateWhole(given);
  outcome.realSeconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const { user, system } = process.cpuUsage();
  outcome.cpuSeconds = (user + system) / 1e6;
  // The most that was resident at any time; the unit is KiB.
  outcome.rssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  outcome.node = process.version;
  return outcome;
}

function simulateWhole(given) {
  const simulation = new Simulation(given);
  return {
    options: simulation.options,
    faults: simulation.faults.map(({ atMs, untilMs, says }) => ({ atMs, untilMs, says })),
    ...failing('report', () => simulation.run()),
  };
}
