import test from 'ava';
import type { Digest } from '@kraken/core/content';
import {
  CHECKERS,
  CheckFailed,
  failureOf,
  shrinkFailure,
  simOptions,
  Simulation,
  type Checker,
  type MachineFactory,
  type RunOnce,
  type SimOptions,
} from '@kraken/core/sim';
import { SwarmMachine, type SwarmConfig, type SwarmEffect, type SwarmEvent } from '@kraken/core/swarm';

const KiB = 1024;
const ALL_CHECKERS = Object.keys(CHECKERS);

/** A small, quick run that exercises everything. */
const SMALL: Partial<SimOptions> = {
  agents: 30,
  origins: 2,
  blobBytes: 20 * 64 * KiB,
  pieceBytes: 64 * KiB,
  checkIntervalMs: 10,
};

type Change = (event: SwarmEvent, effects: SwarmEffect[], now: number) => SwarmEffect[];

/** The shipping machine with other settings than the simulation knows of, or with other events or effects. */
function broken(how: {
  readonly config?: Partial<SwarmConfig>;
  /** Which events the machine is told; made anew for each machine. */
  readonly hears?: (event: SwarmEvent) => SwarmEvent | undefined;
  /** What becomes of its effects; made anew for each machine. */
  readonly change?: (config: SwarmConfig) => Change;
}): MachineFactory {
  return (given, random) => {
    const machine = new SwarmMachine({ ...given, ...how.config }, random);
    const change = how.change?.(given);
    return {
      step: (now, event) => {
        const heard = how.hears === undefined ? event : how.hears(event);
        const effects = heard === undefined ? [] : machine.step(now, heard);
        return change === undefined ? effects : change(event, effects, now);
      },
      nextWakeup: () => machine.nextWakeup(),
      inspect: () => machine.inspect(),
    };
  };
}

/** Replace single effects. */
const each =
  (replace: (effect: SwarmEffect) => readonly SwarmEffect[]): (() => Change) =>
  () =>
  (_event, effects) =>
    effects.flatMap(replace);

interface Mutation {
  readonly checker: string;
  /** What the broken machine does. */
  readonly says: string;
  readonly machine: MachineFactory;
  readonly options?: Partial<SimOptions>;
  /** Words of the objection. */
  readonly objection: RegExp;
}

