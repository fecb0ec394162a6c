/**
 * A process that fills a torrent and says so piece by piece, until it is killed or done. Started by the crash tests.
 * Arguments: root directory, seed, bytes, piece length, pieces after which it goes on writing but marks no more.
 */
import { pieceCount } from '@kraken/core/content';
import { DiskStore } from '../dist/store/index.js';
import * as kit from './store-kit.js';

const [root = '', seed = '', length = '', pieceLength = '', markMax = ''] = process.argv.slice(2);
const bytes = kit.content(seed, Number(length));
const store = await DiskStore.open(kit.storeOptions(root));
const torrent = await store.create(kit.metaInfoOf(bytes, Number(pieceLength)));
let marked = 0;
for (let piece = pieceCount(torrent.metainfo) - 1; piece >= 0; piece--) {
  if (torrent.have.has(piece)) continue;
  const half = kit.pieceOf(bytes, torrent.metainfo, piece).subarray(0, Number(pieceLength) / 2);
  while (marked === Number(markMax)) await kit.writeAt(torrent, half, piece * Number(pieceLength));
  await kit.store(torrent, bytes, piece);
  marked++;
  process.stdout.write(`${piece}\n`);
}
// Nothing but this wait keeps the process alive.
await torrent.commit();
process.stdout.write('committed\n');
