import { readFileSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import { addrHashPeerId, digestHex, idToJson, parseDigest, parseInfoHash, parsePeerId } from '@kraken/core/content';
import { isKrakenError } from '@kraken/core/errors';
import {
  decodeAnnounceRequest,
  decodeAnnounceResponse,
  encodeAnnounceRequest,
  encodeAnnounceResponse,
  isDialable,
} from '@kraken/core/tracker';

interface JsonPeer {
  peer_id: number[];
  ip: string;
  port: number;
  origin: boolean;
  complete: boolean;
}
interface Case {
  kind: string;
  id: string;
  digest: string;
  info_hash: string;
  ip: string;
  port: number;
  origin: boolean;
  complete: boolean;
  request: { body: string };
  parsed_interval_ns: number;
  body: string;
  error: string | null;
  peers: (JsonPeer | null)[] | null;
  interval_ns: number;
}
const vectors = JSON.parse(
  readFileSync(new URL('../test/fixtures/vectors/announce.json', import.meta.url), 'utf8'),
) as { cases: Case[] };
const casesOf = (kind: string): Case[] => vectors.cases.filter((c) => c.kind === kind);

test('vectors: request bodies, both ways', (t) => {
  let used = 0;
  for (const c of casesOf('client_request')) {
    const request = {
      digest: parseDigest(c.digest),
      infoHash: parseInfoHash(c.info_hash),
      peer: {
        peerId: addrHashPeerId(c.ip, c.port),
        ip: c.ip,
        port: c.port,
        origin: c.origin,
        complete: c.complete,
      },
    };
    t.is(encodeAnnounceRequest(request), c.request.body, c.id);
    t.deepEqual(decodeAnnounceRequest(c.request.body), request, c.id);
    used++;
  }
  t.is(used, 12);
});

test('vectors: responses as the client reads them', (t) => {
  let used = 0;
  for (const c of casesOf('client_response_decode')) {
    used++;
    if (c.error !== null) {
      const error = t.throws(() => decodeAnnounceResponse(c.body), undefined, c.body);
      t.true(isKrakenError(error, 'request-invalid'), c.body);
      continue;
    }
    const answer = decodeAnnounceResponse(c.body);
    t.is(Math.round(answer.intervalMs * 1e6), c.interval_ns, c.body);
    const peers = answer.peers.map((peer) => ({
      peer_id: idToJson(peer.peerId),
      ip: peer.ip,
      port: peer.port,
      origin: peer.origin,
      complete: peer.complete,
    }));
    // Go keeps `null` entries as nil pointers; there is nothing in them to keep.
    t.deepEqual(
      peers,
      (c.peers ?? []).filter((peer) => peer !== null),
      c.body,
    );
  }
  t.is(used, 26);
});

const hex = (length: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'.split('')), { minLength: length, maxLength: length })
    .map((c) => c.join(''));
const peer = fc.record({
  peerId: hex(40).map(parsePeerId),
  ip: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  port: fc.integer({ min: 1, max: 65535 }),
  origin: fc.boolean(),
  complete: fc.boolean(),
});

test('what is written is read back', (t) => {
  const request = fc.record(
    {
      digest: hex(64).map((h) => parseDigest(`sha256:${h}`)),
      infoHash: hex(40).map(parseInfoHash),
      peer,
      event: fc.constant('stopped' as const),
    },
    { requiredKeys: ['digest', 'infoHash', 'peer'] },
  );
  fc.assert(fc.property(request, (value) => t.deepEqual(decodeAnnounceRequest(encodeAnnounceRequest(value)), value)));
  fc.assert(
    fc.property(fc.array(peer, { maxLength: 5 }), fc.integer({ min: 0, max: 1e6 }), (peers, intervalMs) =>
      t.deepEqual(decodeAnnounceResponse(encodeAnnounceResponse(peers, intervalMs)), { peers, intervalMs }),
    ),
  );
});

test('any text is an announce or a coded error', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      for (const decode of [decodeAnnounceRequest, decodeAnnounceResponse]) {
        try {
          decode(text);
        } catch (error) {
          t.true(isKrakenError(error, 'request-invalid'));
        }
      }
      t.pass();
    }),
  );
});