/** At least one mutation a checker. Each must be seen by its checker, and by no other. */
const MUTATIONS: readonly Mutation[] = [
  {
    checker: 'banned-dials',
    says: 'dials a peer again that has just failed',
    machine: broken({ config: { blacklistDisabled: true } }),
    options: { faults: 20, faultKinds: ['crash'], faultMs: 20_000, retryMs: 1000, agentUpBytesPerSecond: 100e3 },
    objection: /dials peer \w+, which is left alone/,
  },
  {
    checker: 'banned-dials',
    says: 'overlooks bad pieces',
    machine: broken({
      hears: (event) =>
        event.type === 'piece-stored' && event.verdict === 'bad-sum' ? { ...event, verdict: 'aborted' } : event,
    }),
    options: { faults: 10, faultKinds: ['corrupt'], faultMs: 1000, retryMs: 1000, agentUpBytesPerSecond: 2e6 },
    objection: /keeps connection \d+, which sent a bad piece/,
  },
  {
    checker: 'capacity',
    says: 'dials more than its share of the slots',
    machine: broken({ config: { dialsPerTorrentMax: 9, firstDialsMax: 9 } }),
    objection: /own dials of one torrent/,
  },
  {
    checker: 'capacity',
    says: 'goes on counting a connection that has ended',
    machine: (config, random) => {
      const machine = new SwarmMachine(config, random);
      let ended = 0;
      return {
        step: (now, event) => {
          if (event.type === 'connection-closed') ended = 1;
          return machine.step(now, event);
        },
        nextWakeup: () => machine.nextWakeup(),
        inspect: () => {
          const view = machine.inspect();
          return { ...view, connections: view.connections + ended };
        },
      };
    },
    objection: /the machine counts \d+ connections, there are \d+ sockets/,
  },
  {
    checker: 'committed-whole',
    says: 'commits before the pieces are there',
    machine: broken({
      change: () => (event, effects) =>
        event.type === 'blob-opened' && !event.committed
          ? [...effects, { type: 'commit-blob', digest: event.digest }]
          : effects,
    }),
    options: { agents: 1 },
    objection: /commit of a blob that lacks pieces/,
  },
  {
    checker: 'committed-whole',
    says: 'deletes what it has committed',
    machine: broken({
      change: () => (event, effects) =>
        event.type === 'blob-committed' ? [...effects, { type: 'delete-blob', digest: event.digest }] : effects,
    }),
    options: { agents: 1 },
    objection: /deletes a committed blob/,
  },
  {
    checker: 'effects-completed-once',
    says: 'sends over connections that it has closed',
    machine: broken({
      change: each((effect) =>
        effect.type === 'close'
          ? [effect, { type: 'send', conn: effect.conn, message: { type: 'complete' } }]
          : [effect],
      ),
    }),
    objection: /send on connection \d+ after its close/,
  },
  {
    checker: 'effects-completed-once',
    says: 'goes on after its shutdown',
    machine: broken({
      change: () => {
        let opened: Digest | undefined;
        return (event, effects) => {
          if (event.type === 'blob-opened') opened = event.digest;
          return event.type === 'shutdown-requested' && opened !== undefined
            ? [...effects, { type: 'fetch-metainfo', namespace: '', digest: opened }]
            : effects;
        };
      },
    }),
    objection: /fetch-metainfo after shutdown/,
  },
  {
    checker: 'no-duplicates',
    says: 'takes the whole blob for the end game',
    machine: broken({ config: { endgameThreshold: 1000 } }),
    objection: /asked 2 peers for piece \d+, 1 may be asked/,
  },
  {
    checker: 'no-idling',
    says: 'uses half of its pipeline',
    machine: broken({ config: { pipelineLimit: 2 } }),
    options: { agentSwarm: { pipelineLimit: 4 } },
    objection: /has the open piece \d+ and is asked for [12] pieces/,
  },
  {
    checker: 'no-idling',
    says: 'spares origins for too long',
    machine: broken({ config: { originIdleMs: 1e6 } }),
    options: { agents: 3, agentUpBytesPerSecond: 20e3, agentSwarm: { originIdleMs: 200 } },
    objection: /origin \d+ idles/,
  },
  {
    checker: 'pulls-answered-once',
    says: 'answers twice',
    machine: broken({ change: each((effect) => (effect.type === 'pull-finished' ? [effect, effect] : [effect])) }),
    objection: /pull-finished for pull \d+, which is not open/,
  },
  {
    checker: 'queue-limits',
    says: 'asks for more ahead than it may',
    machine: broken({ config: { pipelineLimit: 9 } }),
    options: { agentSwarm: { pipelineLimit: 2 } },
    objection: /3 requests at connection/,
  },
  {
    checker: 'queue-limits',
    says: 'takes in more pulls than it may',
    machine: broken({ config: { pullsMax: 1000 } }),
    options: { blobs: 3, retryMs: 1000, agentSwarm: { pullsMax: 1 } },
    objection: /2 waiting pulls, limit 1/,
  },
  {
    checker: 'queue-limits',
    says: 'keeps more torrents in memory than it may',
    machine: broken({ config: { torrentsMax: 1000 } }),
    options: { blobs: 2, retryMs: 1000, agentSwarm: { torrentsMax: 1 }, originSwarm: { torrentsMax: 1000 } },
    objection: /2 torrents in memory, limit 1/,
  },
  {
    checker: 'rarity',
    says: 'does not hear of every second piece',
    machine: broken({
      hears: (event) =>
        event.type === 'message-received' && event.message.type === 'announce-piece' && event.message.piece % 2 === 0
          ? undefined
          : event,
    }),
    objection: /believes false of piece \d+, was told true/,
  },
  {
    checker: 'requests-in-bitfield',
    says: 'asks the wrong peer',
    machine: broken({
      change: () => {
        let incoming: number | undefined;
        return (event, effects) => {
          if (event.type === 'handshake-received') incoming = event.conn;
          if (event.type === 'connection-closed' && event.conn === incoming) incoming = undefined;
          return effects.map((effect) =>
            effect.type === 'send' && effect.message.type === 'piece-request' && effect.conn === 2
              ? { ...effect, conn: incoming ?? effect.conn }
              : effect,
          );
        };
      },
    }),
    objection: /asked connection \d+ for piece \d+, which it has not announced/,
  },
  {
    checker: 'time-moves-on',
    says: 'wants to be woken at a time that has passed',
    machine: (config, random) => {
      const machine = new SwarmMachine(config, random);
      return { step: (now, event) => machine.step(now, event), nextWakeup: () => 50, inspect: () => machine.inspect() };
    },
    objection: /woken 1000 times at one instant/,
  },
];

