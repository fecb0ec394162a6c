// The simulator's command line, and what the documents show of its results.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import {
  CheckFailed,
  SCENARIOS,
  Simulation,
  type MachineFactory,
  type Scenario,
  type SimOptions,
} from '@kraken/core/sim';
import { SwarmMachine, type SwarmEffect, type SwarmEvent } from '@kraken/core/swarm';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const script = <T>(path: string): Promise<T> => import(new URL(path, `file://${root}`).href) as Promise<T>;

function node(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
}

const draw = (...args: string[]) => node('scripts/draw-simulations.mjs', ...args);

/** A run of a second at most. */
const SMALL = ['--agents', '5', '--origins', '2', '--size', '1048576', '--piece', '262144'];

test('the plots and the results page are what the committed results give', (t) => {
  const { status, stderr } = draw('--check');
  t.is(status, 0, stderr);
});

test('committed results are of scenarios, and small', (t) => {
  const directory = join(root, 'docs/simulations');
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.json'))) {
    t.true(statSync(join(directory, name)).size <= 200_000, name);
    const { scenario } = JSON.parse(readFileSync(join(directory, name), 'utf8')) as { scenario?: unknown };
    if (typeof scenario === 'string') t.true(`${scenario}.json` === name && Object.hasOwn(SCENARIOS, scenario), name);
  }
});

test('drawing again notices and repairs what was changed by hand', (t) => {
  const docs = mkdtempSync(join(tmpdir(), 'kraken-simulations-'));
  try {
    cpSync(join(root, 'docs/simulations'), join(docs, 'simulations'), { recursive: true });
    cpSync(join(root, 'docs/SIMULATOR.md'), join(docs, 'SIMULATOR.md'));
    const [plot = ''] = readdirSync(join(docs, 'simulations')).filter((name) => name.endsWith('.svg'));
    writeFileSync(join(docs, 'simulations', plot), '<svg/>');
    const page = readFileSync(join(docs, 'SIMULATOR.md'), 'utf8');
    writeFileSync(join(docs, 'SIMULATOR.md'), page.replace(/\d\.\d\d s \|/, '0.01 s |'));
    const stale = draw('--check', '--docs', docs);
    t.is(stale.status, 1);
    t.true(stale.stderr.includes(plot) && stale.stderr.includes('SIMULATOR.md'), stale.stderr);
    t.is(draw('--docs', docs).status, 0);
    t.is(readFileSync(join(docs, 'SIMULATOR.md'), 'utf8'), page);
    t.is(draw('--check', '--docs', docs).status, 0);
  } finally {
    rmSync(docs, { recursive: true, force: true });
  }
});

test('one run prints options that repeat it', (t) => {
  const first = node('scripts/sim.mjs', ...SMALL, '--seed', '3');
  t.is(first.status, 0, first.stderr);
  const [options = '', line = '', speed = ''] = first.stdout.split('\n');
  t.regex(speed, /^real=.*cpu=.*steps\/s=\d+ rss=\d+MiB node=v/);
  const again = node('scripts/sim.mjs', '--options', options);
  t.is(again.stdout.split('\n')[1], line);
});

