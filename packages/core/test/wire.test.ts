import { readdirSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import { Bitfield, createMetaInfo, crc32, digestFromHex, parseInfoHash, parsePeerId } from '@kraken/core/content';
import { isKrakenError } from '@kraken/core/errors';
import {
  decodeHandshake,
  decodeMessage,
  encodeHandshake,
  encodeLayerMessage,
  encodeMessage,
  encodePayloadHeader,
  FRAME_HEADER_BYTES,
  FRAME_LENGTH_MAX,
  FrameDecoder,
  hasCapability,
  LAYER_CAPABILITY,
  type Handshake,
  type PayloadHeader,
  type PeerMessage,
} from '@kraken/core/wire';
import { blobOf, codeOf, fromHex, readFixture, readVectors, toHex, type BlobRule } from './vector-files.js';

interface Numbers {
  index: number;
  offset: number;
  length: number;
  digest?: string;
}
interface GoMessage {
  version: string;
  type: number;
  bitfield: unknown;
  pieceRequest: Numbers | null;
  piecePayload: Numbers | null;
  announcePiece: { index: number } | null;
  cancelPiece: { index: number } | null;
  error: { error: string; index: number; code: number } | null;
  complete: object | null;
}
interface FrameCase {
  kind: 'encode' | 'decode';
  id: string;
  body: string;
  frame?: string;
  error?: string | null;
  message?: GoMessage;
}
interface Framing {
  note: string;
  header?: number;
  body_bytes_supplied?: number;
  error: string | null;
  bytes_left_after_frame?: number;
}
interface HandshakeCase {
  kind: 'encode' | 'decode';
  id: string;
  // encode
  self_peer_id: string;
  blob: BlobRule;
  piece_length: number;
  info_hash: string;
  name: string;
  num_pieces: number;
  set_bits: number[];
  namespace: string;
  neighbours: { peer_id: string }[];
  frame: string;
  // decode
  body: string;
  error: string | null;
  peer_id: string;
  bitfield_length: number;
}

const frames = readVectors('frames') as { cases: FrameCase[]; framing: Framing[] };
const handshakes = readVectors('handshake') as { cases: HandshakeCase[] };

/** What Go's message is to us; `undefined` where we refuse it because it would end a Go process. */
function valueOf(message: GoMessage): PeerMessage | PayloadHeader | undefined {
  const numbers = (part: { index: number; offset?: number; length?: number } | null): boolean =>
    part !== null && part.index >= 0 && (part.offset ?? 0) >= 0 && (part.length ?? 0) >= 0;
  const { pieceRequest: request, piecePayload: payload, announcePiece: announce, cancelPiece: cancel, error } = message;
  switch (message.type) {
    case 1:
      if (request === null || !numbers(request)) return undefined;
      return { type: 'piece-request', piece: request.index, offset: request.offset, length: request.length };
    case 2:
      if (payload === null || !numbers(payload)) return undefined;
      return { type: 'piece-payload', piece: payload.index, offset: payload.offset, length: payload.length };
    case 3:
      return announce !== null && numbers(announce) ? { type: 'announce-piece', piece: announce.index } : undefined;
    case 4:
      return cancel !== null && numbers(cancel) ? { type: 'cancel-piece', piece: cancel.index } : undefined;
    case 5:
      if (error === null || !numbers(error)) return undefined;
      return { type: 'error', piece: error.index, code: error.code, text: error.error };
    case 6:
      return { type: 'complete' };
    case 0:
      return { type: 'ignored', says: 'handshake on an established connection' };
    default:
      return { type: 'ignored', says: `unknown message type ${message.type}` };
  }
}

/** Cases whose result differs from Go on purpose. */
const DECODE_DIFFERS: Record<string, string> = {
  'd-wrongwire-sub':
    'Go makes an announce of piece 0 out of a submessage of the wrong wire type; it would be a false claim',
};

test('frames: every body is read as Go reads it', (t) => {
  let used = 0;
  let refused = 0;
  for (const vector of frames.cases) {
    const body = fromHex(vector.body);
    if (vector.id in DECODE_DIFFERS || (vector.error ?? null) !== null) {
      t.is(
        codeOf(() => decodeMessage(body)),
        'frame-malformed',
        vector.id,
      );
    } else {
      const expected = valueOf(vector.message as GoMessage);
      if (expected === undefined) {
        refused++;
        t.is(
          codeOf(() => decodeMessage(body)),
          'frame-malformed',
          vector.id,
        );
      } else {
        t.deepEqual(decodeMessage(body), expected, vector.id);
      }
    }
    used++;
  }
  t.is(used, 107);
  t.is(refused, 5, 'negative numbers and a missing submessage');
});

/** Messages that we cannot be made to send. */
const NOT_ENCODED: Record<string, string> = {
  'payload-digest': 'a payload with offset and digest: Go never sets either',
  'complete-with-submessage': 'Go sends COMPLETE without its submessage',
  'all-default': 'an empty message has no meaning',
  'bitfield-empty-submessage': 'not a valid handshake',
  'bitfield-utf8-namespace': 'not a valid handshake',
  'bitfield-map-empty-value': 'not a valid handshake',
  'bitfield-map-empty-key': 'not a valid handshake',
  'bitfield-map-three-deterministic': 'not a valid handshake',
  'unknown-type': 'not a message of ours',
  'type-300': 'not a message of ours',
  version: 'the version field goes with handshakes only',
  everything: 'several submessages in one message',
};
/** Numbers that end a Go process. */
const REFUSED = ['request-negative', 'announce--1'];

test('frames: every message is written as Go writes it', (t) => {
  let used = 0;
  let skipped = 0;
  const encode = (message: GoMessage): Uint8Array => {
    const { pieceRequest, piecePayload } = message;
    if (piecePayload !== null) return encodePayloadHeader({ piece: piecePayload.index, length: piecePayload.length });
    if (pieceRequest !== null) {
      const { index, offset, length } = pieceRequest;
      return encodeMessage({ type: 'piece-request', piece: index, offset, length });
    }
    if (message.announcePiece !== null)
      return encodeMessage({ type: 'announce-piece', piece: message.announcePiece.index });
    return encodeMessage(valueOf(message) as PeerMessage);
  };
  for (const vector of frames.cases) {
    if (vector.kind !== 'encode') continue;
    if (vector.id in NOT_ENCODED) {
      skipped++;
    } else if (REFUSED.includes(vector.id)) {
      t.throws(() => encode(vector.message as GoMessage), { instanceOf: RangeError }, vector.id);
      used++;
    } else {
      t.is(toHex(encode(vector.message as GoMessage)), vector.frame as string, vector.id);
      used++;
    }
  }
  t.is(used, 34);
  t.is(skipped, Object.keys(NOT_ENCODED).length);
  t.throws(() => encodeMessage({ type: 'ignored', says: '' }), { instanceOf: TypeError });
});

test('framing: limits and short reads as in Go', (t) => {
  for (const {
    note,
    header,
    body_bytes_supplied: supplied = 0,
    error,
    bytes_left_after_frame: left,
  } of frames.framing) {
    const decoder = new FrameDecoder();
    if (header === undefined) {
      t.deepEqual(decoder.next(new Uint8Array(note.startsWith('only 2') ? 2 : 0), 0).body, undefined, note);
      t.is(decoder.midFrame, note.startsWith('only 2'));
      continue;
    }
    const data = new Uint8Array(FRAME_HEADER_BYTES + supplied + (left ?? 0));
    new DataView(data.buffer).setUint32(0, header);
    if (error?.startsWith('message exceeds') === true) {
      const thrown = t.throws(() => decoder.next(data, 0));
      t.true(isKrakenError(thrown, 'frame-too-large'));
      t.is(thrown.message, error, note);
      continue;
    }
    const { consumed, body } = decoder.next(data, 0);
    t.is(body?.length, error === null ? header : undefined, note);
    t.is(data.length - consumed, left ?? 0, note);
    t.is(decoder.midFrame, error !== null, note);
  }
  t.is(frames.framing.length, 8);
});

/** Feeds `data` in chunks that end at `cuts` and returns copies of the bodies. */
function cut(data: Uint8Array, cuts: readonly number[]): { bodies: string[]; midFrame: boolean } {
  const decoder = new FrameDecoder();
  const bodies: string[] = [];
  let from = 0;
  for (const to of [...cuts, data.length]) {
    const chunk = data.slice(from, to);
    for (let at = 0; at < chunk.length;) {
      const { consumed, body } = decoder.next(chunk, at);
      at += consumed;
      if (body !== undefined) bodies.push(toHex(body));
    }
    from = to;
  }
  return { bodies, midFrame: decoder.midFrame };
}

test('framing: every vector frame survives a cut at every position, and byte by byte', (t) => {
  let cuts = 0;
  for (const { frame } of [...frames.cases, ...handshakes.cases]) {
    if (frame === undefined) continue;
    const data = fromHex(frame + '000000021006');
    const expected = { bodies: [frame.slice(8), '1006'], midFrame: false };
    for (let at = 0; at <= data.length; at++, cuts++) {
      const got = cut(data, [at]);
      if (got.bodies.length !== 2 || got.bodies[0] !== expected.bodies[0] || got.bodies[1] !== '1006') {
        t.deepEqual(got, expected, `${frame} cut at ${at}`);
      }
    }
    t.deepEqual(cut(data, [...data.keys()]), expected);
  }
  t.true(cuts > 3000);
});

test('framing: any frames in any chunks (property)', (t) => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });
  fc.assert(
    fc.property(bodies, fc.array(fc.nat(2500), { maxLength: 12 }), (contents, positions) => {
      const parts = contents.map((body) =>
        Buffer.concat([Buffer.from([0, 0, body.length >> 8, body.length & 255]), body]),
      );
      const data = new Uint8Array(Buffer.concat(parts));
      const cuts = positions.map((position) => Math.min(position, data.length)).sort((a, b) => a - b);
      const { bodies: got, midFrame } = cut(data, cuts);
      return !midFrame && got.length === contents.length && got.every((hex, i) => hex === toHex(contents[i]!));
    }),
  );
  t.pass();
});

