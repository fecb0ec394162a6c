/**
 * The simulator on the command line: one run, a scenario, or a sweep over fault seeds.
 *
 *   npm run sim -- --agents 50 --origins 3 --size 67108864 --seed 1
 *   npm run sim -- --scenario uber-260 --policy kraken
 *   npm run sim -- --sweep 200
 *
 * The options that a run prints are everything that it depends on: `--options '<json>'` repeats it.
 */
import { parseArgs } from 'node:util';
import {
  CHECKERS,
  CheckFailed,
  drawOptions,
  LINK_MODELS,
  POLICIES,
  reportLine,
  SCENARIOS,
  simOptions,
  Simulation,
} from '../packages/core/dist/sim/index.js';

/** Flags that set one number. */
const NUMBERS = {
  agents: ['agents'],
  origins: ['origins'],
  trackers: ['trackers'],
  replicas: ['replicas'],
  blobs: ['blobs'],
  size: ['blobBytes'],
  piece: ['pieceBytes'],
  seed: ['seed'],
  rate: ['agentUpBytesPerSecond', 'agentDownBytesPerSecond', 'originUpBytesPerSecond', 'originDownBytesPerSecond'],
  'origin-rate': ['originUpBytesPerSecond', 'originDownBytesPerSecond'],
  latency: ['latencyMs'],
  within: ['startWithinMs'],
};

const { values } = parseArgs({
  options: {
    ...Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, { type: 'string' }])),
    link: { type: 'string' },
    streaming: { type: 'boolean' },
    checkers: { type: 'string' },
    policy: { type: 'string', default: 'default' },
    scenario: { type: 'string' },
    options: { type: 'string' },
    sweep: { type: 'string' },
    'agents-max': { type: 'string', default: '200' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(`npm run sim -- [options]
  --agents N --origins O --trackers T --replicas R   nodes
  --blobs B --size BYTES --piece BYTES               what every agent pulls
  --rate BYTES/S --origin-rate BYTES/S --latency MS  network cards and wire (one way)
  --link ${Object.keys(LINK_MODELS).join(' | ')}
  --within MS                                        agents start in this time
  --streaming                                        in-order readers
  --policy ${Object.keys(POLICIES).join(' | ')}
  --checkers all | none | NAME,NAME                  ${Object.keys(CHECKERS).join(', ')}
  --seed S
  --scenario NAME                                    ${Object.keys(SCENARIOS).join(', ')}; the flags above override
  --options JSON                                     the printed options of an earlier run
  --sweep N [--seed FIRST] [--agents-max N]          N drawn runs with faults; fails when one does
  --json                                             reports with raw samples`);
  process.exit(0);
}

process.exitCode = (values.sweep === undefined ? report() : sweep()) ? 0 : 1;

/** Run what the flags say. */
function report() {
  const given = flags();
  let runs = [{ checkers: Object.keys(CHECKERS) }];
  if (values.scenario !== undefined) {
    const scenario = oneOf('scenario', SCENARIOS, values.scenario);
    console.log(`# ${values.scenario}: ${scenario.says}`);
    ({ runs } = scenario);
  }
  if (values.options !== undefined) runs = [JSON.parse(values.options)];
  // All runs, also after one that failed: a report is a comparison.
  return runs.map((run) => once({ ...run, ...given })).every(Boolean);
}

/** Drawn options, one seed after the other. */
function sweep() {
  const first = Number(values.seed ?? 1);
  const total = number('sweep', values.sweep);
  const startedAt = process.hrtime.bigint();
  let failed = 0;
  let steps = 0;
  for (let seed = first; seed < first + total; seed++) {
    const options = drawOptions(seed, number('agents-max', values['agents-max']));
    const says = failureOf(options, (done) => (steps += done.steps));
    if (says === undefined) continue;
    failed++;
    console.log(`seed ${seed}: ${says}\n  repeat: npm run sim -- --options '${JSON.stringify(options)}'`);
  }
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  console.log(`${total} seeds from ${first}: ${failed} failed; ${steps} steps in ${seconds.toFixed(1)} s`);
  return failed === 0;
}

function failureOf(options, done) {
  try {
    const result = new Simulation(options).run();
    done(result);
    return result.unfinished === 0 ? undefined : `${result.unfinished} pulls did not finish after healing`;
  } catch (error) {
    if (error instanceof CheckFailed) return error.message;
    throw error;
  }
}

function once(given) {
  const simulation = new Simulation(given);
  console.log(JSON.stringify(simulation.options));
  for (const fault of simulation.faults)
    console.log(`# ${fault.atMs.toFixed(0)}–${fault.untilMs.toFixed(0)} ms: ${fault.says}`);
  const startedAt = process.hrtime.bigint();
  const result = simulation.run();
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  console.log(values.json ? JSON.stringify(result) : reportLine(result));
  const rss = Math.round(process.memoryUsage.rss() / 2 ** 20);
  console.log(
    `real=${seconds.toFixed(2)}s steps/s=${Math.round(result.steps / seconds)} rss=${rss}MiB node=${process.version}`,
  );
  return result.unfinished === 0;
}

/** The options that flags set. */
function flags() {
  const given = {};
  for (const [flag, keys] of Object.entries(NUMBERS)) {
    if (values[flag] === undefined) continue;
    for (const key of keys) given[key] = number(flag, values[flag]);
  }
  if (values.link !== undefined) given.link = values.link;
  if (values.streaming !== undefined) given.streaming = values.streaming;
  if (values.policy !== 'default') given.agentSwarm = oneOf('policy', POLICIES, values.policy);
  if (values.checkers === 'all') given.checkers = Object.keys(CHECKERS);
  else if (values.checkers === 'none') given.checkers = [];
  else if (values.checkers !== undefined) given.checkers = values.checkers.split(',');
  simOptions(given);
  return given;
}

function number(flag, text) {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new RangeError(`--${flag} expected a number, got ${text}`);
  return value;
}

function oneOf(flag, table, name) {
  if (!Object.hasOwn(table, name))
    throw new RangeError(`--${flag} expected one of ${Object.keys(table).join(', ')}, got ${name}`);
  return table[name];
}
