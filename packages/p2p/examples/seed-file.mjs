/** Offer a file: to seed takes one call, to see who took it another. `await seed.close()` ends it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchFile, seedFile } from '@kraken/p2p';

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), Buffer.alloc(3_000_000, 'kraken '));

// For other machines: `ip` is this one's address, `port` and `trackerPort` are what the firewall lets through.
const seed = await seedFile({ path: join(dir, 'file'), dir: join(dir, 'seed'), ip: '127.0.0.1' });
const { digest, length } = seed.metainfo;
console.log(`seeding ${digest}, ${length} bytes, tracker ${seed.tracker}`);

await fetchFile({ tracker: seed.tracker, digest, dir: join(dir, 'fetch'), file: join(dir, 'copy') });
const { bytesSent, toPeers } = seed.node.stats();
console.log(`${bytesSent} bytes went to ${toPeers.size} peer`);
await seed.close();
await rm(dir, { recursive: true });