test('framing: a body that came in parts does not keep the chunk, one that came whole is a view', (t) => {
  const decoder = new FrameDecoder();
  const chunk = fromHex('0000000210060000000210');
  const first = decoder.next(chunk, 0);
  t.is(first.body?.buffer, chunk.buffer);
  t.is(decoder.next(chunk, first.consumed).body, undefined);
  chunk.fill(0xff);
  const second = decoder.next(fromHex('06aa'), 0);
  t.is(toHex(second.body ?? new Uint8Array()), '1006');
  t.is(second.consumed, 1);
});

test('handshake: every encode case of Go', (t) => {
  let used = 0;
  for (const vector of handshakes.cases) {
    if (vector.kind !== 'encode') continue;
    const blob = blobOf(vector.blob);
    const sums = Array.from({ length: vector.num_pieces }, (_, i) =>
      crc32(blob.subarray(i * vector.piece_length, (i + 1) * vector.piece_length)),
    );
    const metainfo = createMetaInfo({
      digest: digestFromHex(vector.name),
      length: blob.length,
      pieceLength: vector.piece_length,
      pieceSums: sums,
    });
    t.is<string, string>(metainfo.infoHash, vector.info_hash);
    const handshake: Handshake = {
      peerId: parsePeerId(vector.self_peer_id),
      digest: metainfo.digest,
      infoHash: metainfo.infoHash,
      namespace: vector.namespace,
      bitfield: Bitfield.of(vector.num_pieces, vector.set_bits),
      // The recorded entries are sorted by key.
      neighbours: vector.neighbours.map(({ peer_id }) => parsePeerId(peer_id)).sort(),
      version: '',
    };
    // Values in the map mean nothing: those of the `-real` cases are read, but we always write empty ones.
    if (!vector.id.endsWith('-real')) t.is(toHex(encodeHandshake(handshake)), vector.frame, vector.id);
    const read = decodeHandshake(fromHex(vector.frame).subarray(4));
    t.deepEqual({ ...read, bitfield: [...read.bitfield] }, { ...handshake, bitfield: vector.set_bits }, vector.id);
    t.is(read.bitfield.length, vector.num_pieces);
    t.is(read.bitfield.count, vector.set_bits.length);
    used++;
  }
  t.is(used, 10);
});

