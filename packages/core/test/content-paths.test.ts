import test from 'ava';
import fc from 'fast-check';
import {
  Bitfield,
  blobDirectory,
  createPather,
  DATA_FILE,
  decodeLastAccessTime,
  decodePersist,
  decodePieceStatus,
  encodeLastAccessTime,
  encodePersist,
  encodePieceStatus,
  isFlatName,
  MOVABLE_SIDECARS,
  SIDECAR,
} from '@kraken/core/content';
import { codeOf, fromHex, readVectors, toHex } from './vector-files.js';

interface PathCase {
  kind: string;
  pather: string;
  root: string;
  name: string;
  path: string;
  result: string | null;
  error: string | null;
  panic?: string;
  name_from_blob_path?: { result: string | null; error: string | null; panic?: string };
  unix: number | string;
  hex: string;
  value: boolean;
  text: string;
  statuses: number[];
  file_name: string;
  type: string | null;
  movable?: boolean;
}

const { cases } = readVectors('paths') as { cases: PathCase[] };
const ofKind = (...kinds: string[]): PathCase[] => cases.filter(({ kind }) => kinds.includes(kind));

/** Kinds of cases that are not run here, and who runs them. */
const ELSEWHERE: Record<string, string> = {
  disk_state: 'states of a real disk: the store',
  write_piece_errors: 'the store',
  reopen: 'the store',
  store_errors: 'the store',
  tagstore_put: 'the tag store',
  startedat_encode: 'an upload is written by the store, which has a clock',
  hashstate_suffix: 'hash states of a Go registry upload are not taken over',
};

test('paths.json: every kind of case is run or left out with a reason', (t) => {
  const here = [
    'pather_new',
    'base_path',
    'blob_path',
    'name_from_blob_path',
    'cas_relative_path',
    'flat_relative_path',
    'last_access_time_encode',
    'last_access_time_decode',
    'persist_encode',
    'persist_decode',
    'status_decode',
    'sidecar_recognition',
  ];
  t.deepEqual([...new Set(cases.map(({ kind }) => kind))].sort(), [...here, ...Object.keys(ELSEWHERE)].sort());
  t.is(ofKind(...here).length, 226);
  t.is(ofKind(...Object.keys(ELSEWHERE)).length, 31);
});

test('pathers: identifiers and base paths', (t) => {
  for (const vector of ofKind('pather_new')) {
    if (vector.error === null) t.notThrows(() => createPather(vector.pather, '/root'));
    else t.is(t.throws(() => createPather(vector.pather, '/root')).message, vector.error);
  }
  for (const vector of ofKind('base_path')) {
    // Go's identity pather gives its root back uncleaned, though its paths are clean: two roots differ.
    const cleaned =
      vector.pather === 'identity'
        ? vector.result!.replace(/^\/a\/\/b\/\.\.\/c$/, '/a/c').replace(/(.)\/$/, '$1')
        : vector.result!;
    t.is(createPather(vector.pather, vector.root).basePath(), cleaned, `${vector.pather} ${vector.root}`);
  }
});

/** Names that Go would write outside the layout, or on the root itself. */
const REFUSED_NAMES = ['../x:tag', 'repo:..', '../../x', 'a/b/c', '../x', '', '.', 'éa'];

test('pathers: paths of names and back', (t) => {
  let used = 0;
  let refused = 0;
  for (const vector of ofKind('blob_path')) {
    used++;
    const pather = createPather(vector.pather, vector.root);
    const what = `${vector.pather} ${vector.root} ${vector.name}`;
    if (vector.error !== null) {
      const thrown = t.throws(() => pather.blobPath(vector.name), undefined, what);
      t.is(thrown.message, vector.error, what);
      continue;
    }
    const back = vector.name_from_blob_path!;
    if (REFUSED_NAMES.includes(vector.name)) {
      t.is(
        codeOf(() => pather.blobPath(vector.name)),
        'request-invalid',
        what,
      );
      t.is(back.result, null, `${what}: Go cannot read it back either`);
      refused++;
      continue;
    }
    const path = pather.blobPath(vector.name);
    t.is(path, vector.result!, what);
    const name = pather.nameFromBlobPath(path);
    // Go's identity pather cuts one character too many below a root that ends with a slash or is empty, and fails
    // below one that is not clean. Ours leads back to the (cleaned) name everywhere.
    const defect = vector.pather === 'identity' && ['/', '', '/root/', '/a//b/../c'].includes(vector.root);
    t.is(name, defect ? vector.name : back.result!, what);
    if (defect) t.not(back.result, vector.name, what);
  }
  t.is(used, 88);
  t.is(refused, 14);
});

/** Paths that Go takes for names of the layout, and we do not. */
const STRICTER: Record<string, string> = {
  '/aXb/docker/registry/v2/repositories/r/_manifests/tags/t/current/link': 'the dot of the root /a.b is not a wildcard',
  '/rootfoo': 'not below /root',
  '/root/': 'no name',
};

