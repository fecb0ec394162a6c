import test from 'ava';
import {
  CHECKERS,
  CheckFailed,
  drawOptions,
  FAULTS,
  Simulation,
  type MachineFactory,
  type SimOptions,
  type SimReport,
} from '@kraken/core/sim';
import { SwarmMachine, type SwarmConfig, type SwarmEffect, type SwarmEvent } from '@kraken/core/swarm';

const KiB = 1024;
const ALL_CHECKERS = Object.keys(CHECKERS);

/** A small, quick run that exercises everything. */
const SMALL: Partial<SimOptions> = {
  agents: 8,
  origins: 2,
  blobBytes: 20 * 64 * KiB,
  pieceBytes: 64 * KiB,
  checkers: ALL_CHECKERS,
};

/** The shipping machine, broken on purpose: `change` may replace the effects of any step, `hears` may hide events. */
function broken(
  change: (event: SwarmEvent, effects: SwarmEffect[]) => SwarmEffect[],
  config: Partial<SwarmConfig> = {},
  hears: (event: SwarmEvent) => boolean = () => true,
): MachineFactory {
  return (given, random) => {
    const machine = new SwarmMachine({ ...given, ...config }, random);
    return {
      step: (now, event) => (hears(event) ? change(event, machine.step(now, event)) : []),
      nextWakeup: () => machine.nextWakeup(),
      inspect: () => machine.inspect(),
    };
  };
}

const unchanged = (_: SwarmEvent, effects: SwarmEffect[]): SwarmEffect[] => effects;

/** One mutation a checker; each must be caught by it. */
const MUTATIONS: Readonly<Record<string, MachineFactory>> = {
  capacity: broken(unchanged, { dialsPerTorrentMax: 9 }),
  'committed-whole': broken((event, effects) =>
    event.type === 'blob-opened' && !event.committed
      ? [...effects, { type: 'commit-blob', digest: event.digest }]
      : effects,
  ),
  'effects-completed-once': broken((_, effects) =>
    effects.flatMap((effect): SwarmEffect[] =>
      effect.type === 'close' ? [effect, { type: 'send', conn: effect.conn, message: { type: 'complete' } }] : [effect],
    ),
  ),
  'pulls-answered-once': broken((_, effects) =>
    effects.flatMap((effect): SwarmEffect[] => (effect.type === 'pull-finished' ? [effect, effect] : [effect])),
  ),
  'requests-in-bitfield': broken((_, effects) =>
    effects.map((effect) =>
      effect.type === 'send' && effect.message.type === 'piece-request'
        ? { ...effect, message: { ...effect.message, piece: effect.message.piece ^ 1 } }
        : effect,
    ),
  ),
  rarity: broken(
    unchanged,
    {},
    (event) =>
      event.type !== 'message-received' || event.message.type !== 'announce-piece' || event.message.piece % 2 === 0,
  ),
  'time-moves-on': (config, random) => {
    const machine = new SwarmMachine(config, random);
    return { step: (now, event) => machine.step(now, event), nextWakeup: () => 50, inspect: () => machine.inspect() };
  },
};

test('each checker has a mutation', (t) => {
  t.deepEqual(Object.keys(MUTATIONS).sort(), ALL_CHECKERS.sort());
});

for (const [checker, createMachine] of Object.entries(MUTATIONS)) {
  test(`checker ${checker} sees the machine broken on purpose`, (t) => {
    const simulation = new Simulation(
      { ...SMALL, agents: 30, checkers: [checker], checkIntervalMs: 10 },
      createMachine,
    );
    const error = t.throws(() => simulation.run(), { instanceOf: CheckFailed });
    t.is(error.checker, checker);
  });
}

function survive(options: Partial<SimOptions>): SimReport {
  const report = new Simulation(options).run();
  if (report.unfinished > 0)
    throw new Error(`seed ${options.seed}: ${report.unfinished} pulls did not finish after healing`);
  return report;
}

for (const kind of Object.keys(FAULTS)) {
  test(`all pulls finish after faults of kind ${kind}`, (t) => {
    for (let seed = 1; seed <= 5; seed++) {
      const report = survive({
        ...SMALL,
        seed,
        faults: 5,
        faultKinds: [kind],
        faultMs: 500,
        retryMs: 1000,
        horizonMs: 3_600_000,
        agentUpBytesPerSecond: 5e6,
      });
      t.is(report.completionMs.length, 8);
    }
  });
}

test('drawn runs are safe under faults and finish after healing', (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const options = drawOptions(seed, 20);
    t.is(survive(options).completionMs.length, options.agents);
  }
});

// The agents hold a few pieces between them and have filled all their slots with each other: one must make room for the origin.
test('a swarm finds its only origin again that was away for a while', (t) => {
  const report = survive({
    agents: 13,
    origins: 1,
    blobBytes: 28 * 64 * KiB,
    pieceBytes: 64 * KiB,
    startWithinMs: 5,
    originUpBytesPerSecond: 500e3,
    agentUpBytesPerSecond: 2e6,
    agentDownBytesPerSecond: 2e6,
    faults: 2,
    faultKinds: ['origin-loss'],
    faultMs: 3000,
    retryMs: 1000,
    horizonMs: 600_000,
    checkers: ALL_CHECKERS,
  });
  t.is(report.completionMs.length, 13);
});

test('a run with faults repeats exactly', (t) => {
  const options = drawOptions(7, 20);
  const hash = new Simulation(options).run().traceHash;
  t.is(new Simulation(options).run().traceHash, hash);
});
