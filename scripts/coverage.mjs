// `npm run coverage`: which lines of core's sources its own tests run, a row a folder. Exit code 1 under the bound of lines, or when a test
// fails. Only lines with code count: the coverage tool counts blank lines, comments and types as run, which would flatter.
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { spawnSync } from 'node:child_process';
import { codeLines } from './lib/coverage/code-lines.mjs';
import { sourcesOf } from './lib/coverage/sources.mjs';
import { readLcov } from './lib/coverage/lcov.mjs';
import { ensureBuilt, root } from './lib/ensure-built.mjs';

/** Percent of the lines of core/src. */
const LINES_MIN = 95;
const SOURCES = join(root, 'packages/core/src');
const REPORTS = join(root, 'coverage');

ensureBuilt();
rmSync(REPORTS, { recursive: true, force: true });
const c8 = [
  '--temp-directory',
  join(REPORTS, 'raw'),
  '--reports-dir',
  REPORTS,
  '--reporter',
  'lcovonly',
  '--exclude-after-remap',
  '--include',
  'packages/core/src/**',
  '--exclude',
  'nothing',
];
const ava = [
  'node_modules/ava/entrypoints/cli.mjs',
  '--config',
  'ava.config.js',
  'packages/core/dist-test/**/*.test.js',
];
const { status, stdout } = spawnSync(process.execPath, ['node_modules/c8/bin/c8.js', ...c8, process.execPath, ...ava], {
  cwd: root,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
  maxBuffer: 2 ** 26,
});
if (status !== 0) console.log(stdout);
const ran = readLcov(readFileSync(join(REPORTS, 'lcov.info'), 'utf8'), root);

const folders = new Map();
const total = { lines: 0, run: 0 };
const gaps = [];
for (const path of sourcesOf(SOURCES)) {
  const lines = codeLines(path, SOURCES);
  const hits = ran.get(path);
  // A file that no test loads has run nothing.
  const missed = lines.filter((line) => (hits?.get(line) ?? 0) === 0);
  const folder = relative(SOURCES, dirname(path)) || '.';
  for (const tally of [total, tallyOf(folder)]) {
    tally.lines += lines.length;
    tally.run += lines.length - missed.length;
  }
  if (missed.length > 0) gaps.push({ path: relative(SOURCES, path), missed });
}

function tallyOf(folder) {
  const tally = folders.get(folder) ?? { lines: 0, run: 0 };
  folders.set(folder, tally);
  return tally;
}

const percent = ({ lines, run }) => (lines === 0 ? 100 : (100 * run) / lines);
const row = (name, tally) =>
  console.log(
    `${name.padEnd(32)} ${String(tally.run).padStart(6)} of ${String(tally.lines).padStart(6)} lines  ${percent(tally).toFixed(1).padStart(5)} %`,
  );
for (const { path, missed } of gaps.sort((a, b) => b.missed.length - a.missed.length))
  console.log(`${path}: ${ranges(missed)}`);
console.log('');
for (const [folder, tally] of [...folders].sort(([a], [b]) => a.localeCompare(b)))
  if (tally.lines > 0) row(`core/src/${folder}`, tally);
row('core/src', total);
const enough = percent(total) >= LINES_MIN;
if (!enough) console.log(`under ${LINES_MIN} %`);
if (status !== 0) console.log('tests failed');
process.exit(enough && status === 0 ? 0 : 1);

/** Line numbers as text: 3-5, 9. */
function ranges(lines) {
  const parts = [];
  for (const line of lines) {
    const last = parts.at(-1);
    if (last !== undefined && last[1] === line - 1) last[1] = line;
    else parts.push([line, line]);
  }
  return parts.map(([from, to]) => (from === to ? from : `${from}-${to}`)).join(', ');
}