test('handshake: every decode case of Go', (t) => {
  let used = 0;
  for (const vector of handshakes.cases) {
    if (vector.kind !== 'decode') continue;
    used++;
    const body = fromHex(vector.body);
    if (vector.error !== null) {
      t.is(
        codeOf(() => decodeHandshake(body)),
        'handshake-invalid',
        vector.id,
      );
      continue;
    }
    const read = decodeHandshake(body);
    t.is<string, string>(read.peerId, vector.peer_id, vector.id);
    t.is<string, string>(read.infoHash, vector.info_hash, vector.id);
    // Go keeps upper case in names; we normalise.
    t.is<string, string>(read.digest, `sha256:${vector.name.toLowerCase()}`, vector.id);
    t.is(read.bitfield.length, vector.bitfield_length, vector.id);
    t.is(read.namespace, vector.namespace, vector.id);
    t.is(new Set(read.neighbours).size, read.neighbours.length, vector.id);
  }
  t.is(used, 24);
});

const SAMPLE: Handshake = {
  peerId: parsePeerId('98c2b1164e7c9889057941fffcaa67a45f5501ba'),
  digest: digestFromHex('84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882'),
  infoHash: parseInfoHash('e47bb58c90c505eb2b1bc2f79115eb187bf52aed'),
  namespace: 'ns',
  bitfield: new Bitfield(4),
  neighbours: [],
  version: '',
};