test('a run that does not finish fails and says how to repeat it', (t) => {
  const options = { agents: 3, blobBytes: 1048576, pieceBytes: 262144, horizonMs: 2 };
  const { status, stdout } = node('scripts/sim.mjs', '--options', JSON.stringify(options));
  t.is(status, 1);
  t.regex(stdout, /FAILED 3 pulls did not finish\n {2}repeat: npm run sim -- --options '\{/);
});

test('a scenario that the flags change is not judged', (t) => {
  const { status, stdout } = node('scripts/sim.mjs', '--scenario', 'uber-260', ...SMALL, '--plain', '--jobs', '2');
  t.is(status, 0, stdout);
  t.regex(stdout, /not judged/);
  t.is(stdout.match(/policy=kraken .*readers=plain/g)?.length, 2);
  t.notRegex(stdout, /^(ok|FAILED)/m);
});

test('wrong flags are refused by name', (t) => {
  for (const [args, says] of [
    [['--scenario', 'nope'], /--scenario expected one of .*uber-260/],
    [['--agents', 'many'], /--agents expected a number, got many/],
    [['--streaming', '--plain'], /expected --streaming or --plain/],
    [['--scenario', 'uber-260', '--agents', '3', '--save'], /--save expected a scenario without flags/],
  ] as const) {
    const { status, stderr } = node('scripts/sim.mjs', ...args);
    t.is(status, 1);
    t.regex(stderr, says);
  }
});

test('a sweep runs drawn seeds', (t) => {
  const { status, stdout } = node('scripts/sim.mjs', '--sweep', '2', '--agents-max', '5', '--seed', '7');
  t.is(status, 0, stdout);
  t.regex(stdout, /^2 seeds from 7: 0 failed; \d+ steps in .* steps\/s, rss=\d+MiB/m);
});

test('a seed that fails is printed with the command that repeats it, and made small', async (t) => {
  const { sweep } = await script<{
    sweep: (
      first: number,
      total: number,
      agentsMax: number,
      options: { say: (line: string) => void; createMachine: MachineFactory },
    ) => boolean;
  }>('scripts/lib/sim/sweep.mjs');
  const lines: string[] = [];
  // Commits what it has as soon as it has a piece.
  const createMachine: MachineFactory = (config, random) => {
    const machine = new SwarmMachine(config, random);
    const step = (now: number, event: SwarmEvent): SwarmEffect[] => {
      const effects = machine.step(now, event);
      return event.type === 'piece-stored' ? [...effects, { type: 'commit-blob', digest: event.digest }] : effects;
    };
    return { step, nextWakeup: () => machine.nextWakeup(), inspect: () => machine.inspect() };
  };
  t.false(sweep(1, 1, 20, { say: (line) => void lines.push(line), createMachine }));
  const [failure = '', shrunk = '', end = ''] = lines;
  t.regex(failure, /^FAILED seed 1: \S+: .*\n {2}repeat: npm run sim -- --options '\{"seed":1,/);
  const [, small = ''] =
    /^ {2}shortest failing prefix: \d+ steps, .*\n {2}repeat: npm run sim -- --options '(.*)'$/.exec(shrunk) ?? [];
  t.regex(end, /^1 seeds from 1: 1 failed; 0 steps/);
  const [, large = ''] = /--options '(.*)'$/.exec(failure) ?? [];
  const agents = (options: string): number => (JSON.parse(options) as { agents: number }).agents;
  t.true(agents(small) <= agents(large));
  t.throws(() => new Simulation(JSON.parse(small) as Partial<SimOptions>, createMachine).run(), {
    instanceOf: CheckFailed,
  });
});

interface Outcome {
  readonly ok: boolean;
  readonly verdicts: readonly { readonly ok: boolean; readonly says: string }[];
}

test('a bound that is not kept fails its scenario; what stands beside is not judged', async (t) => {
  const { runScenario } = await script<{
    runScenario: (
      scenario: Scenario & { name: string },
      flags: object,
      say: (line: string) => void,
    ) => Promise<Outcome>;
  }>('scripts/lib/sim/scenario.mjs');
  const runs = [4, 8].map((agents) => ({ agents, blobBytes: 1048576, pieceBytes: 262144 }));
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  const flags = { given: {}, changed: false, jobs: 1 };
  const made = { name: 'made', says: 'for this test', runs, beside: ['kraken'] };
  const kept = await runScenario(
    {
      ...made,
      bounds: { 'token-bucket': { p99Seconds: 60 } },
      growth: { fromAgents: 4, toAgents: 8, p99RatioMax: 100 },
    },
    flags,
    say,
  );
  t.true(kept.ok);
  t.is(kept.verdicts.length, 3);
  const missed = await runScenario({ ...made, bounds: { 'token-bucket': { p99Seconds: 1e-6 } } }, flags, say);
  t.false(missed.ok);
  t.deepEqual(
    missed.verdicts.map(({ ok }) => ok),
    [false, false],
  );
  t.is(
    lines.filter((line) => /^(ok {4}|FAILED) (hosts done, p99|p99 of 8 hosts over p99 of 4): /.test(line)).length,
    5,
  );
});

test('what is saved has the largest sample and numbers that fit on a line', async (t) => {
  const { thin, stringify } = await script<{
    thin: (ascending: number[]) => number[];
    stringify: (value: unknown) => string;
  }>('scripts/lib/sim/save.mjs');
  const thinned = thin(Array.from({ length: 15_000 }, (_, i) => i));
  t.is(thinned.length, 200);
  t.is(thinned.at(-1), 14_999);
  const value = { list: [1, -2.5, 3e-7], none: [], names: ['a'], text: '[1,2] is text' };
  t.deepEqual(JSON.parse(stringify(value)), value);
  t.regex(stringify(value), /"list": \[1,-2\.5,3e-7\]/);
});
