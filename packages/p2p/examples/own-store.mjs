/**
 * A store of your own, here in memory: the node asks it for files that grow piece by piece. For small blobs in tests; the
 * interfaces `PieceStore` and `TorrentFile` say what each member owes.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bitfield } from '@kraken/core/content';
import { createPassiveRing, createPeerNode, createTrackerClient, KrakenError, seedFile } from '@kraken/p2p';

function memoryFile(metainfo) {
  const { digest, length, pieceLength, pieceSums } = metainfo;
  const data = Buffer.alloc(length);
  let waiting = [];
  let failure;
  const wake = () => waiting.splice(0).forEach((reader) => reader());
  return {
    metainfo,
    have: new Bitfield(pieceSums.length),
    committed: length === 0,
    write(buffer, bytes, position, done) {
      data.set(buffer.subarray(0, bytes), position);
      setImmediate(done);
    },
    markVerified(piece, done) {
      this.have.set(piece);
      wake();
      setImmediate(done);
    },
    read(buffer, bytes, position, done) {
      setImmediate(done, null, data.copy(buffer, 0, position, position + bytes));
    },
    async commit() {
      const found = `sha256:${createHash('sha256').update(data).digest('hex')}`;
      if (found !== digest) throw new KrakenError('digest-mismatch');
      this.committed = true;
      wake();
    },
    async *stream({ range = { start: 0, end: length }, signal, onNeed }) {
      signal?.addEventListener('abort', wake, { once: true });
      for (let at = range.start; at < range.end;) {
        const piece = Math.floor(at / pieceLength);
        const end = Math.min((piece + 1) * pieceLength, range.end);
        // The end of the blob only after its digest was checked.
        while (!this.have.has(piece) || (end === length && !this.committed)) {
          if (signal?.aborted || failure !== undefined) throw failure ?? signal.reason;
          onNeed?.(piece);
          await new Promise((resolve) => waiting.push(resolve));
        }
        yield data.subarray(at, end);
        at = end;
      }
    },
    failReaders(error) {
      failure = error;
      wake();
    },
    release() {}, // nothing to give back
  };
}

function memoryStore() {
  const files = new Map();
  return {
    lookup: async (digest) => files.get(digest),
    create: async (metainfo) => {
      if (!files.has(metainfo.digest)) files.set(metainfo.digest, memoryFile(metainfo));
      return files.get(metainfo.digest);
    },
    remove: async (digest) => files.delete(digest),
  };
}

const dir = await mkdtemp(join(tmpdir(), 'kraken-'));
await writeFile(join(dir, 'file'), Buffer.alloc(5_000_000, 'kraken '));
const { tracker: url, metainfo, ...seed } = await seedFile({ path: join(dir, 'file'), dir: join(dir, 'seed') });

const tracker = createTrackerClient({ ring: createPassiveRing({ hosts: () => [new URL(url).host] }) });
const node = await createPeerNode({ store: memoryStore(), tracker, peer: { ip: '127.0.0.1' } });
const blob = await node.open(metainfo.digest);
let bytes = 0;
for await (const chunk of blob.stream()) bytes += chunk.length;
console.log(`${bytes} bytes came through memory`);

await node.close();
await tracker.close();
await seed.close();
await rm(dir, { recursive: true });
