// One run of the scenario on the simulator, as the same kind of record as a real run.
import { Simulation } from '../../../packages/core/dist/sim/index.js';
import { SwarmMachine } from '../../../packages/core/dist/swarm/index.js';
import { quarterTimes } from './compare.mjs';

/** @param {import('../../../packages/core/dist/sim/index.js').SimOptions} options @param {number} seed */
export function runSim(options, seed) {
  const stored = [];
  let requests = 0;
  const watched = (config, random) => {
    const machine = new SwarmMachine(config, random);
    const times = [];
    stored.push(times);
    const step = machine.step.bind(machine);
    machine.step = (now, event) => {
      if (event.type === 'piece-stored' && event.verdict === 'ok') times.push(now);
      const effects = step(now, event);
      for (const effect of effects) if (effect.type === 'send' && effect.message.type === 'piece-request') requests++;
      return effects;
    };
    return machine;
  };
  const simulation = new Simulation({ ...options, seed }, watched);
  const report = simulation.run();
  const asked = new Map(simulation.wants.map((want) => [want.node, want.askedAt]));
  return {
    seed,
    completionMs: report.completionMs,
    firstByteMs: report.firstByteMs,
    quarterMs: stored.slice(0, options.agents).map((times, node) => quarterTimes(times).map((at) => at - asked.get(node))),
    messages: report.messages,
    requests,
    pieces: report.counts.pieces,
    bytesFromOrigins: report.bytesFromOrigins,
    duplicates: report.counts.duplicates,
    expired: report.counts.expired,
    dials: report.counts.dials,
    refusals: report.counts.refusals,
    unfinished: report.unfinished,
    traceHash: report.traceHash,
  };
}
