// The committed report: raw samples as JSON, and the measured part of the document between its two marks.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { root } from '../ensure-built.mjs';
import { table } from './compare.mjs';

const BEGIN = '<!-- measured: npm run parity -- --write -->';
const END = '<!-- end -->';

export function writeReport(record) {
  const short = (value) => (typeof value === 'number' && !Number.isInteger(value) ? Math.round(value * 1000) / 1000 : value);
  const directory = join(root, 'docs/simulations');
  writeFileSync(join(directory, 'parity.json'), `${JSON.stringify(record, (_key, value) => short(value))}\n`);

  const { options, real, sim, measuredAt, node, rows } = record;
  const runs = real.map(
    (run, i) =>
      `| ${i + 1} | ${(run.completionMs.at(-1) / 1000).toFixed(2)} s | ${run.startedWithinMs.toFixed(0)} ms | ${share(run.machine.ownShare)} | ${share(run.machine.busiestPeer)} | ${share(run.machine.othersShare)} | ${share(run.machine.waitedShare)} | ${run.machine.loopDelayP99Ms.toFixed(0)} ms |`,
  );
  const measured = [
    BEGIN,
    '',
    `${measuredAt.slice(0, 10)}, Node ${node}, ${cpus().length} cores. ${real.length} runs on processes, ${sim.length} seeds on the simulator;`,
    `median, in brackets the least and the greatest of the runs. ${options.agents} agents, 1 origin, ${options.blobBytes / 2 ** 20} MiB in pieces of ${options.pieceBytes / 1024} KiB.`,
    '',
    table(rows),
    '',
    'The runs on processes:',
    '',
    '| run | last done | agents started within | peers, of all cores | busiest peer, of a core | other programs, of all cores | time in which somebody waited for a core | loop delay p99, worst peer |',
    '|---|---|---|---|---|---|---|---|',
    ...runs,
    '',
    END,
  ].join('\n');
  const path = join(directory, 'parity.md');
  const document = readFileSync(path, 'utf8');
  const [before, after] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (before < 0 || after < before) throw new Error(`${path} has no place for the measurement`);
  writeFileSync(path, document.slice(0, before) + measured + document.slice(after + END.length));
}

const share = (value) => `${(100 * value).toFixed(0)} %`;
