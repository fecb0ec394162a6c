import test from 'ava';
import fc from 'fast-check';
import {
  addrHashPeerId,
  getArray,
  getBoolean,
  getField,
  getInteger,
  getObject,
  getString,
  GoJsonNumber,
  GoJsonObject,
  goJsonString,
  idFromJson,
  idToJson,
  idToJsonText,
  parseGoJson,
  parseInfoHash,
  parseMetaInfo,
  parsePeerId,
  parsePeerIdFactory,
  peerContextFromJson,
  peerContextToJson,
  peerInfoFromJson,
  peerInfoToJson,
} from '@kraken/core/content';
import { isKrakenError } from '@kraken/core/errors';
import { codeOf, readVectors } from './vector-files.js';

interface PeerIdCase {
  kind: string;
  ip: string;
  port: number;
  peer_id: string;
  json: number[];
  input: string;
  error?: string | null;
  info_hash: string;
  factory: string;
  result: string;
  a: string;
  b: string;
  a_lt_b: boolean;
  b_lt_a: boolean;
  origin: boolean;
  zone: string;
  cluster: string;
  complete: boolean;
  peer_context_json: string;
  peer_info_json: string;
}

test('peer ids and info hashes: every case of Go', (t) => {
  const { cases } = readVectors('peerid') as { cases: PeerIdCase[] };
  let used = 0;
  for (const vector of cases) {
    used++;
    switch (vector.kind) {
      case 'addr_hash': {
        const id = addrHashPeerId(vector.ip, vector.port);
        t.is<string, string>(id, vector.peer_id);
        t.deepEqual(idToJson(id), vector.json);
        t.is(idToJsonText(id), JSON.stringify(vector.json));
        break;
      }
      case 'parse_hex':
      case 'parse_infohash_hex': {
        const parse = vector.kind === 'parse_hex' ? parsePeerId : parseInfoHash;
        if (vector.error === null) t.is<string, string>(parse(vector.input), vector.peer_id || vector.info_hash);
        else
          t.is(
            codeOf(() => parse(vector.input)),
            'request-invalid',
            vector.input,
          );
        break;
      }
      case 'bad_factory':
        t.is(t.throws(() => parsePeerIdFactory(vector.factory)).message, vector.error!);
        break;
      case 'json_decode': {
        const decode = (): string => idFromJson(parseGoJson(vector.input), '09'.repeat(20));
        if (vector.error === null) t.is(decode(), vector.result, vector.input);
        else t.is(codeOf(decode), 'request-invalid', vector.input);
        break;
      }
      case 'less_than': {
        const [a, b] = [parsePeerId(vector.a), parsePeerId(vector.b)];
        t.deepEqual([a < b, b < a], [vector.a_lt_b, vector.b_lt_a]);
        break;
      }
      case 'peer_context': {
        const { ip, port, zone, cluster, origin, complete } = vector;
        if (vector.error !== undefined) {
          const create = (): unknown => [parsePeerIdFactory(vector.factory), addrHashPeerId(ip, port)];
          t.is(t.throws(create).message, vector.error!);
          break;
        }
        const peerId = addrHashPeerId(ip, port);
        t.is(peerContextToJson({ ip, port, peerId, zone, cluster, origin }), vector.peer_context_json);
        t.is(peerInfoToJson({ ip, port, peerId, origin, complete }), vector.peer_info_json);
        t.deepEqual(peerContextFromJson(parseGoJson(vector.peer_context_json)), {
          ip,
          port,
          peerId,
          zone,
          cluster,
          origin,
        });
        t.deepEqual(peerInfoFromJson(parseGoJson(vector.peer_info_json)), { ip, port, peerId, origin, complete });
        break;
      }
      default:
        t.fail(vector.kind);
    }
  }
  t.is(used, 63);
  t.is(parsePeerIdFactory('random'), 'random');
  t.is(parsePeerIdFactory('addr_hash'), 'addr_hash');
  t.is(
    codeOf(() => peerInfoFromJson(parseGoJson('{"port":"1"}'))),
    'request-invalid',
  );
  t.is(
    codeOf(() => peerInfoFromJson(parseGoJson('[]'))),
    'request-invalid',
  );
});

