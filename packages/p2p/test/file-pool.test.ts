/** Pooled descriptors by themselves; their limit is shown by the store's tests. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { silentLogger, silentMetrics } from '@kraken/core/ports';
import { FilePool } from '../dist/store/file-pool.js';
import * as kit from './store-kit.js';

test('descriptors that rest are closed and open again, those in use and just used stay', async (t) => {
  const { root } = await kit.openStore(t);
  const pool = new FilePool(8, silentLogger, silentMetrics);
  const [resting, used, held] = await Promise.all(
    ['resting', 'used', 'held'].map(async (name) => {
      await writeFile(join(root, name), name);
      return pool.file(join(root, name), 'r');
    }),
  );
  for (const file of [resting!, used!, held!]) await file.acquire();
  resting!.release();
  used!.release();
  pool.closeRested();
  t.is(pool.openCount, 3, 'they have only now been seen idle');
  t.not(used!.tryAcquire(), -1);
  used!.release();
  pool.closeRested();
  t.deepEqual([resting!.isClosed, used!.isClosed, held!.isClosed], [true, false, false]);
  t.not(await resting!.acquire(), -1);
  t.is(pool.openCount, 3);
  for (const file of [resting!, held!]) file.release();
  for (let turn = 0; turn < 2; turn++) pool.closeRested();
  t.is(pool.openCount, 0);
});
