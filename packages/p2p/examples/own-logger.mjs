/** A logger is an object with debug, info, warn and error; metrics one with count, gauge and observe. `console` is a logger. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchFile, seedFile } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'original'), Buffer.alloc(3_000_000, 'kraken '));
const { tracker, metainfo, ...seed } = await seedFile({ path: join(dir, 'original'), dir: join(dir, 'seed') });

const line = (level) => (fields, message) => console.log(level, message, fields.reason ?? '');
const logger = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
const totals = {};
const metrics = {
  count: (name, value = 1) => (totals[name] = (totals[name] ?? 0) + value),
  gauge: () => undefined,
  observe: () => undefined,
};
await fetchFile({
  tracker,
  digest: metainfo.digest,
  dir: join(dir, 'fetch'),
  file: join(dir, 'copy'),
  logger,
  metrics,
});

console.log(`${totals.piece_bandwidth / 8} bytes were counted`);
await seed.close();
await rm(dir, { recursive: true });
