import { createHash } from 'node:crypto';
import { crc32 as zlibCrc32 } from 'node:zlib';
import test from 'ava';
import fc from 'fast-check';
import {
  bencodeInfo,
  Bitfield,
  bitsetByteLength,
  choosePieceLength,
  cleanPath,
  crc32,
  createMetaInfo,
  decodeBitset,
  digestFromHex,
  encodeBitset,
  idToJson,
  infoHashFromJson,
  parseByteSize,
  parseMetaInfo,
  pieceCount,
  pieceLengthAt,
  pieceOffset,
  readUtf8,
  serializeMetaInfo,
  utf8Length,
  writeUtf8,
  type MetaInfo,
} from '@kraken/core/content';
import { blobOf, codeOf, fromHex, readVectors, toHex, type BlobRule } from './vector-files.js';

interface InfoHashCase {
  id: string;
  blob: BlobRule;
  piece_length: number;
  digest: string;
  length: number;
  num_pieces: number;
  piece_sums: number[];
  first_piece_length: number;
  last_piece_length: number;
  piece_length_of_index_minus1: number;
  piece_length_of_index_n: number;
  metainfo_json: string;
  bencode: string;
  info_hash: string;
  info_hash_json: number[];
}
interface DeserializeCase {
  input: string;
  error: string | null;
  info_hash: string;
  digest: string;
  num_pieces: number;
  reserialized: string;
}

const infohash = readVectors('infohash') as {
  cases: InfoHashCase[];
  generation_errors: { piece_length: number }[];
  deserialize: DeserializeCase[];
};

test('metainfo: info hash, lengths, sums and JSON of every blob', (t) => {
  let used = 0;
  // Longest first: shorter blobs of a seed are prefixes and need not be made again.
  for (const vector of infohash.cases.toSorted((a, b) => b.length - a.length)) {
    const blob = blobOf(vector.blob);
    t.is(`sha256:${createHash('sha256').update(blob).digest('hex')}`, vector.digest);
    const digest = digestFromHex(vector.digest.slice(7));
    const pieceLength = vector.piece_length;
    if (pieceLength > 2 ** 31 - 1) {
      // Piece lengths travel as int32: Go generates such metainfo and cannot serve it.
      t.is(
        codeOf(() => parseMetaInfo(vector.metainfo_json)),
        'metainfo-invalid',
        vector.id,
      );
      t.is(vector.id, 'ih39');
      continue;
    }
    const pieceSums = vector.piece_sums.map((_, i) => crc32(blob.subarray(i * pieceLength, (i + 1) * pieceLength)));
    t.deepEqual(pieceSums, vector.piece_sums, vector.id);
    const metainfo = createMetaInfo({ digest, length: blob.length, pieceLength, pieceSums });
    t.is(bencodeInfo(digest, blob.length, pieceLength, pieceSums), vector.bencode, vector.id);
    t.is<string, string>(metainfo.infoHash, vector.info_hash, vector.id);
    t.deepEqual(idToJson(metainfo.infoHash), vector.info_hash_json, vector.id);
    t.is(infoHashFromJson(vector.info_hash_json), metainfo.infoHash, vector.id);
    t.is(serializeMetaInfo(metainfo), vector.metainfo_json, vector.id);
    t.deepEqual(parseMetaInfo(vector.metainfo_json), metainfo, vector.id);
    const count = pieceCount(metainfo);
    t.is(count, vector.num_pieces, vector.id);
    t.is(pieceLengthAt(metainfo, 0), vector.first_piece_length, vector.id);
    t.is(pieceLengthAt(metainfo, count - 1), vector.last_piece_length, vector.id);
    t.is(pieceLengthAt(metainfo, -1), vector.piece_length_of_index_minus1, vector.id);
    t.is(pieceLengthAt(metainfo, count), vector.piece_length_of_index_n, vector.id);
    t.is(count === 0 ? 0 : pieceOffset(metainfo, count - 1) + vector.last_piece_length, blob.length, vector.id);
    used++;
  }
  t.is(used, 43);
  for (const { piece_length: pieceLength } of infohash.generation_errors) {
    const thrown = t.throws(() =>
      createMetaInfo({ digest: digestFromHex('0'.repeat(64)), length: 0, pieceLength, pieceSums: [] }),
    );
    t.is(thrown.message, 'piece length must be positive');
  }
  t.is(infohash.generation_errors.length, 3);
});

/** Texts that Go accepts and we refuse, or read otherwise. */
const DESERIALIZE_REFUSED = [
  '"Length":9223372036854775807', // more than a safe integer, and more pieces than sums
  '"Length":-5', // negative length and a piece length of 0
];