function objectionOf(mutation: Mutation, checkers: readonly string[]): CheckFailed | undefined {
  try {
    new Simulation({ ...SMALL, ...mutation.options, checkers }, mutation.machine).run();
    return undefined;
  } catch (error) {
    if (error instanceof CheckFailed) return error;
    throw error;
  }
}

test('each checker has a mutation', (t) => {
  t.deepEqual([...new Set(MUTATIONS.map(({ checker }) => checker))], ALL_CHECKERS.sort());
});

for (const mutation of MUTATIONS) {
  const { checker, says, objection } = mutation;
  test(`checker ${checker} alone sees a machine that ${says}`, (t) => {
    const seen = objectionOf(mutation, ALL_CHECKERS);
    t.is(seen?.checker, checker);
    t.regex(seen?.says ?? '', objection);
    const others = ALL_CHECKERS.filter((name) => name !== checker);
    // Time that stands still is always seen: the run would not end.
    if (checker !== 'time-moves-on') t.is(objectionOf(mutation, others)?.message, undefined);
  });
}

test('no checker objects to the machine as it ships', (t) => {
  const options = { ...SMALL, checkers: ALL_CHECKERS };
  t.is(new Simulation(options).run().unfinished, 0);
  for (const { options: its } of MUTATIONS) t.is(new Simulation({ ...options, ...its }).run().unfinished, 0);
});

const mutationOf = (checker: string): Mutation => MUTATIONS.find((mutation) => mutation.checker === checker)!;
const runOf =
  ({ machine }: Mutation): RunOnce =>
  (options, watch) =>
    failureOf(options, watch, machine);

/** Much that has nothing to do with the failure. */
const NOISE: Partial<SimOptions> = {
  ...SMALL,
  origins: 4,
  trackers: 3,
  blobs: 2,
  streaming: true,
  latencyMs: 3,
  faults: 12,
  faultKinds: ['slow-link', 'tracker-amnesia', 'stall'],
  faultMs: 1000,
  retryMs: 1000,
  checkers: ALL_CHECKERS,
};

test('a failing run is made small, down to the step at which it fails', (t) => {
  const run = runOf(mutationOf('no-duplicates'));
  const { options, checker, step, atMs, says } = shrinkFailure(NOISE, run);
  t.is(checker, 'no-duplicates');
  t.regex(says, /asked 2 peers/);
  t.true(options.agents <= 4 && options.agents + options.origins >= 3, 'three hosts are needed for two peers');
  t.deepEqual([options.faults, options.blobs, options.trackers, options.streaming], [0, 1, 1, false]);
  const again = run(options)!;
  t.deepEqual([again.step, again.atMs], [step, atMs]);
  t.is(run(options, { stepsMax: step - 1 }), undefined, 'one step less does not fail');
});

test('what only looks see is found at its first step', (t) => {
  const run = runOf(mutationOf('rarity'));
  const options = { ...NOISE, checkIntervalMs: 1000, agentUpBytesPerSecond: 4e5 };
  const atLook = run(options)!;
  t.is(atLook.checker, 'rarity');
  t.is(atLook.atMs % 1000, 0, 'without shrinking it is seen at an interval');
  const { options: small, step, atMs } = shrinkFailure(options, run);
  const again = run(small)!;
  t.true(step < again.step && atMs < again.atMs);
  t.is(run(small, { lookFromStep: 0, stepsMax: step - 1 }), undefined, 'one step less does not fail');
  t.is(run(small, { lookFromStep: 0 })?.step, step);
});

test('the faults that a failure needs are kept', (t) => {
  const mutation = MUTATIONS.find(({ says }) => says === 'overlooks bad pieces')!;
  const run = runOf(mutation);
  const given = { ...SMALL, ...mutation.options, faults: 60, faultKinds: ['corrupt', 'stall'], checkers: ALL_CHECKERS };
  const { options, checker } = shrinkFailure(given, run);
  t.is(checker, 'banned-dials');
  const kept = options.faults - options.faultsLeftOut.length;
  t.true(kept >= 1 && kept < 60, `${kept} faults`);
  t.is(new Simulation(options).faults.length, kept);
});