const digest = parseDigest(`sha256:${'ab'.repeat(32)}`);
const one = { peerId: parsePeerId('01'.repeat(20)), ip: '10.0.0.1', port: 1, origin: false, complete: true };

test('`peers` is null for those who get none, [] when there are none', (t) => {
  t.is(encodeAnnounceResponse(undefined, 3000), '{"peers":null,"interval":3000000000}\n');
  t.is(encodeAnnounceResponse([], 0.5), '{"peers":[],"interval":500000}\n');
});

test('the event is an extra key behind the known ones; other values are ignored', (t) => {
  const request = { digest, infoHash: parseInfoHash('02'.repeat(20)), peer: one };
  const plain = encodeAnnounceRequest(request);
  const stopped = encodeAnnounceRequest({ ...request, event: 'stopped' });
  t.is(stopped, plain.slice(0, -1) + ',"event":"stopped"}');
  t.is(decodeAnnounceRequest(stopped).event, 'stopped');
  for (const event of ['"paused"', '5', 'null', '{}']) {
    t.false('event' in decodeAnnounceRequest(`${plain.slice(0, -1)},"event":${event}}`), event);
  }
});

test('announces that name nobody who could be dialled are refused', (t) => {
  const body = (fields: string): string => `{"name":"${digestHex(digest)}"${fields}}`;
  const peerBody = (fields: string): string => body(`,"peer":{"peer_id":[1],${fields}}`);
  for (const text of [
    body(''),
    body(',"peer":null'),
    body(',"peer":{}'),
    peerBody('"ip":"","port":1'),
    peerBody('"ip":"a"'),
    peerBody('"ip":"a","port":-1'),
    peerBody('"ip":"a","port":65536'),
    peerBody(`"ip":"${'a'.repeat(256)}","port":1`),
  ]) {
    const error = t.throws(() => decodeAnnounceRequest(text), undefined, text);
    t.true(isKrakenError(error, 'request-invalid'), text);
    t.true(error.message.startsWith('json decode request: peer '), error.message);
  }
  t.notThrows(() => decodeAnnounceRequest(peerBody('"ip":"a","port":65535')));
  t.true(isDialable(one));
});

test('announces that are spelled almost as usual are read by the same rules as all others', (t) => {
  const id = Array.from({ length: 20 }, (_, n) => n * 13);
  const usual =
    `{"name":"${'ab'.repeat(32)}","digest":"sha256:${'ab'.repeat(32)}","info_hash":[${id.join()}],` +
    `"peer":{"peer_id":[${id.join()}],"ip":"10.0.0.1","port":16001,"origin":false,"complete":true}}`;
  const outcome = (text: string): unknown => {
    try {
      return decodeAnnounceRequest(text);
    } catch (error) {
      return error instanceof Error ? error.message : error;
    }
  };
  const changes: [string, string][] = [
    ['', ''],
    ['247]', '247],"more":1'],
    ['"complete":true}}', '"complete":true}} and more'],
    ['"complete":true}}', '"complete":true},"event":"stopped"}'],
    ['"complete":true}}', '"complete":true},"event":"started"}'],
    ['"complete":true}}', '"complete":true},"event":"stopped","event":"x"}'],
    ['"complete":true}}', '"complete":true,"zone":"z"}}'],
    ['"complete":true}}', '"complete":true},"peer":{"ip":"10.0.0.2"}}'],
    ['[0,13', '[00,13'],
    ['[0,13', '[0,013'],
    ['[0,13', '[0,256'],
    ['[0,13', '[0,,13'],
    ['[0,13', '[13'],
    ['[0,13', '[1,0,13'],
    [',247]', ',247,]'],
    ['16001', '0'],
    ['16001', '65535'],
    ['16001', '65536'],
    ['16001', '016001'],
    ['10.0.0.1', ''],
    ['10.0.0.1', 'fe80::1'],
    ['10.0.0.1', 'x'.repeat(256)],
    ['sha256:ab', 'sha256:AB'],
    ['sha256:ab', 'sha512:ab'],
    ['"name":"ab', '"name":"zz'],
    ['"name"', '"Name"'],
  ];
  for (const [from, to] of changes) {
    const text = usual.replaceAll(from, to);
    // With a space in front nothing is as usual.
    t.deepEqual(outcome(text), outcome(` ${text}`), `${from} → ${to}`);
  }
});