test('pathers: names of paths', (t) => {
  let used = 0;
  for (const vector of ofKind('name_from_blob_path')) {
    used++;
    const pather = createPather(vector.pather, vector.root);
    const what = `${vector.pather} ${vector.root} ${vector.path}`;
    if (vector.path in STRICTER || vector.result === null) {
      t.is(
        codeOf(() => pather.nameFromBlobPath(vector.path)),
        'request-invalid',
        what,
      );
      continue;
    }
    // The cut-off first character again.
    const expected = vector.result === 'oo' ? 'foo' : vector.result;
    t.is(pather.nameFromBlobPath(vector.path), expected, what);
  }
  t.is(used, 21);
});

test('pathers: no name leaves the base, and every accepted one leads back to its clean form (property)', (t) => {
  const segment = fc.constantFrom('a', '..', '.', '', 'b:c', 'ff85', '_manifests', 'tags', ':', 'current', 'link');
  fc.assert(
    fc.property(
      fc.constantFrom('docker_tag', 'sharded_docker_blob', 'identity'),
      fc.constantFrom('/root', '/', '', '/root/'),
      fc.array(segment, { maxLength: 7 }),
      (id, root, segments) => {
        const pather = createPather(id, root);
        let path: string;
        try {
          path = pather.blobPath(segments.join('/'));
        } catch {
          return; // refused: nothing to check
        }
        const base = pather.basePath();
        t.true(path.startsWith(base), path);
        t.false(path.split('/').includes('..'), path);
        t.true(pather.nameFromBlobPath(path).length > 0, path);
      },
    ),
  );
});

test('store: directories of blobs and flat names', (t) => {
  let accepted = 0;
  for (const vector of ofKind('cas_relative_path')) {
    if (/^[0-9a-f]{64}$/.test(vector.name)) {
      t.is(`${blobDirectory(vector.name)}/${DATA_FILE}`, vector.result!);
      accepted++;
    } else {
      // Go does not validate; every name here comes from a digest, which is 64 lower-case characters.
      t.is(
        codeOf(() => blobDirectory(vector.name)),
        'digest-invalid',
        vector.name,
      );
    }
  }
  t.is(accepted, 2);
  let flat = 0;
  for (const vector of ofKind('flat_relative_path')) {
    // Go accepts `.` and `..`, which are no directories of their own.
    const expected = vector.error === null && vector.name !== '.' && vector.name !== '..';
    t.is(isFlatName(vector.name), expected, vector.name);
    if (expected) t.is(`${vector.name}/${DATA_FILE}`, vector.result!);
    flat++;
  }
  t.is(flat, 18);
  t.false(isFlatName('a\0b'));
});

test('sidecars: codecs and names', (t) => {
  let encoded = 0;
  for (const vector of ofKind('last_access_time_encode')) {
    if (vector.panic !== undefined) {
      t.throws(() => encodeLastAccessTime(Number(vector.unix)), { instanceOf: RangeError });
      continue;
    }
    const unix = Number(vector.unix);
    if (Number.isSafeInteger(unix)) {
      t.is(toHex(encodeLastAccessTime(unix)), vector.hex);
      encoded++;
    } else {
      t.throws(() => encodeLastAccessTime(unix), { instanceOf: RangeError }, 'more than a safe integer');
    }
  }
  t.is(encoded, 13);
  for (const vector of ofKind('last_access_time_decode')) {
    const expected = vector.error === null ? Number(vector.unix) : undefined;
    t.is(decodeLastAccessTime(fromHex(vector.hex)), expected, vector.hex);
  }
  for (const vector of ofKind('persist_encode')) t.is(Buffer.from(encodePersist(vector.value)).toString(), vector.text);
  for (const vector of ofKind('persist_decode')) {
    t.is(decodePersist(Buffer.from(vector.text)), vector.error === null ? vector.value : undefined, vector.text);
  }
  t.is(decodePersist(fromHex('ff')), undefined);
  for (const vector of ofKind('status_decode')) {
    const pieces = decodePieceStatus(fromHex(vector.hex));
    t.deepEqual(
      vector.statuses.map((_, i) => Number(pieces.has(i))),
      vector.statuses,
    );
    t.deepEqual([...encodePieceStatus(pieces)], vector.statuses);
    t.is(pieces.length, vector.statuses.length);
  }
  // Go takes any file whose name *contains* a sidecar's for it: a leftover of an interrupted write would be read.
  const onlyGo = ['x_persisty', '_persist.tmp', '_hashstates/sha256/1234'];
  const names: readonly string[] = Object.values(SIDECAR);
  for (const vector of ofKind('sidecar_recognition')) {
    const known = vector.type !== null && !onlyGo.includes(vector.file_name);
    t.is(names.includes(vector.file_name), known, vector.file_name);
    if (known) t.is(MOVABLE_SIDECARS.includes(vector.file_name), vector.movable!, vector.file_name);
  }
});

test('sidecars: values come back from their bytes (property)', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 }), (unix) => {
      t.is(decodeLastAccessTime(encodeLastAccessTime(unix)), unix);
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.nat(99)), (bits) => {
      const pieces = Bitfield.of(100, bits);
      t.deepEqual([...decodePieceStatus(encodePieceStatus(pieces))], [...pieces]);
    }),
  );
});