test('metainfo: every JSON text of Go', (t) => {
  let accepted = 0;
  let rejected = 0;
  let refused = 0;
  for (const vector of infohash.deserialize) {
    if (vector.error !== null) {
      t.is(
        codeOf(() => parseMetaInfo(vector.input)),
        'metainfo-invalid',
        vector.input,
      );
      rejected++;
      continue;
    }
    if (DESERIALIZE_REFUSED.some((part) => vector.input.includes(part))) {
      t.is(
        codeOf(() => parseMetaInfo(vector.input)),
        'metainfo-invalid',
        vector.input,
      );
      refused++;
      continue;
    }
    const metainfo: MetaInfo = parseMetaInfo(vector.input);
    t.is<string, string>(metainfo.digest, vector.digest.toLowerCase(), vector.input);
    t.is(pieceCount(metainfo), vector.num_pieces, vector.input);
    if (vector.digest === metainfo.digest) {
      t.is<string, string>(metainfo.infoHash, vector.info_hash, vector.input);
      // Go remembers whether an empty list was null; we always write what Go generates.
      t.is(
        serializeMetaInfo(metainfo),
        vector.reserialized.replace('"PieceSums":[]', '"PieceSums":null'),
        vector.input,
      );
    } else {
      // An upper-case name: Go hashes it as it is, we normalise first, so the info hash differs.
      t.not<string, string>(metainfo.infoHash, vector.info_hash);
    }
    accepted++;
  }
  t.deepEqual([accepted, rejected, refused], [10, 17, 2]);
});

test('metainfo: a wrong number of sums is refused', (t) => {
  const text = infohash.deserialize[0]!.input;
  t.is(
    codeOf(() => parseMetaInfo(text.replace('[2131691452]', '[2131691452,1]'))),
    'metainfo-invalid',
  );
  t.is(
    codeOf(() => parseMetaInfo(text.replace('[2131691452]', '[]'))),
    'metainfo-invalid',
  );
  t.is(pieceCount(parseMetaInfo(text.replace('{"Info"', '{"Comment":"x","Info"'))), 1);
});

interface BitsetCase {
  kind: 'marshal' | 'unmarshal';
  note: string;
  length: number;
  pattern: string;
  set_bits?: number[];
  count: number;
  all: boolean;
  hex: string;
  error: string | null;
}

test('bitset: every encoding and decoding of Go', (t) => {
  const { cases } = readVectors('bitset') as { cases: BitsetCase[] };
  const random = blobOf({ fill: 'sha256-counter', seed: 'bitset', length: 125 });
  const patterns: Record<string, (i: number, length: number) => boolean> = {
    none: () => false,
    all: () => true,
    first: (i) => i === 0,
    last: (i, length) => i === length - 1,
    even: (i) => i % 2 === 0,
    every3: (i) => i % 3 === 0,
    first_half: (i, length) => i < Math.floor(length / 2),
  };
  const sha = (i: number): boolean => ((random[i >> 3]! >> (i & 7)) & 1) === 1;
  let marshalled = 0;
  let accepted = 0;
  let refused = 0;
  for (const vector of cases) {
    if (vector.kind === 'marshal') {
      const rule = patterns[vector.pattern] ?? sha;
      const bits = Array.from({ length: vector.length }, (_, i) => i).filter((i) => rule(i, vector.length));
      const field = Bitfield.of(vector.length, bits);
      if (vector.set_bits !== undefined) t.deepEqual(bits, vector.set_bits, vector.hex);
      t.is(toHex(encodeBitset(field)), vector.hex);
      const read = decodeBitset(fromHex(vector.hex));
      t.deepEqual([...read], bits);
      t.deepEqual([read.length, read.count, read.isComplete], [vector.length, vector.count, vector.all]);
      marshalled++;
    } else if (vector.error !== null) {
      t.is(
        codeOf(() => decodeBitset(fromHex(vector.hex))),
        'handshake-invalid',
        vector.note,
      );
      refused++;
    } else {
      const read = decodeBitset(fromHex(vector.hex));
      t.is(read.length, vector.length, vector.note);
      // Go keeps and counts padding bits; we clear them.
      const bits = vector.set_bits!.filter((i) => i < vector.length);
      t.deepEqual([...read], bits, vector.note);
      t.is(read.count, bits.length, vector.note);
      const padded = bits.length !== vector.set_bits!.length;
      if (!padded) t.is(read.isComplete, vector.all, vector.note);
      accepted++;
    }
  }
  t.deepEqual([marshalled, accepted, refused], [137, 9, 11]);
  t.is(bitsetByteLength(65), 24);
});

interface PieceLengthCase {
  kind: 'parse' | 'table';
  id: string;
  scalar: string;
  error?: string | null;
  bytes: string;
  yaml: string;
  yaml_error: string | null;
  config_error: string | null;
  rows: [number, number][];
}

