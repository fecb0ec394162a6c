/** The Merkle tree over a blob against an independent one: every leaf of the padded tree, folded with node:crypto. */
import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import fc from 'fast-check';
import {
  canHaveRoot,
  createMetaInfo,
  digestFromHex,
  HASH_BYTES,
  LAYER_PIECES_MAX,
  LEAF_BYTES,
  leavesPerPiece,
  parseMetaInfo,
  pieceCountOf,
  pieceHash,
  rootOfLayer as rootOfLayerBy,
  serializeMetaInfo,
  withRoot,
  type MetaInfo,
  type PiecesRoot,
  type Sha256Into,
} from '@kraken/core/content';
import { codeOf } from './vector-files.js';

const sha256 = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

const sha256Into: Sha256Into = (message, target, at) => target.set(sha256(message), at);
const rootOfLayer = (layer: Uint8Array, length: number, pieceLength: number): PiecesRoot =>
  rootOfLayerBy(layer, length, pieceLength, sha256Into);

/** The whole tree, bottom up; `levels[k]` are the nodes that each cover 2^k leaves. */
function treeOver(content: Uint8Array): Buffer[][] {
  const leaves: Buffer[] = [];
  for (let at = 0; at < content.length; at += LEAF_BYTES) leaves.push(sha256(content.subarray(at, at + LEAF_BYTES)));
  while (Math.log2(leaves.length) % 1 !== 0) leaves.push(Buffer.alloc(32));
  const levels = [leaves];
  for (let level = leaves; level.length > 1; level = levels.at(-1) as Buffer[]) {
    const next: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2) next.push(sha256(level[i] as Buffer, level[i + 1] as Buffer));
    levels.push(next);
  }
  return levels;
}

/** As a host computes it: leaf hashes of one piece at a time. */
function layerOf(content: Uint8Array, pieceLength: number): Buffer {
  const width = leavesPerPiece(content.length, pieceLength);
  const hashes: Uint8Array[] = [];
  for (let start = 0; start < content.length; start += pieceLength) {
    const piece = content.subarray(start, start + pieceLength);
    const leaves: Buffer[] = [];
    for (let at = 0; at < piece.length; at += LEAF_BYTES) leaves.push(sha256(piece.subarray(at, at + LEAF_BYTES)));
    hashes.push(pieceHash(new Uint8Array(Buffer.concat(leaves)), width, sha256Into));
  }
  return Buffer.concat(hashes);
}

function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7) & 0xff;
  return bytes;
}

const K16 = LEAF_BYTES;

test('layer and root are those of the full padded tree', (t) => {
  const lengths = [1, K16 - 1, K16, K16 + 1, 3 * K16, 4 * K16, 5 * K16 + 77, 7 * K16, 8 * K16, 13 * K16 + 1, 33 * K16];
  for (const length of lengths) {
    for (const pieceLength of [K16, 2 * K16, 4 * K16, 16 * K16]) {
      const content = pattern(length);
      const levels = treeOver(content);
      const root = (levels.at(-1) as Buffer[])[0] as Buffer;
      const pieces = pieceCountOf(length, pieceLength);
      const expected =
        pieces === 1 ? root : Buffer.concat((levels[Math.log2(pieceLength / K16)] as Buffer[]).slice(0, pieces));
      const layer = layerOf(content, pieceLength);
      const what = `${length} bytes in pieces of ${pieceLength}`;
      t.is(layer.length, HASH_BYTES * pieces, what);
      t.deepEqual(layer, expected, what);
      t.is<string, string>(rootOfLayer(layer, length, pieceLength), root.toString('hex'), what);
    }
  }
});

test('the root of zeros is the known one', (t) => {
  // Two leaves of zeros: the two hashes are written out here so that nothing of the code under test is used.
  const leaf = '4fe7b59af6de3b665b67788cc2f99892ab827efae3a467342b3bb4e3bc8e5bfe';
  t.is(sha256(new Uint8Array(K16)).toString('hex'), leaf);
  const root = sha256(Buffer.from(leaf + leaf, 'hex')).toString('hex');
  const layer = layerOf(new Uint8Array(2 * K16), K16);
  t.is(layer.toString('hex'), leaf + leaf);
  t.is<string, string>(rootOfLayer(layer, 2 * K16, K16), root);
  // Three leaves: the fourth is 32 zero bytes, not the hash of nothing.
  const right = sha256(Buffer.from(leaf, 'hex'), Buffer.alloc(32));
  const three = sha256(Buffer.from(root, 'hex'), right).toString('hex');
  t.is<string, string>(rootOfLayer(layerOf(new Uint8Array(3 * K16), K16), 3 * K16, K16), three);
  t.is<string, string>(rootOfLayer(layerOf(new Uint8Array(3 * K16), 4 * K16), 3 * K16, 4 * K16), three);
});

