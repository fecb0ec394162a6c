/** Recording and replay: simulated lives replay to the last step, and any change is found at its step. */
import fc from 'fast-check';
import test from 'ava';
import { Bitfield } from '@kraken/core/content';
import { isKrakenError } from '@kraken/core/errors';
import {
  MachineLoop,
  Recorder,
  Replay,
  valueFromJson,
  valueToJson,
  type Machine,
  type StepDifference,
} from '@kraken/core/machine';
import { Random } from '@kraken/core/random';
import { drawOptions, Simulation } from '@kraken/core/sim';
import { recordSwarm, replaySwarm, SwarmMachine, type SwarmEffect, type SwarmEvent } from '@kraken/core/swarm';

type Difference = StepDifference<SwarmEvent, SwarmEffect>;

/** All lines of a recording; the difference, or how it ended. */
function replayed(lines: readonly string[]): {
  difference: Difference | undefined;
  steps: number;
  end: string | undefined;
} {
  const replay = replaySwarm(lines[0] ?? '');
  let difference: Difference | undefined;
  for (const line of lines.slice(1)) {
    difference = replay.take(line);
    if (difference !== undefined) break;
  }
  return { difference, steps: replay.steps, end: replay.end };
}

/** The recordings of all machines of one simulated run, crashes of hosts and lies of peers included. */
function recordedRun(seed: number): string[][] {
  const lives: string[][] = [];
  const simulation = new Simulation({ ...drawOptions(seed, 12), checkers: [] }, (config) => {
    const lines: string[] = [];
    lives.push(lines);
    const own = lives.length;
    const machine = new SwarmMachine(config, new Random(own));
    const recorder = recordSwarm(config, own, (line) => {
      lines.push(line);
      return true;
    });
    return {
      step(now, event) {
        recorder.stepping(now, event);
        const effects = machine.step(now, event);
        recorder.stepped(effects);
        return effects;
      },
      nextWakeup: () => machine.nextWakeup(),
      inspect: () => machine.inspect(),
    };
  });
  simulation.run();
  return lives;
}

test('every machine of simulated runs with faults replays without difference', (t) => {
  for (const seed of [1, 2, 3]) {
    let steps = 0;
    for (const lines of recordedRun(seed)) {
      const { difference, steps: taken } = replayed(lines);
      t.is(difference, undefined);
      t.is(taken, lines.length - 1);
      steps += taken;
    }
    t.true(steps > 100, `seed ${seed} made ${steps} steps`);
  }
});

test('an altered recording is found at the altered step, with event, expected and got', (t) => {
  // An agent with blobs of several pieces: origins choose nothing.
  const agents = recordedRun(2).filter(([head = '']) => head.includes('"agent"'));
  const [lines = []] = agents.sort((a, b) => b.length - a.length);
  const at = lines.findIndex((line) => line.includes('"type":"piece-stored"') && line.includes('"ok"'));
  t.true(at > 1);
  const altered = lines.with(at, (lines[at] ?? '').replace('"ok"', '"bad-sum"'));
  const { difference } = replayed(altered);
  t.is(difference?.step, at);
  t.like(difference?.event, { type: 'piece-stored', verdict: 'bad-sum' });
  const { expected, got } = difference as Difference;
  t.true('kinds' in expected && expected.kinds.includes('observe'));
  t.true(
    'effects' in got &&
      got.effects.some((effect) => effect.type === 'observe' && effect.observation.kind === 'piece-rejected'),
  );

  const otherSeed = lines.with(0, (lines[0] ?? '').replace(/"seed":\d+/, '"seed":4711'));
  const firstStep = replayed(otherSeed).difference?.step ?? -1;
  t.true(firstStep > 0, 'other random choices show');
});

/** Counts down, and breaks at zero. */
class Fuse implements Machine<{ type: 'tick' }, { type: 'left'; n: number }> {
  constructor(private n: number) {}
  step(): { type: 'left'; n: number }[] {
    if (this.n === 0) throw new RangeError('broken at zero');
    return [{ type: 'left', n: --this.n }];
  }
  nextWakeup(): undefined {
    return undefined;
  }
}