test('handshake: a bitset that claims more bits than it brings is refused without allocation', (t) => {
  const frame = toHex(encodeHandshake(SAMPLE));
  for (const header of ['0000010000000000', '0000000200000000', 'ffffffffffffffff', '0000000000000041']) {
    const body = fromHex(frame.replace('2a100000000000000004', `2a10${header}`)).subarray(4);
    t.is(
      codeOf(() => decodeHandshake(body)),
      'handshake-invalid',
      header,
    );
    const map = `3a340a28${SAMPLE.peerId
      .split('')
      .map((c) => c.charCodeAt(0).toString(16))
      .join('')}1208${header}`;
    const inner = frame.slice(14) + map;
    const length = inner.length / 2;
    const withMap = fromHex(`1a${((length & 0x7f) | 0x80).toString(16)}0${length >> 7}${inner}`);
    t.is(
      codeOf(() => decodeHandshake(withMap)),
      'handshake-invalid',
      `map ${header}`,
    );
  }
  const padded = fromHex(
    frame.replace('2a1000000000000000040000000000000000', '2a10000000000000000480000000000000f5'),
  ).subarray(4);
  const { bitfield } = decodeHandshake(padded);
  t.deepEqual([[...bitfield], bitfield.count], [[0, 2], 2], 'padding bits are cleared');
});

test('handshake: too many pieces or neighbours do not fit a frame', (t) => {
  t.true(encodeHandshake({ ...SAMPLE, bitfield: new Bitfield(256_000) }).length <= FRAME_LENGTH_MAX + 4);
  t.is(
    codeOf(() => encodeHandshake({ ...SAMPLE, bitfield: new Bitfield(270_000) })),
    'frame-too-large',
  );
  const neighbours = Array.from({ length: 700 }, (_, i) => parsePeerId(i.toString(16).padStart(40, '0')));
  t.is(
    codeOf(() => encodeHandshake({ ...SAMPLE, neighbours })),
    'frame-too-large',
  );
  t.is(
    codeOf(() => encodeMessage({ type: 'error', piece: 0, code: 0, text: 'x'.repeat(40_000) })),
    'frame-too-large',
  );
});

