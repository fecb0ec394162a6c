/**
 * Run one simulation and print it: `npm run sim -- --agents 50 --origins 3 --size 67108864 --seed 1`.
 * The printed options are everything that the run depends on.
 */
import { parseArgs } from 'node:util';
import { CHECKERS, LINK_MODELS, Simulation, reportLine } from '../packages/core/dist/sim/index.js';

const { values } = parseArgs({
  options: {
    agents: { type: 'string', default: '50' },
    origins: { type: 'string', default: '3' },
    trackers: { type: 'string', default: '1' },
    replicas: { type: 'string', default: '3' },
    size: { type: 'string', default: String(64 * 1024 * 1024) },
    piece: { type: 'string', default: String(1024 * 1024) },
    blobs: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    link: { type: 'string', default: 'token-bucket' },
    rate: { type: 'string', default: '300e6' },
    'origin-rate': { type: 'string' },
    latency: { type: 'string', default: '0.5' },
    within: { type: 'string', default: '100' },
    streaming: { type: 'boolean', default: false },
    checkers: { type: 'string', default: 'all' },
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
  --checkers all | none | NAME,NAME                  ${Object.keys(CHECKERS).join(', ')}
  --seed S --json`);
  process.exit(0);
}

const number = (name) => {
  const value = Number(values[name]);
  if (!Number.isFinite(value)) throw new RangeError(`--${name} expected a number, got ${values[name]}`);
  return value;
};
const rate = number('rate');
const originRate = values['origin-rate'] === undefined ? rate : number('origin-rate');
const names = { all: Object.keys(CHECKERS), none: [] };
const simulation = new Simulation({
  seed: number('seed'),
  agents: number('agents'),
  origins: number('origins'),
  trackers: number('trackers'),
  replicas: number('replicas'),
  blobs: number('blobs'),
  blobBytes: number('size'),
  pieceBytes: number('piece'),
  link: values.link,
  agentUpBytesPerSecond: rate,
  agentDownBytesPerSecond: rate,
  originUpBytesPerSecond: originRate,
  originDownBytesPerSecond: originRate,
  latencyMs: number('latency'),
  startWithinMs: number('within'),
  streaming: values.streaming,
  checkers: names[values.checkers] ?? values.checkers.split(','),
});
console.log(JSON.stringify(simulation.options));
const startedAt = process.hrtime.bigint();
const report = simulation.run();
const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
console.log(values.json ? JSON.stringify(report) : reportLine(report));
const rss = Math.round(process.memoryUsage.rss() / 2 ** 20);
console.log(
  `real=${seconds.toFixed(2)}s steps/s=${Math.round(report.steps / seconds)} rss=${rss}MiB node=${process.version}`,
);
process.exitCode = report.unfinished > 0 ? 1 : 0;
