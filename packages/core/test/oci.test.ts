import { parseDigest, shardId, tryParseDigest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  isRepository,
  isTag,
  MANIFEST_ACCEPT,
  MANIFEST_BYTES_MAX,
  manifestBlobsUnknown,
  nextLink,
  ociErrorBody,
  ociErrorsOf,
  OCI_INDEX,
  OCI_MANIFEST,
  pageOf,
  parseManifest,
  parsePageQuery,
  parseReference,
  parseTagName,
} from '@kraken/core/oci';
import test from 'ava';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';

interface ManifestCase {
  readonly kind: 'manifest';
  readonly id: string;
  readonly body: string;
  readonly error: string | null;
  readonly payload_media_type?: string;
  readonly references?: readonly string[];
  readonly get_manifest_references_error?: string | null;
}
interface DigestCase {
  readonly kind: 'digest_parse';
  readonly input: string;
  readonly error: string | null;
  readonly string?: string;
  readonly shard_id?: string;
}
type Case = ManifestCase | DigestCase | { readonly kind: 'supported_manifest_types'; readonly accept_header: string };

const { cases } = JSON.parse(
  readFileSync(new URL('../test/fixtures/vectors/registry.json', import.meta.url), 'utf8'),
) as { cases: readonly Case[] };

/** Where we differ from Go on purpose, and why. */
const DIFFERENT: Readonly<Record<string, string>> = {
  'schema-version-2.0': 'Go refuses the number 2.0; a JSON number has one value here, so it is accepted',
  'big-5MiB-padding': 'Go has no limit in its parser; ours is 4 MiB (tested below)',
};

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return isKrakenError(error) ? error.code : `not coded: ${String(error)}`;
  }
  return 'no error';
};

test('manifests are classified and read as Go does', (t) => {
  let used = 0;
  for (const entry of cases) {
    if (entry.kind !== 'manifest' || entry.id in DIFFERENT) continue;
    used += 1;
    for (const body of [entry.body, new TextEncoder().encode(entry.body)]) {
      const refused = entry.error ?? entry.get_manifest_references_error ?? null;
      if (refused !== null) {
        t.is(
          codeOf(() => parseManifest(body)),
          'manifest-invalid',
          entry.id,
        );
        continue;
      }
      const manifest = parseManifest(body);
      t.is(manifest.mediaType, entry.payload_media_type ?? '', entry.id);
      t.deepEqual(
        manifest.references,
        (entry.references ?? []).map((reference) => reference.toLowerCase() as never),
        entry.id,
      );
    }
  }
  t.is(used, 46 - Object.keys(DIFFERENT).length);
});

test('the cases left out behave as documented', (t) => {
  const body = cases.find((entry) => entry.kind === 'manifest' && entry.id === 'schema-version-2.0') as ManifestCase;
  t.is(parseManifest(body.body).references.length, 3);
  const padded = (length: number): string =>
    `{"schemaVersion":2,"pad":"${'a'.repeat(length)}","mediaType":"${OCI_INDEX}","manifests":[]}`;
  const frame = padded(0).length;
  t.is(parseManifest(padded(MANIFEST_BYTES_MAX - frame)).kind, 'index');
  t.is(
    codeOf(() => parseManifest(padded(MANIFEST_BYTES_MAX - frame + 1))),
    'manifest-too-large',
  );
});

test('digests parse as in Go, in one spelling', (t) => {
  let used = 0;
  for (const entry of cases) {
    if (entry.kind !== 'digest_parse') continue;
    used += 1;
    if (entry.error === null) {
      const digest = parseDigest(entry.input);
      t.is(String(digest), entry.string?.toLowerCase() ?? '');
      t.is(shardId(digest), entry.shard_id?.toLowerCase() ?? '');
    } else {
      t.is(
        codeOf(() => parseDigest(entry.input)),
        'digest-invalid',
        entry.input,
      );
      t.is(tryParseDigest(entry.input), undefined);
    }
  }
  t.is(used, 14);
});

test('the Accept header names the four manifest types in order', (t) => {
  const entries = cases.filter((entry) => entry.kind === 'supported_manifest_types');
  t.is(entries.length, 1);
  t.deepEqual(
    [MANIFEST_ACCEPT],
    entries.map((entry) => entry.accept_header),
  );
});

const D1 = `sha256:${'1'.repeat(64)}`;
const D2 = `sha256:${'2'.repeat(64)}`;

test('Content-Type decides for a body without mediaType and must agree with one that has it', (t) => {
  const empty = '{"schemaVersion":2,"manifests":[]}';
  t.is(parseManifest(empty, OCI_INDEX).kind, 'index');
  t.is(parseManifest(empty, `${OCI_INDEX}; charset=utf-8`).mediaType, OCI_INDEX);
  const image = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: { digest: D1 } });
  t.is(parseManifest(image, 'application/json').mediaType, OCI_MANIFEST);
  t.is(
    codeOf(() => parseManifest(image, OCI_INDEX)),
    'manifest-invalid',
  );
});

test('subject, artifact type and annotations of OCI 1.1', (t) => {
  const body = JSON.stringify({
    schemaVersion: 2,
    artifactType: 'application/x',
    config: { digest: D1, mediaType: 'application/c' },
    layers: [{ digest: D2 }],
    subject: { digest: D2, mediaType: OCI_MANIFEST, size: 7 },
    annotations: { a: 'b', n: 1 },
  });
  const manifest = parseManifest(body);
  t.deepEqual(manifest.subject, { digest: D2 as never, mediaType: OCI_MANIFEST, size: 7 });
  t.is(manifest.artifactType, 'application/x');
  t.is(manifest.configMediaType, 'application/c');
  t.deepEqual(manifest.annotations, { a: 'b' });
  t.is(
    codeOf(() => parseManifest(body.replace(`"subject":{"digest":"${D2}"`, '"subject":{"digest":"zz"'))),
    'manifest-invalid',
  );
});