const int32 = fc.nat(2 ** 31 - 1);
const message: fc.Arbitrary<PeerMessage> = fc.oneof(
  fc.record({ type: fc.constant('piece-request' as const), piece: int32, offset: int32, length: int32 }),
  fc.record({ type: fc.constant('announce-piece' as const), piece: int32 }),
  fc.record({ type: fc.constant('cancel-piece' as const), piece: int32 }),
  fc.record({
    type: fc.constant('error' as const),
    piece: int32,
    code: int32,
    text: fc.string({ unit: 'binary', maxLength: 40 }),
  }),
  fc.constant<PeerMessage>({ type: 'complete' }),
);

test('messages and payload headers come back from their frames (property)', (t) => {
  fc.assert(
    fc.property(message, (value) => {
      t.deepEqual(decodeMessage(encodeMessage(value).subarray(4)), value);
    }),
  );
  fc.assert(
    fc.property(int32, int32, (piece, length) => {
      const read = decodeMessage(encodePayloadHeader({ piece, length }).subarray(4));
      t.deepEqual(read, { type: 'piece-payload', piece, offset: 0, length });
    }),
  );
});

const hexOf = (length: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => toHex(bytes));

test('handshakes come back from their frames (property)', (t) => {
  const handshake = fc
    .record({
      peerId: hexOf(20).map(parsePeerId),
      digest: hexOf(32).map(digestFromHex),
      infoHash: hexOf(20).map(parseInfoHash),
      namespace: fc.string({ unit: 'binary', maxLength: 30 }),
      pieces: fc.array(fc.boolean(), { maxLength: 200 }),
      neighbours: fc.uniqueArray(hexOf(20).map(parsePeerId), { maxLength: 5 }),
      version: fc.string({ unit: 'binary', maxLength: 30 }),
    })
    .map(({ pieces, ...rest }) => ({
      ...rest,
      bitfield: Bitfield.of(
        pieces.length,
        [...pieces.keys()].filter((i) => pieces[i]),
      ),
    }));
  fc.assert(
    fc.property(handshake, (value) => {
      const frame = encodeHandshake(value);
      const read = decodeHandshake(frame.subarray(4));
      t.deepEqual({ ...read, bitfield: [...read.bitfield] }, { ...value, bitfield: [...value.bitfield] });
      t.deepEqual([read.bitfield.length, read.bitfield.count], [value.bitfield.length, value.bitfield.count]);
    }),
  );
});

/** Random bytes, and valid bodies with a few bytes changed: they reach deeper. */
const anyBody = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc
    .tuple(
      fc.constantFrom(
        ...frames.cases.map(({ body }) => body),
        ...handshakes.cases.map(({ kind, body, frame }) => (kind === 'encode' ? frame.slice(8) : body)),
      ),
      fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 4 }),
      fc.nat(400),
    )
    .map(([hex, changes, keep]) => {
      const bytes = fromHex(hex);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return keep % 3 === 0 ? bytes.subarray(0, keep) : bytes;
    }),
);

test('decoders survive any bytes: only KrakenError is thrown, numbers are never negative (property)', (t) => {
  fc.assert(
    fc.property(anyBody, (body) => {
      for (const decode of [decodeMessage, decodeHandshake]) {
        try {
          const value = decode(body);
          if ('piece' in value && (value.piece < 0 || ('length' in value && value.length < 0))) return false;
        } catch (error) {
          if (!isKrakenError(error)) return false;
        }
      }
      return true;
    }),
    { numRuns: 3000 },
  );
  t.pass();
});

/** Re-encoding a recorded body gives the same bytes; map entries may come in another order. */
function reencode(body: Uint8Array, isHandshake: boolean): string {
  if (isHandshake) return toHex(encodeHandshake(decodeHandshake(body)).subarray(4));
  const value = decodeMessage(body);
  if (value.type === 'layer-request' || value.type === 'layer-hashes')
    return toHex(encodeLayerMessage(value).subarray(4));
  return toHex((value.type === 'piece-payload' ? encodePayloadHeader(value) : encodeMessage(value)).subarray(4));
}