test('pulls that never finish are made small too, and bounded in work', (t) => {
  const machine = broken({
    hears: (event) =>
      event.type === 'message-received' && event.message.type === 'piece-request' && event.message.piece === 3
        ? undefined
        : event,
  });
  let runs = 0;
  const { options, checker, says, atMs } = shrinkFailure(
    { ...NOISE, agents: 6, faults: 3, horizonMs: 30_000 },
    (options, watch) => {
      runs++;
      return failureOf(options, watch, machine);
    },
  );
  t.is(checker, 'unfinished');
  t.regex(says, /pulls did not finish in 30000 ms/);
  t.deepEqual([options.agents, options.faults], [1, 0]);
  t.true(atMs < 30_000);
  t.true(runs <= 102);
});

test('an exception is a failure, and a run that holds cannot be shrunk', (t) => {
  const failure = failureOf(SMALL, {}, () => ({
    step: () => {
      throw new TypeError('broken on purpose');
    },
    nextWakeup: () => undefined,
    inspect: () => ({ torrents: [], connections: 0, pulls: [], fetches: 0 }),
  }));
  t.is(failure?.checker, 'exception');
  t.regex(failure?.says ?? '', /broken on purpose/);
  t.throws(() => shrinkFailure({ ...SMALL, agents: 2 }), { instanceOf: RangeError, message: /holds/ });
});

/** All types, each once: a new one that is missing here does not compile. */
const EVENTS: Readonly<Record<SwarmEvent['type'], true>> = {
  'pull-requested': true,
  'pull-cancelled': true,
  'reader-moved': true,
  'seed-requested': true,
  'remove-requested': true,
  'blob-evicted': true,
  reconfigured: true,
  'shutdown-requested': true,
  woke: true,
  'metainfo-fetched': true,
  'metainfo-fetch-failed': true,
  'blob-opened': true,
  'blob-open-failed': true,
  'layer-fetched': true,
  'layer-fetch-failed': true,
  'announce-answered': true,
  'announce-failed': true,
  'dial-succeeded': true,
  'dial-failed': true,
  'piece-stored': true,
  'piece-sent': true,
  'piece-send-failed': true,
  'blob-committed': true,
  'blob-commit-failed': true,
  'blob-deleted': true,
  'blob-delete-failed': true,
  'handshake-received': true,
  'message-received': true,
  'payload-started': true,
  'connection-closed': true,
};
const EFFECTS: Readonly<Record<SwarmEffect['type'], true>> = {
  'pull-opened': true,
  'pull-finished': true,
  'removal-finished': true,
  'fetch-metainfo': true,
  'open-blob': true,
  'fetch-layer': true,
  announce: true,
  dial: true,
  accept: true,
  close: true,
  send: true,
  broadcast: true,
  'send-piece': true,
  'receive-piece': true,
  'discard-payload': true,
  'commit-blob': true,
  'close-blob': true,
  'delete-blob': true,
  observe: true,
};

/** Something of which nobody may read more than the type. */
function closed<T extends object>(type: string): T {
  return new Proxy<T>({ type } as unknown as T, {
    get: (_target, key) => {
      if (key !== 'type') throw new Error(`${String(key)} of ${type} was read`);
      return type;
    },
  });
}

type SteppedHost = Parameters<NonNullable<Checker['step']>>[0];

for (const [name, create] of Object.entries(CHECKERS)) {
  const violated = (says: string): never => {
    throw new Error(says);
  };
  const options = simOptions({});
  const { concerns } = create(violated, options);
  if (concerns === undefined) continue;
  test(`checker ${name} reads nothing of events and effects that it says do not concern it`, (t) => {
    const checker = create(violated, options);
    const host = closed<SteppedHost>('host');
    const types = (all: object): string[] => Object.keys(all).filter((type) => !concerns.includes(type as 'woke'));
    for (const event of types(EVENTS))
      for (const effect of types(EFFECTS))
        t.notThrows(() => checker.step?.(host, 0, closed<SwarmEvent>(event), [closed<SwarmEffect>(effect)]));
    t.true(
      types(EVENTS).length + types(EFFECTS).length + concerns.length === Object.keys({ ...EVENTS, ...EFFECTS }).length,
    );
  });
}
