// `npm run bench -- engine|limit [--rounds N] [--only GROUP,GROUP] [--no-save] [--as-is]`: measures, prints a table, saves it under
// benchmarks/results. Exit code 1 when a bound is missed, 2 when something that is compared with is not installed. `--as-is` measures what is
// built, without building.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { ensureBuilt, run } from '../scripts/lib/ensure-built.mjs';
import { Payloads } from './engine/payloads.mjs';
import { bundlePeer } from './engine/peer-bundle.mjs';
import { LIMIT_GROUPS } from './engine/limits.mjs';
import { GROUPS as ENGINE_GROUPS } from './engine/rows.mjs';
import { forgetNodeVariables } from './lib/environment.mjs';
import { describeMachine, machineCpuSec } from './lib/machine.mjs';
import { missingPackages } from './lib/prerequisites.mjs';
import { saveResult } from './lib/results.mjs';
import { verdictOf, writeTable } from './lib/table.mjs';

const BENCHMARKS = { engine: ENGINE_GROUPS, limit: LIMIT_GROUPS };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
    'no-save': { type: 'boolean', default: false },
    'as-is': { type: 'boolean', default: false },
  },
});
const [benchmark = ''] = positionals;
const GROUPS = Object.hasOwn(BENCHMARKS, benchmark) ? BENCHMARKS[benchmark] : {};
const names = values.only?.split(',') ?? Object.keys(GROUPS);
const unknown = names.filter((name) => !Object.hasOwn(GROUPS, name));
if (positionals.length !== 1 || names.length === 0 || unknown.length > 0) {
  console.error('usage: npm run bench -- engine|limit [--rounds N] [--only GROUP,GROUP] [--no-save] [--as-is]');
  console.error(`groups: ${Object.values(BENCHMARKS).flatMap(Object.keys).join(', ')}`);
  process.exit(2);
}
const missing = missingPackages([...new Set(names.flatMap((name) => GROUPS[name].needs))]);
if (missing.length > 0) {
  console.error(
    `To compare with, these Debian packages are needed: apt-get install --no-install-recommends ${missing.join(' ')}`,
  );
  process.exit(2);
}
// Before anything is built: that is load too.
const [loadBefore = 0] = loadavg();
if (!values['as-is']) ensureBuilt();
// Before bundles are made: what they have compiled is good only for the options of Node that it was compiled with.
forgetNodeVariables();
// As the server is shipped.
if (!values['as-is']) run('npm', ['run', '--silent', 'bundle']);
// Not a build of the product: peers out of single modules would be measured for something else.
bundlePeer();

const startedAt = new Date();
const begun = { at: performance.now(), machine: machineCpuSec() };
const payloads = new Payloads();
const lines = [];
try {
  for (const name of names) {
    const note = (text) => console.error(`… ${text}`);
    lines.push(...(await GROUPS[name].measure({ payloads, rounds: Number(values.rounds), note })));
  }
} finally {
  payloads.close();
}
const result = {
  benchmark,
  startedAt: startedAt.toISOString(),
  rounds: Number(values.rounds),
  storage: payloads.storage,
  machine: describeMachine(),
  /** How many cores were busy on average, with whatever ran. */
  busyCores: (machineCpuSec() - begun.machine) / ((performance.now() - begun.at) / 1000),
  /** Processes that ran or wanted to, before anything was measured. */
  loadBefore,
  lines,
};
const table = writeTable(result);
console.log(table);
if (!values['no-save']) saveResult(result.startedAt, benchmark, `${JSON.stringify(result, undefined, 2)}\n`, table);
process.exitCode = lines.some((line) => verdictOf(line) === 'MISSED') ? 1 : 0;
