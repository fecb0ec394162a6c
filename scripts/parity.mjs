/**
 * The simulator against real processes: scenario `parity` on both, medians side by side.
 *
 *   npm run parity
 *   npm run parity -- --agents 3 --size 16777216 --limit 4e6 --runs 1
 *   npm run parity -- --write      rewrites docs/simulations/parity.json and the measured part of parity.md
 *
 * Works on compiled packages: `npm run build` comes first. Exit code 1 when a pull failed or a digest is wrong; with `--judge` also when a judged row is not within 15 %.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { SCENARIOS, simOptions } from '../packages/core/dist/sim/index.js';
import { compare, table } from './lib/parity/compare.mjs';
import { PAYLOAD_PART } from './lib/parity/payload-part.mjs';
import { runReal } from './lib/parity/real-run.mjs';
import { writeReport } from './lib/parity/report.mjs';
import { runSim } from './lib/parity/sim-run.mjs';

const { values } = parseArgs({
  options: {
    agents: { type: 'string' },
    size: { type: 'string' },
    piece: { type: 'string' },
    limit: { type: 'string' },
    runs: { type: 'string', default: '7' },
    first: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '15' },
    plain: { type: 'boolean', default: false },
    options: { type: 'string', default: '{}' },
    recorded: { type: 'string', multiple: true, default: [] },
    write: { type: 'boolean', default: false },
    judge: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(`npm run parity -- [options]
  --agents N --size BYTES --piece BYTES   instead of the scenario's
  --limit BYTES/S                         of every node, both directions; 20e6
  --runs N --seeds N                      real runs and simulated runs; 7 and 15
  --plain                                 agents without in-order readers
  --options JSON                          simulator options on top, e.g. '{"agentSwarm":{"pipelineLimit":1}}'
  --recorded FILE                         real runs of an earlier record (--json, or docs/simulations/parity.json) instead of new
                                          ones; may be given several times
  --write                                 rewrite docs/simulations/parity.{json,md}
  --judge                                 exit with 1 when a judged row is not within 15 %
  --first N                               seed of the first real run
  --json                                  print the record as JSON, the table to standard error`);
  process.exit(0);
}

const given = { ...SCENARIOS.parity.runs[0], ...JSON.parse(values.options) };
for (const [flag, key] of [['agents', 'agents'], ['size', 'blobBytes'], ['piece', 'pieceBytes']])
  if (values[flag] !== undefined) given[key] = Number(values[flag]);
if (values.limit !== undefined)
  for (const key of ['agentUp', 'agentDown', 'originUp', 'originDown'])
    given[`${key}BytesPerSecond`] = Number(values.limit) * PAYLOAD_PART;
if (values.plain) given.streaming = false;
const options = simOptions(given);

const real = values.recorded.flatMap((file) => JSON.parse(readFileSync(file, 'utf8')).real);
for (let run = 1; real.length < Number(values.runs) && values.recorded.length === 0; run++) {
  const result = { ...(await runReal(options, Number(values.first) + run - 1)), blobBytes: options.blobBytes };
  real.push(result);
  const { machine } = result;
  const percent = (share) => `${(100 * share).toFixed(0)} %`;
  console.error(
    `real ${run}: last done after ${(result.completionMs.at(-1) / 1000).toFixed(2)} s; of ${machine.cores} cores peers used ${percent(machine.ownShare)}, others ${percent(machine.othersShare)}; ` +
      `somebody waited for a core ${percent(machine.waitedShare)} of the time; busiest peer ${percent(machine.busiestPeer)} of a core, loop delay p99 ${machine.loopDelayP99Ms.toFixed(0)} ms`,
  );
}
const sim = Array.from({ length: Number(values.seeds) }, (_, i) => ({ ...runSim(options, i + 1), blobBytes: options.blobBytes }));
const rows = compare(real, sim);
(values.json ? console.error : console.log)(table(rows));
const record = { measuredAt: new Date().toISOString(), node: process.version, options, rows, real, sim };
if (values.write) writeReport(record);
if (values.json) console.log(JSON.stringify(record));

const complete = real.every((run) => run.completionMs.length === options.agents && run.digestsEqual) && sim.every((run) => run.unfinished === 0);
if (!complete) console.error('a pull did not finish, or a digest is wrong');
process.exit(complete && (!values.judge || rows.every(({ ok }) => ok !== false)) ? 0 : 1);