/** What is left of a YAML scalar when YAML is done with it: the text that {@link parseByteSize} wants. */
function scalarText(scalar: string): string {
  if (scalar.startsWith('"')) return JSON.parse(scalar) as string;
  if (scalar.startsWith("'")) return scalar.slice(1, -1);
  return scalar.replace(/ #.*/, '');
}

test('byte sizes: every scalar of Go', (t) => {
  const { cases } = readVectors('piece-length') as { cases: PieceLengthCase[] };
  // A YAML null leaves the field alone, lists and maps are no scalars: both are the configuration loader's business.
  const yamlOnly = ['~', 'null', '[1]', '{a: 1}'];
  let used = 0;
  for (const vector of cases) {
    if (vector.kind !== 'parse' || yamlOnly.includes(vector.scalar)) continue;
    used++;
    const text = scalarText(vector.scalar);
    if (vector.error === null) t.is(parseByteSize(text), BigInt(vector.bytes), vector.scalar);
    else
      t.is(
        codeOf(() => parseByteSize(text)),
        'config-invalid',
        vector.scalar,
      );
  }
  t.is(used, 83);
});

test('piece lengths: every table of Go', (t) => {
  const { cases } = readVectors('piece-length') as { cases: PieceLengthCase[] };
  let used = 0;
  for (const vector of cases) {
    // `list` is a type error of the YAML decoder.
    if (vector.kind !== 'table' || vector.id === 'list') continue;
    used++;
    const block = /piece_lengths:([^]*)/.exec(vector.yaml)?.[1] ?? '';
    const entries = (): (readonly [number, number])[] =>
      [...block.matchAll(/("?[^\s{}",:]+"?): ([^\s{},]+)/g)].map(([, key, value]) => [
        Number(parseByteSize(scalarText(key!))),
        Number(parseByteSize(scalarText(value!))),
      ]);
    if (vector.yaml_error !== null || vector.config_error !== null) {
      t.is(
        codeOf(() => choosePieceLength(entries(), 1)),
        'config-invalid',
        vector.id,
      );
      continue;
    }
    t.true(vector.rows.length > 0);
    for (const [size, expected] of vector.rows) {
      t.is(choosePieceLength(new Map(entries()), size), expected, `${vector.id} ${size}`);
      t.is(choosePieceLength(entries(), size), expected, `${vector.id} ${size}`);
    }
  }
  t.is(used, 18);
});

test('bitfield: any bits survive the wire form (property)', (t) => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 300 }), fc.nat(20), (bits, extra) => {
      const field = Bitfield.of(
        bits.length,
        [...bits.keys()].filter((i) => bits[i]),
      );
      const bytes = encodeBitset(field);
      const read = decodeBitset(new Uint8Array([...bytes, ...new Uint8Array(extra).fill(0xff)]));
      t.deepEqual([read.length, read.count, ...read.words], [field.length, field.count, ...field.words]);
    }),
  );
  t.throws(() => Bitfield.fromWords(33, new Uint32Array(1)), { instanceOf: RangeError });
});

test('UTF-8: as the host reads and writes it (property)', (t) => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const nearUtf8 = fc.array(
    fc.constantFrom(0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xa0, 0xed, 0x9f, 0xf0, 0x90, 0xf4, 0x8f, 0xf5),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 12 }),
        nearUtf8.map((bytes) => Uint8Array.from(bytes)),
      ),
      (bytes) => {
        let expected: string | undefined;
        try {
          expected = decoder.decode(bytes);
        } catch {
          expected = undefined; // not UTF-8: that is the answer we compare with
        }
        t.is(readUtf8(bytes, 0, bytes.length), expected);
      },
    ),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)), maxLength: 12 }), (text) => {
      const expected = new TextEncoder().encode(text);
      const bytes = new Uint8Array(utf8Length(text));
      t.is(writeUtf8(text, bytes, 0), bytes.length);
      t.deepEqual(bytes, expected);
    }),
  );
  const long = 'ä'.repeat(10_000);
  t.is(readUtf8(new TextEncoder().encode(`<${long}>`), 1, 20_001), long);
});

test('CRC-32: as zlib, in parts too (property)', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, at) => {
      // Node 20.19 has zlib.crc32.
      t.is(crc32(bytes), zlibCrc32(bytes));
      t.is(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at))), crc32(bytes));
    }),
  );
});

test('paths are cleaned as in Go', (t) => {
  const cases = {
    '': '.',
    '.': '.',
    '/': '/',
    '//': '/',
    'a//b/': 'a/b',
    'a/../b': 'b',
    '../a': '../a',
    '/../a': '/a',
    'a/..': '.',
    '../../a': '../../a',
    'a/../../b': '../b',
    './a/.': 'a',
    '...': '...',
  };
  for (const [path, expected] of Object.entries(cases)) t.is(cleanPath(path), expected, path);
});
