// The flags of `npm run sim`, and the simulation options that they stand for.
import { parseArgs } from 'node:util';
import { CHECKERS, LINK_MODELS, POLICIES, SCENARIOS, simOptions } from '../../../packages/core/dist/sim/index.js';

/** Flags that set one number. */
const NUMBERS = {
  agents: ['agents'],
  origins: ['origins'],
  trackers: ['trackers'],
  replicas: ['replicas'],
  blobs: ['blobs'],
  size: ['blobBytes'],
  'size-max': ['blobBytesMax'],
  'blobs-per-agent': ['blobsPerAgent'],
  piece: ['pieceBytes'],
  seed: ['seed'],
  rate: ['agentUpBytesPerSecond', 'agentDownBytesPerSecond', 'originUpBytesPerSecond', 'originDownBytesPerSecond'],
  'origin-rate': ['originUpBytesPerSecond', 'originDownBytesPerSecond'],
  latency: ['latencyMs'],
  within: ['startWithinMs'],
  shards: ['shards'],
};

/** Flags after which a scenario is still the one that its bounds are for. */
const HARMLESS = new Set(['seed', 'checkers', 'shards']);

export const HELP = `npm run sim -- [options]

One run:
  --agents N --origins O --trackers T --replicas R   nodes
  --blobs B --size BYTES --piece BYTES               what every agent pulls
  --size-max BYTES --blobs-per-agent N               sizes drawn from --size up; blobs drawn for each agent
  --rate BYTES/S --origin-rate BYTES/S --latency MS  network cards and wire (one way)
  --within MS                                        agents start in this time
  --options JSON                                     the printed options of an earlier run

Named runs:
  --scenario NAME,NAME                               ${Object.keys(SCENARIOS).join(', ')}
  --save                                             write docs/simulations/NAME.json and the plots
  --jobs N                                           runs at once (1)

Either:
  --shards N                                         threads that share the hosts of a run (1); in a scenario, of each run that can be divided
  --seed S
  --link ${Object.keys(LINK_MODELS).join(' | ')}
  --streaming | --plain                              in-order readers, or none
  --policy ${Object.keys(POLICIES).join(' | ')}
  --checkers all | none | NAME,NAME                  ${Object.keys(CHECKERS).join(', ')}
  --json                                             reports with raw samples

Faults:
  --sweep N [--seed FIRST] [--agents-max N]          N drawn runs with faults; fails when one does

The exit code is 1 when a pull did not finish, a checker objected, or a bound of a scenario was not kept.`;

/** @returns what the command line says; `changed`: flags change what a scenario is */
export function parseFlags(args) {
  const { values } = parseArgs({
    args,
    options: {
      ...Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, { type: 'string' }])),
      link: { type: 'string' },
      streaming: { type: 'boolean' },
      plain: { type: 'boolean' },
      checkers: { type: 'string' },
      policy: { type: 'string' },
      scenario: { type: 'string' },
      options: { type: 'string' },
      sweep: { type: 'string' },
      'agents-max': { type: 'string', default: '200' },
      jobs: { type: 'string', default: '1' },
      save: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const given = {};
  for (const [flag, keys] of Object.entries(NUMBERS)) {
    if (values[flag] === undefined) continue;
    for (const key of keys) given[key] = number(flag, values[flag]);
  }
  if (values.link !== undefined) given.link = oneOf('link', LINK_MODELS, values.link) && values.link;
  if (values.streaming === true && values.plain === true) throw new RangeError('expected --streaming or --plain, got both');
  if (values.streaming === true) given.streaming = true;
  if (values.plain === true) given.streaming = false;
  if (values.checkers === 'all') given.checkers = Object.keys(CHECKERS);
  else if (values.checkers === 'none') given.checkers = [];
  else if (values.checkers !== undefined) given.checkers = values.checkers.split(',');
  // Of a scenario, runs that cannot be divided are not.
  simOptions(values.scenario === undefined ? { checkers: [], ...given } : { ...given, shards: 1 });
  if (values.sweep !== undefined && given.shards > 1) throw new RangeError('--sweep expected no --shards: it uses faults');
  if (values.policy !== undefined) oneOf('policy', POLICIES, values.policy);
  const changed = Object.keys(given).some((key) => !HARMLESS.has(key));
  // What is committed under the name of a scenario must be that scenario.
  if (values.save && (values.scenario === undefined || changed || values.policy !== undefined || given.shards !== undefined))
    throw new RangeError('--save expected a scenario without flags that change it');
  return {
    given,
    changed,
    policy: values.policy,
    scenarios: values.scenario?.split(',').map((name) => ({ name, ...oneOf('scenario', SCENARIOS, name) })),
    options: values.options === undefined ? undefined : JSON.parse(values.options),
    sweep: values.sweep === undefined ? undefined : number('sweep', values.sweep),
    agentsMax: number('agents-max', values['agents-max']),
    jobs: number('jobs', values.jobs),
    save: values.save,
    json: values.json,
    help: values.help,
  };
}

function number(flag, text) {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new RangeError(`--${flag} expected a number, got ${text}`);
  return value;
}

function oneOf(flag, table, name) {
  if (!Object.hasOwn(table, name))
    throw new RangeError(`--${flag} expected one of ${Object.keys(table).join(', ')}, got ${name}`);
  return table[name];
}