function sortedMap(hex: string): string {
  const entries = hex.match(/3a340a28.{80}12080{16}/g) ?? [];
  return [hex.replaceAll(/3a340a28.{80}12080{16}/g, ''), ...entries.sort()].join('|');
}

test('captures: every frame of every recorded session is read and written back byte for byte', (t) => {
  const files = readdirSync(new URL('../test/fixtures/captures/', import.meta.url)).filter((file) =>
    /^p2p-.*\.hex$/.test(file),
  );
  const types: Record<string, number> = {};
  let cutFrames = 0;
  let cutPayloads = 0;
  for (const file of files) {
    const raw = file.endsWith('.raw.hex');
    const lines = readFixture(`captures/${file}`).trim().split('\n');
    const greeted = new Set<string>();
    for (const line of lines) {
      const [direction, content] = raw ? ['raw', line] : (line.split(' ') as [string, string]);
      const [hex, omitted] = content.split('+') as [string, string | undefined];
      const data = fromHex(hex);
      const decoder = new FrameDecoder();
      for (let at = 0; at < data.length;) {
        const { consumed, body } = decoder.next(data, at);
        at += consumed;
        if (body === undefined) break;
        const isHandshake = !greeted.has(direction);
        greeted.add(direction);
        t.is(sortedMap(reencode(body, isHandshake)), sortedMap(toHex(body)), file);
        const value = isHandshake ? { type: 'handshake' as const } : decodeMessage(body);
        types[value.type] = (types[value.type] ?? 0) + 1;
        if (value.type === 'piece-payload') {
          const came = omitted === undefined ? data.length - at : Number(omitted);
          if (came < value.length) cutPayloads++;
          at += value.length;
        }
      }
      if (decoder.midFrame) cutFrames++;
    }
  }
  t.is(files.length, 17);
  t.is(cutFrames, 1, 'one session ends inside a frame');
  t.is(cutPayloads, 6, 'six end inside a payload');
  t.deepEqual(Object.keys(types).sort(), ['announce-piece', 'complete', 'handshake', 'piece-payload', 'piece-request']);
  t.is(types['handshake'], 30);
});

test('layer messages survive the wire, and bodies that carry part of a hash do not', (t) => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.integer({ min: 0, max: 1000 }), (first, count, hashes) => {
      const request = { type: 'layer-request' as const, first, count };
      t.deepEqual(decodeMessage(encodeLayerMessage(request).subarray(4)), request);
      const answer = { type: 'layer-hashes' as const, first, hashes: new Uint8Array(32 * hashes).fill(first & 0xff) };
      t.deepEqual(decodeMessage(encodeLayerMessage(answer).subarray(4)), answer);
    }),
    { numRuns: 50 },
  );
  t.is(toHex(encodeLayerMessage({ type: 'layer-request', first: 0, count: 3 })), '0000000610' + '0e72022003');
  t.is(toHex(encodeLayerMessage({ type: 'layer-hashes', first: 0, hashes: new Uint8Array(0) })), '00000004100f7a00');
  t.is(
    codeOf(() => encodeLayerMessage({ type: 'layer-hashes', first: 0, hashes: new Uint8Array(32768) })),
    'frame-too-large',
  );
  t.is(
    codeOf(() => decodeMessage(fromHex('100f7a042a020102'))),
    'frame-malformed',
    'two bytes are no hash',
  );
  t.is(
    codeOf(() => decodeMessage(fromHex('100e'))),
    'frame-malformed',
    'no submessage',
  );
});

test('capabilities are the words behind the name of the protocol', (t) => {
  t.true(hasCapability('kraken-ts/1 layer', LAYER_CAPABILITY));
  t.true(hasCapability('kraken-ts/2 other layer more', LAYER_CAPABILITY));
  t.false(hasCapability('kraken-ts/1', LAYER_CAPABILITY));
  t.false(hasCapability('', LAYER_CAPABILITY));
  t.false(hasCapability('layer', LAYER_CAPABILITY));
});
