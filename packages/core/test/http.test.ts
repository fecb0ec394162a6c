import test from 'ava';
import fc from 'fast-check';
import {
  escapePathSegment,
  isDefaultEscaping,
  matchPath,
  parseContentRange,
  parseGoBool,
  parseOciContentRange,
  parseRangeHeader,
} from '@kraken/core/http';
import { codeOf } from './vector-files.js';

const DIGEST = 'sha256:289314c356bc2a19802c3e31505506db30ea81a0bcaea4ec3e079524c8ac3cf5';
const METAINFO = '/namespace/{namespace}/blobs/{digest}/metainfo';

test('matchPath: parameters as recorded from Go servers', (t) => {
  const namespaceOf = (segment: string): string | undefined =>
    matchPath(METAINFO, `/namespace/${segment}/blobs/${DIGEST}/metainfo`)?.['namespace'];
  t.is(namespaceOf('library'), 'library');
  t.is(namespaceOf('test%2Falpine:latest'), 'test/alpine:latest');
  t.is(namespaceOf('test%252Falpine'), 'test/alpine', 'escaped twice by the client');
  t.is(namespaceOf('test%252Falpine%253Alatest'), 'test/alpine:latest');
  t.is(namespaceOf('a%2Fb%252Fc'), 'a/b%2Fc', 'decoded once: the path is not in default escaping');
  t.is(namespaceOf('a+b'), 'a+b');
  t.is(namespaceOf('a%20b'), 'a b');
  t.is(namespaceOf('%C3%BC%E6%9C%A8'), 'ü木');
  t.is(namespaceOf(''), '', 'the handler says that it is required');
  t.is(namespaceOf('test/alpine'), undefined);
  t.deepEqual(matchPath(METAINFO, `/namespace/ns/blobs/${DIGEST.replace(':', '%3A')}/metainfo`), {
    namespace: 'ns',
    digest: DIGEST,
  });
  t.deepEqual(matchPath('/tags/{tag}', '/tags/a+b:1'), { tag: 'a+b:1' });
  t.is(matchPath('/tags/{tag}', '/tags/'), undefined, 'a trailing parameter is not empty');
  t.is(matchPath('/tags/{tag}', '/tags/a/'), undefined);
  t.is(matchPath('/tags/{tag}', '/tags'), undefined);
  t.is(matchPath('/tags/{tag}', '/t%61gs/x'), undefined, 'static segments are compared as they came');
  t.deepEqual(matchPath('/health', '/health'), {});
  t.is(matchPath('/health', '/health/'), undefined);
});

test('matchPath: bad escapes are reported in the words of Go', (t) => {
  const message = (path: string): string =>
    t.throws(() => matchPath('/tags/{tag}', path), { code: 'request-invalid' }).message;
  t.is(message('/tags/a%25b:1'), 'path unescape tag: invalid URL escape "%b:"');
  t.is(message('/tags/a%25b'), 'path unescape tag: invalid URL escape "%b"');
  t.is(message('/tags/a%zz'), 'path unescape tag: invalid URL escape "%zz"');
  t.is(message('/tags/a%'), 'path unescape tag: invalid URL escape "%"');
  t.is(message('/tags/%FF'), 'path unescape tag: invalid UTF-8');
  t.is(
    codeOf(() => matchPath('/health/{x}', '/other/%zz')),
    undefined,
    'only in a path that matches',
  );
});

test('escapePathSegment: as recorded from Go clients', (t) => {
  const cases = {
    'library/alpine': 'library%2Falpine',
    'test/alpine:latest': 'test%2Falpine:latest',
    'a b': 'a%20b',
    'a%2Fb': 'a%252Fb',
    ü木: '%C3%BC%E6%9C%A8',
    'a;b,c?d#e': 'a%3Bb%2Cc%3Fd%23e',
    'a+b&c=d@e$f': 'a+b&c=d@e$f',
    '.*': '.%2A',
    "!'()~-_": '%21%27%28%29~-_',
    '\ud800': '%EF%BF%BD',
    '': '',
  };
  for (const [text, expected] of Object.entries(cases)) t.is(escapePathSegment(text), expected, text);
});

