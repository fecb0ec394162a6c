/** The simulator's scenario `parity`, made small, on real processes. Numbers are shown, not judged: other programs share the machine. */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import { ROOT } from './harness/processes.js';

const MIB = 2 ** 20;
const AGENTS = 3;
const BLOB_BYTES = 16 * MIB;
/** A full bucket is a quarter of the blob. */
const LIMIT_BYTES_PER_SECOND = 4e6;

interface Run {
  readonly completionMs: readonly number[];
  readonly pieces: number;
  readonly messages: number;
  readonly bytesFromOrigins: number;
}

interface ParityRecord {
  readonly real: readonly (Run & { readonly digestsEqual: boolean })[];
  readonly sim: readonly (Run & { readonly unfinished: number })[];
}

test('an origin and three agents in processes of their own do what the simulator says they do', (t) => {
  t.timeout(120_000);
  const sizes = ['--agents', `${AGENTS}`, '--size', `${BLOB_BYTES}`, '--limit', `${LIMIT_BYTES_PER_SECOND}`];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['scripts/parity.mjs', ...sizes, '--runs', '1', '--seeds', '3', '--json'],
    { cwd: ROOT, encoding: 'utf8', timeout: 110_000, maxBuffer: 16 * MIB },
  );
  t.log(stderr);
  t.is(status, 0, stderr);
  const record = JSON.parse(stdout) as ParityRecord;
  t.is(record.real.length, 1);
  t.is(record.sim.length, 3);
  for (const run of record.real) t.true(run.digestsEqual);
  for (const run of record.sim) t.is(run.unfinished, 0);
  for (const run of [...record.real, ...record.sim]) {
    t.is(run.completionMs.length, AGENTS);
    t.is(run.pieces, (AGENTS * BLOB_BYTES) / MIB);
    // Every piece was asked for, and the origin sent each at least once.
    t.true(run.messages >= run.pieces);
    t.true(run.bytesFromOrigins >= BLOB_BYTES);
  }
});