test('any change of the layer changes the root', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (pieces, where, xor) => {
      const layer = new Uint8Array(pieces * HASH_BYTES).map((_, i) => (i * 17) & 0xff);
      const length = pieces * K16;
      const root = rootOfLayer(layer, length, K16);
      const at = where % layer.length;
      layer[at] = (layer[at] as number) ^ xor;
      return rootOfLayer(layer, length, K16) !== root;
    }),
    { numRuns: 60 },
  );
  t.pass();
});

test('a layer of another size and a tree that is not defined are refused', (t) => {
  t.is(
    codeOf(() => rootOfLayer(new Uint8Array(64), K16, K16)),
    'layer-invalid',
  );
  t.is(
    codeOf(() => rootOfLayer(new Uint8Array(0), 0, K16)),
    'layer-invalid',
  );
  t.is(
    codeOf(() => rootOfLayer(new Uint8Array(32), 10, 1000)),
    'layer-invalid',
  );
  t.false(canHaveRoot(0, K16));
  t.false(canHaveRoot(10, K16 / 2));
  t.false(canHaveRoot(10, 3 * K16));
  t.true(canHaveRoot(10, 4 * 2 ** 20));
  t.true(canHaveRoot(LAYER_PIECES_MAX * K16, K16));
  t.false(canHaveRoot(LAYER_PIECES_MAX * K16 + 1, K16));
});

test('the root travels beside Info and leaves the info hash alone', (t) => {
  const digest = digestFromHex('ab'.repeat(32));
  const bare = createMetaInfo({ digest, length: 40_000, pieceLength: K16, pieceSums: [1, 2, 3] });
  const piecesRoot = 'CD'.repeat(32);
  const metainfo = createMetaInfo({ digest, length: 40_000, pieceLength: K16, pieceSums: [1, 2, 3], piecesRoot });
  t.is(metainfo.infoHash, bare.infoHash);
  t.is<string | undefined, string>(metainfo.piecesRoot, piecesRoot.toLowerCase());
  const text = serializeMetaInfo(metainfo);
  t.is(text, `${serializeMetaInfo(bare).slice(0, -1)},"PiecesRoot":"${'cd'.repeat(32)}"}`);
  t.deepEqual(parseMetaInfo(text), metainfo);
  t.deepEqual(withRoot(metainfo, undefined), bare);
  t.deepEqual(withRoot(bare, metainfo.piecesRoot), metainfo);
  t.false('piecesRoot' in parseMetaInfo(serializeMetaInfo(bare)));
  t.is(
    codeOf(() => parseMetaInfo(text.replace('cdcd', 'xyxy'))),
    'metainfo-invalid',
  );
  // No tree is defined over this piece length.
  const odd = createMetaInfo({ digest, length: 10, pieceLength: 1000, pieceSums: [1] });
  const oddText = `${serializeMetaInfo(odd).slice(0, -1)},"PiecesRoot":"${'cd'.repeat(32)}"}`;
  t.is(
    codeOf(() => parseMetaInfo(oddText)),
    'metainfo-invalid',
  );
});

test('metainfo that is kept does not keep its text alive', (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = used();
  const pieceSums = Array.from({ length: 4 }, () => 1);
  const rest = ' '.repeat(20_000);
  const kept: MetaInfo[] = [];
  for (let n = 0; n < 1000; n++) {
    const hex = n.toString(16).padStart(64, '0');
    const metainfo = createMetaInfo({
      digest: digestFromHex(hex),
      length: 4 * LEAF_BYTES,
      pieceLength: LEAF_BYTES,
      pieceSums,
      piecesRoot: hex,
    });
    kept.push(parseMetaInfo(Buffer.from(serializeMetaInfo(metainfo) + rest).toString()));
  }
  t.true(used() - before < 5_000_000, `${used() - before} bytes`);
  t.is(new Set(kept.map(({ piecesRoot }) => piecesRoot)).size, 1000);
});
