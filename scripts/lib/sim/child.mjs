// One simulation in a process of its own, so that memory and speed are those of the run. Options come in, and the result
// goes out, as messages of the parent.
import { CheckFailed, Simulation } from '../../../packages/core/dist/sim/index.js';

process.once('message', (given) => {
  process.send(simulate(given), () => process.disconnect());
});

function simulate(given) {
  const simulation = new Simulation(given);
  const startedAt = process.hrtime.bigint();
  const outcome = {
    options: simulation.options,
    faults: simulation.faults.map(({ atMs, untilMs, says }) => ({ atMs, untilMs, says })),
  };
  try {
    outcome.report = simulation.run();
  } catch (error) {
    if (!(error instanceof CheckFailed)) throw error;
    outcome.failure = error.message;
  }
  outcome.realSeconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const { user, system } = process.cpuUsage();
  outcome.cpuSeconds = (user + system) / 1e6;
  // The most that was resident at any time; the unit is KiB.
  outcome.rssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  outcome.node = process.version;
  return outcome;
}