/** A value of ours as `JSON.parse` would give it. */
function plain(value: unknown): unknown {
  if (value instanceof GoJsonNumber) return Number(value.text);
  if (value instanceof GoJsonObject)
    return Object.fromEntries(value.entries.map(([key, field]) => [key, plain(field)]));
  // Like Go, we replace lone surrogates.
  if (typeof value === 'string') return value.replace(/\p{Surrogate}/gu, '\ufffd');
  return Array.isArray(value) ? value.map(plain) : value;
}

test('JSON: accepts and rejects what JSON.parse does (property)', (t) => {
  const json = fc.json({ maxDepth: 4 });
  const damaged = fc.tuple(
    json,
    fc.nat(60),
    fc.constantFrom('', ',', '"', '{', ']', '0', '\\', '\u0001', 'e', '-', '.'),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        json,
        damaged.map(([text, at, character]) => text.slice(0, at) + character + text.slice(at + 1)),
      ),
      (text) => {
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          t.is(
            codeOf(() => parseGoJson(text)),
            'request-invalid',
            text,
          );
          return;
        }
        // `__proto__` is an ordinary key for us; JSON.parse keeps it as an own property too, fromEntries as well.
        t.deepEqual(plain(parseGoJson(text)), plain(expected), text);
      },
    ),
    { numRuns: 1000 },
  );
});

test('JSON: fields by the rules of Go', (t) => {
  const object = parseGoJson(
    '{"a":1,"A":2,"\u212aey":"k","ſ":"s","n":null,"b":true,"b":null,"o":{"x":1,"y":2},"O":{"X":3},"l":[1],"f":1.0}',
  ) as GoJsonObject;
  t.is(getInteger(object, 'a'), 2, 'of duplicates the last wins, whatever its case');
  t.is(getString(object, 'key'), 'k');
  t.is(getString(object, 'S'), 's');
  t.is(getString(object, 'n'), '');
  t.is(getField(object, 'n'), undefined);
  t.true(getBoolean(object, 'B'), 'null leaves a field alone');
  t.deepEqual(
    [getInteger(getObject(object, 'o'), 'x'), getInteger(getObject(object, 'o'), 'y')],
    [3, 2],
    'structs merge',
  );
  t.deepEqual(getArray(object, 'L'), [1]);
  t.deepEqual(getArray(object, 'absent'), []);
  for (const wrong of [
    (): unknown => getInteger(object, 'f'),
    (): unknown => getInteger(object, 'a', 0, 1),
    (): unknown => getString(object, 'a'),
    (): unknown => getBoolean(object, 'a'),
    (): unknown => getArray(object, 'a'),
    (): unknown => getObject(object, 'a'),
    (): unknown => getInteger(parseGoJson('{"a":"x","a":1}') as GoJsonObject, 'a'),
  ]) {
    t.is(codeOf(wrong), 'request-invalid', String(wrong));
  }
});

test('JSON: trailing bytes, depth and unusual strings', (t) => {
  t.is(
    codeOf(() => parseGoJson('1 x')),
    'request-invalid',
  );
  t.is(parseGoJson('1 x', { allowTrailing: true }), 1);
  t.is(
    codeOf(() => parseGoJson('[1,]', { allowTrailing: true })),
    'request-invalid',
  );
  t.is(
    codeOf(() => parseGoJson('['.repeat(64) + ']'.repeat(64))),
    undefined,
  );
  t.is(
    codeOf(() => parseGoJson('['.repeat(66) + ']'.repeat(66))),
    'request-invalid',
  );
  t.is(
    codeOf(() => parseGoJson('['.repeat(1_000_000))),
    'request-invalid',
  );
  t.is(parseGoJson('"\\ud800x"'), '\ufffdx');
  t.is(parseGoJson('"\\ud83d\\ude00"'), '😀');
  t.is((parseGoJson('9007199254740993') as GoJsonNumber).text, '9007199254740993');
  t.is(
    goJsonString('<a>&"\\\u2028\u2029\u0001\t\ud800'),
    '"\\u003ca\\u003e\\u0026\\"\\\\\\u2028\\u2029\\u0001\\t\ufffd"',
  );
});

test('JSON: only KrakenError is thrown for any text (property)', (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...Array.from('{}[]",:0123456789.eE+-tfn rulas\\u\n')), maxLength: 40 }),
      (text) => {
        for (const parse of [parseGoJson, parseMetaInfo]) {
          try {
            parse(text);
          } catch (error) {
            if (!isKrakenError(error)) return false;
          }
        }
        return true;
      },
    ),
    { numRuns: 1000 },
  );
  t.pass();
});