test('a segment escaped once or twice comes back when it has no percent sign (property)', (t) => {
  const text = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    .filter((value) => !value.includes('%') && !/\p{Surrogate}/u.test(value));
  fc.assert(
    fc.property(text, (value) => {
      const once = escapePathSegment(value);
      t.deepEqual(matchPath('/x/{p}', `/x/${once}`), { p: value });
      t.deepEqual(matchPath('/x/{p}', `/x/${escapePathSegment(once)}`), { p: value });
    }),
  );
  t.true(isDefaultEscaping('/a/b:c@d/%20'));
  for (const path of ['/a%2Fb', '/%3a', '/a%61', '/(a)', '/é', '/a%2', '/%7E']) t.false(isDefaultEscaping(path), path);
});

test('parseGoBool knows the twelve spellings', (t) => {
  for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True']) t.true(parseGoBool(text));
  for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) t.false(parseGoBool(text));
  for (const text of ['', 'yes', 'tRUE', ' true']) t.is(parseGoBool(text), undefined);
});

test('parseRangeHeader: RFC 9110', (t) => {
  t.deepEqual(parseRangeHeader('bytes=0-4', 10), { start: 0, end: 5 });
  t.deepEqual(parseRangeHeader('bytes=5-', 10), { start: 5, end: 10 });
  t.deepEqual(parseRangeHeader('Bytes=5-99999999999999999999', 10), { start: 5, end: 10 });
  t.deepEqual(parseRangeHeader('bytes=-3', 10), { start: 7, end: 10 });
  t.deepEqual(parseRangeHeader('bytes=-30', 10), { start: 0, end: 10 });
  for (const header of ['bytes=10-', 'bytes=10-12', 'bytes=-0'])
    t.is(parseRangeHeader(header, 10), 'unsatisfiable', header);
  t.is(parseRangeHeader('bytes=0-', 0), 'unsatisfiable');
  t.is(parseRangeHeader('bytes=-5', 0), 'unsatisfiable');
  for (const header of [
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=4-3',
    'bytes=0-1,3-4',
    'items=0-1',
    'bytes=-1-2',
  ]) {
    t.is(parseRangeHeader(header, 10), undefined, header ?? 'absent');
  }
});

test('parseContentRange: end exclusive, errors in the words of Go', (t) => {
  t.deepEqual(parseContentRange('0-100'), { start: 0, end: 100 });
  t.deepEqual(parseContentRange('7-7'), { start: 7, end: 7 });
  const message = (header: string | undefined): string =>
    t.throws(() => parseContentRange(header), { code: 'request-invalid' }).message;
  t.is(message(undefined), 'no Content-Range header');
  t.is(message('0,19'), 'cannot parse Content-Range header "0,19": expected format "start-end"');
  t.is(message('-1-5'), 'cannot parse Content-Range header "-1-5": expected format "start-end"');
  t.is(
    message('bytes 0-19/20'),
    'cannot parse start of range in Content-Range header "bytes 0-19/20": strconv.ParseInt: parsing "bytes 0": invalid syntax',
  );
  t.is(
    message('0-'),
    'cannot parse end of range in Content-Range header "0-": strconv.ParseInt: parsing "": invalid syntax',
  );
  t.regex(message('0-9223372036854775808'), /value out of range$/);
});

test('parseOciContentRange: end inclusive on the wire', (t) => {
  t.deepEqual(parseOciContentRange('0-99'), { start: 0, end: 100 });
  t.deepEqual(parseOciContentRange('5-5'), { start: 5, end: 6 });
  t.is(
    codeOf(() => parseOciContentRange('5-4')),
    'range-invalid',
  );
  t.is(
    codeOf(() => parseOciContentRange('0-9007199254740993')),
    'range-invalid',
  );
  for (const header of ['', 'bytes 0-1/2', '0-', '-1', '1'])
    t.is(
      codeOf(() => parseOciContentRange(header)),
      'request-invalid',
      header,
    );
});
