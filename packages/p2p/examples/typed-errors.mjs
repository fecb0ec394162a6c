/** Errors have codes: branch on `code`, or on `retry`, which says what to do next. Messages are for people. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchBlob, isKrakenError, seedFile } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), 'kraken');
const { tracker, metainfo, ...seed } = await seedFile({ path: join(dir, 'file'), dir: join(dir, 'seed') });
const { digest } = metainfo;
const wishes = {
  'no such blob': { tracker, digest: `sha256:${'0'.repeat(64)}` },
  'not a digest': { tracker, digest: 'md5:1234' },
  'no such range': { tracker, digest, range: { start: 0, end: 7 } },
  'no tracker': { tracker: 'http://127.0.0.1:9', digest, deadlineMs: 2000 },
};

for (const [name, wish] of Object.entries(wishes)) {
  try {
    await fetchBlob({ dir: join(dir, name), ...wish });
  } catch (error) {
    if (!isKrakenError(error)) throw error;
    console.log(`${name}: ${error.code}, retry ${error.retry}, HTTP ${error.httpStatus}`);
  }
}

await seed.close();
await rm(dir, { recursive: true });