test('no bytes and no JSON value make the parser fail with anything but its own codes', (t) => {
  const coded = (run: () => unknown): boolean =>
    ['no error', 'manifest-invalid', 'manifest-too-large'].includes(codeOf(run));
  const fieldsArb = fc.record(
    {
      schemaVersion: fc.oneof(fc.constant(2), fc.jsonValue()),
      mediaType: fc.oneof(fc.constantFrom(OCI_INDEX, OCI_MANIFEST), fc.jsonValue()),
      config: fc.oneof(fc.constant({ digest: D1 }), fc.jsonValue()),
      layers: fc.jsonValue(),
      manifests: fc.jsonValue(),
      subject: fc.jsonValue(),
      annotations: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  fc.assert(fc.property(fieldsArb, (value) => coded(() => parseManifest(JSON.stringify(value)))));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => coded(() => parseManifest(bytes))));
  t.pass();
});

test('repository names and tags', (t) => {
  for (const name of ['a', 'library/alpine', 'a.b/c_d/e__f/g-h/i--j', '0', 'docker.io/library/x', 'a'.repeat(255)]) {
    t.true(isRepository(name), name);
  }
  for (const name of [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'A',
    'a b',
    'a_',
    '_a',
    'a___b',
    'a..b',
    '.',
    '..',
    '../a',
    'a/..',
    'host:5000/a',
    'a%2fb',
    'a\n',
    'a'.repeat(256),
  ]) {
    t.false(isRepository(name), JSON.stringify(name));
  }
  for (const tag of ['latest', '_', '1', 'A.b-c_d', 'x'.repeat(128)]) t.true(isTag(tag), tag);
  for (const tag of ['', '.', '..', '-a', '.a', 'a/b', 'a:b', 'a b', 'a\n', 'x'.repeat(129)])
    t.false(isTag(tag), JSON.stringify(tag));
});

test('references', (t) => {
  t.deepEqual(parseReference('a/b'), { repository: 'a/b' });
  t.deepEqual(parseReference('a/b:c'), { repository: 'a/b', tag: 'c' });
  t.deepEqual(parseReference(`a@${D1}`), { repository: 'a', digest: D1 as never });
  t.deepEqual(parseReference(`a:c@${D1}`), { repository: 'a', tag: 'c', digest: D1 as never });
  t.is(
    codeOf(() => parseReference('a:')),
    'tag-invalid',
  );
  t.is(
    codeOf(() => parseReference(':a')),
    'name-invalid',
  );
  t.is(
    codeOf(() => parseReference('a@sha512:ab')),
    'digest-invalid',
  );
  t.deepEqual(parseTagName('a/b:c'), { repository: 'a/b', tag: 'c' });
  t.is(
    codeOf(() => parseTagName('a/b:..')),
    'tag-invalid',
  );
  t.is(
    codeOf(() => parseTagName('a/b')),
    'tag-invalid',
  );
});

test('pages of any size give every name once, in order', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,3}$/)), fc.integer({ min: 1, max: 5 }), (names, n) => {
      const seen: string[] = [];
      let last: string | undefined;
      for (let pages = 0; pages <= names.length; pages += 1) {
        const page = pageOf(names, last === undefined ? { n } : { n, last });
        if (page.names.length > n) return false;
        seen.push(...page.names);
        last = page.next;
        if (last === undefined) break;
      }
      return JSON.stringify(seen) === JSON.stringify([...names].sort());
    }),
  );
  t.deepEqual(pageOf(['a', 'b'], { n: 0 }), { names: [] });
  t.deepEqual(pageOf(['b', 'a'], {}), { names: ['a', 'b'] });
  t.deepEqual(pageOf(['a', 'b'], { n: 2 }), { names: ['a', 'b'] }, 'a full last page has no next');
  t.deepEqual(pageOf(['a', 'c'], { last: 'b' }), { names: ['c'] }, 'last need not exist');
  t.deepEqual(parsePageQuery('3', 'x'), { n: 3, last: 'x' });
  t.deepEqual(parsePageQuery(null, ''), {});
  for (const n of ['-1', 'x', '1.5', '1e3', '9999999999'])
    t.is(
      codeOf(() => parsePageQuery(n, null)),
      'request-invalid',
      n,
    );
  t.is(nextLink('/v2/a/tags/list', 2, 'b+c'), '</v2/a/tags/list?n=2&last=b%2Bc>; rel="next"');
});

test('error bodies', (t) => {
  t.is(
    ociErrorBody(ociErrorsOf(manifestBlobsUnknown([D1, D2]))),
    `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":"${D1}"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":"${D2}"}]}\n`,
  );
  t.deepEqual(ociErrorsOf(new KrakenError('name-invalid', 'bad', { detail: { name: 'X' } })), [
    { code: 'NAME_INVALID', message: 'bad', detail: { name: 'X' } },
  ]);
  const secret = 'GET http://10.0.0.1/secret 500';
  for (const code of ['internal', 'upstream-failed', 'network-error'] as const) {
    t.false(
      ociErrorBody(ociErrorsOf(new KrakenError(code, secret, { detail: { url: secret } }))).includes('10.0.0.1'),
      code,
    );
  }
});