test('a crash is in the recording with the event that caused it, and replays as that crash', (t) => {
  const lines: string[] = [];
  const recorder = new Recorder<{ type: 'tick' }, { type: 'left'; n: number }>(
    { machine: 'fuse', config: {}, seed: 0 },
    (line) => lines.push(line) > 0,
  );
  let at = 0;
  const host = { now: () => ++at, wakeAt: () => undefined, perform: () => undefined };
  const loop = new MachineLoop(new Fuse(2), host, undefined, recorder);
  loop.post({ type: 'tick' });
  loop.post({ type: 'tick' });
  t.throws(() => loop.post({ type: 'tick' }), { instanceOf: RangeError });
  t.deepEqual(lines.slice(1), [
    lines[1] ?? '',
    lines[2] ?? '',
    '{"step":3,"now":3,"event":{"type":"tick"},"crash":"RangeError: broken at zero"}',
    '{"end":"crash"}',
  ]);
  const run = (fuse: Fuse): unknown => {
    const replay = new Replay(fuse);
    for (const line of lines.slice(1)) {
      const difference = replay.take(line);
      if (difference !== undefined) return difference;
    }
    return replay.end;
  };
  t.is(run(new Fuse(2)), 'crash');
  t.like(run(new Fuse(3)), { step: 1 });
  t.like(run(new Fuse(1)), { step: 1 });
  t.like(run(new Fuse(0)), { step: 1, got: { crash: 'RangeError: broken at zero' } });
});

test('a sink that is full gets no more lines', (t) => {
  let room = 3;
  const recorder = new Recorder<{ type: 'tick' }, { type: 'left' }>(
    { machine: 'x', config: {}, seed: 0 },
    () => --room > 0,
  );
  for (let i = 0; i < 5; i++) {
    recorder.stepping(i, { type: 'tick' });
    recorder.stepped([]);
  }
  recorder.end('stopped');
  t.is(room, 0);
});

test('values come back as they were; the same value has the same text', (t) => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      fc.string(),
      fc.double({ noNaN: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
      fc.boolean(),
      fc.constant(null),
      fc.constant(-Infinity),
      fc.uint32Array(),
      fc.array(fc.nat(99)).map((set) => Bitfield.of(100, set)),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(
        fc.string().filter((name) => !name.startsWith('$') && name !== '__proto__'),
        tie('any'),
        { maxKeys: 3 },
      ),
    ),
  })).any;
  fc.assert(
    fc.property(value, (given) => {
      const text = valueToJson(given);
      t.is(valueToJson(valueFromJson(text)), text);
      t.deepEqual(valueFromJson(text), given === null ? null : structuredCopy(given));
    }),
  );
  const bits = valueFromJson(valueToJson(Bitfield.of(70, [0, 69])));
  t.true(bits instanceof Bitfield && bits.count === 2 && bits.has(69));
});

/** Dictionaries of fast-check may have no prototype; JSON's always have one. */
function structuredCopy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(structuredCopy);
  if (typeof value !== 'object' || value === null || value instanceof Uint32Array || value instanceof Bitfield)
    return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, structuredCopy(item)]));
}

test('what is no recording is refused with a code', (t) => {
  const head = '{"recording":1,"machine":"swarm","config":{},"seed":1}';
  for (const line of [
    '',
    'x',
    '{}',
    '[]',
    'null',
    '{"recording":2}',
    '{"recording":1,"machine":"swarm"}',
    head.replace('swarm', 'tracker'),
  ]) {
    t.true(
      isKrakenError(
        t.throws(() => replaySwarm(line)),
        'recording-invalid',
      ),
      line,
    );
  }
  const replay = new Replay(new Fuse(9));
  for (const line of [
    '{"step":2,"now":1,"event":{}}',
    '{"step":1,"event":{}}',
    '{"step":1,"now":1,"ev',
    '7',
    '{"step":1,"now":1,"event":{"$bits":3,"$words":"zz"}}',
  ]) {
    t.true(
      isKrakenError(
        t.throws(() => replay.take(line)),
        'recording-invalid',
      ),
      line,
    );
  }
});
