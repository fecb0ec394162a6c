/**
 * What a hostile peer can send to a running node: every input that ends or upsets a Go node, and random frames. The
 * node must live, and each connection that broke the protocol must be closed.
 */
import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { Bitfield } from '@kraken/core/content';
import { Random } from '@kraken/core/random';
import { decodeHandshake, decodeMessage, encodeHandshake, encodeMessage } from '@kraken/core/wire';
import { MemoryTracker, startOrigin, type TestNode } from './client-kit.js';
import { handshakeOf, RawPeer, testBlob } from './host-kit.js';

const TEN = testBlob(10, 4 * 1024 * 1024, Buffer.from('0123456789'));

/** Varint of a number as protobuf writes an int32 or uint64: negative ones as ten bytes. */
function varint(value: number | bigint): Buffer {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Buffer.from(bytes);
}
const int = (field: number, value: number): Buffer => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field: number, value: Uint8Array | string): Buffer => {
  const body = Buffer.from(value as Uint8Array);
  return Buffer.concat([varint((field << 3) | 2), varint(body.length), body]);
};
const frame = (...parts: Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(4);
  header.writeUInt32BE(body.length);
  return Buffer.concat([header, body]);
};
const header = (length: number): Buffer => {
  const four = Buffer.alloc(4);
  four.writeUInt32BE(length);
  return four;
};
/** A message of `type` whose submessage has field number `field`. */
const typed = (type: number, field: number, ...inner: Uint8Array[]): Buffer =>
  frame(int(2, type), bytes(field, Buffer.concat(inner)));
const bitset = (length: bigint, ...words: bigint[]): Buffer => {
  const out = Buffer.alloc(8 + 8 * words.length);
  out.writeBigUInt64BE(length, 0);
  words.forEach((word, n) => out.writeBigUInt64BE(word, 8 + 8 * n));
  return out;
};

interface Fields {
  infoHash?: string;
  name?: string;
  peerId?: string;
  bitfieldBytes?: Buffer;
  remote?: Buffer;
}
const PEER = 'ab'.repeat(20);
const handshakeFrame = (fields: Fields): Buffer =>
  frame(
    bytes(
      3,
      Buffer.concat([
        bytes(2, fields.infoHash ?? TEN.metainfo.infoHash),
        bytes(3, fields.name ?? TEN.digest.slice(7)),
        bytes(4, fields.peerId ?? PEER),
        bytes(5, fields.bitfieldBytes ?? bitset(1n, 0n)),
        bytes(6, 'lab/ten'),
        ...(fields.remote === undefined
          ? []
          : [bytes(7, Buffer.concat([bytes(1, 'cd'.repeat(20)), bytes(2, fields.remote)]))]),
      ]),
    ),
  );

/** `closed`: without a word. `open`: still there, silent. `error`: still there, answered by an ERROR message. */
type Fate = 'closed' | 'open' | 'error' | 'accepted';

/** By the names of the recorded runs; `own` is the node's peer id. */
const ESTABLISHED: Record<string, [Fate, Buffer]> = {
  'PIECE_REQUEST without submessage': ['closed', frame(int(2, 1))],
  'PIECE_PAYLOAD without submessage': ['closed', frame(int(2, 2))],
  'ANNOUCE_PIECE without submessage': ['closed', frame(int(2, 3))],
  'CANCEL_PIECE without submessage': ['closed', frame(int(2, 4))],
  'ERROR without submessage': ['closed', frame(int(2, 5))],
  'COMPLETE without submessage': ['closed', frame(int(2, 6))],
  'BITFIELD without submessage': ['open', frame(int(2, 0))],
  'zero-length frame (type BITFIELD) on established conn': ['open', frame()],
  'unknown type 99': ['open', frame(int(2, 99))],
  'PIECE_PAYLOAD length=-1': ['closed', typed(2, 5, int(4, -1))],
  'ANNOUCE_PIECE index=-1': ['closed', typed(3, 6, int(2, -1))],
  'ANNOUCE_PIECE index=N (1)': ['open', typed(3, 6, int(2, 1))],
  'ANNOUCE_PIECE index=2^31-1': ['open', typed(3, 6, int(2, 2 ** 31 - 1))],
  'PIECE_REQUEST index=-1 length=0': ['closed', typed(1, 4, int(2, -1))],
  'PIECE_REQUEST index=1 (=N) length=0': ['error', typed(1, 4, int(2, 1))],
  'PIECE_REQUEST index=0 length=9 (wrong)': ['error', typed(1, 4, int(4, 9))],
  'PIECE_REQUEST index=0 offset=1 length=9': ['error', typed(1, 4, int(3, 1), int(4, 9))],
  'PIECE_PAYLOAD index=-1 length=0': ['closed', typed(2, 5, int(2, -1))],
  'PIECE_PAYLOAD index=5 length=0': ['closed', typed(2, 5, int(2, 5))],
  'PIECE_PAYLOAD unsolicited, complete torrent': [
    'open',
    Buffer.concat([typed(2, 5, int(4, 10)), Buffer.from('9876543210')]),
  ],
  'PIECE_PAYLOAD length=2^31-1 (no data)': ['closed', typed(2, 5, int(4, 2 ** 31 - 1))],
  'ERROR index=-1 code=0': ['closed', typed(5, 8, int(3, -1))],
  'frame length 32769 established': ['closed', header(32_769)],
  'garbage protobuf established': ['closed', frame(Buffer.from('ffffffffffffffffffff', 'hex'))],
  'invalid UTF-8 in ERROR text': ['closed', typed(5, 8, bytes(2, Buffer.from([0xff, 0xfe])))],
};

const HANDSHAKES: Record<string, [Fate, (own: string) => Buffer]> = {
  'handshake bitfield bit>=N set (L=2,{1})': ['closed', () => handshakeFrame({ bitfieldBytes: bitset(2n, 2n) })],
  'handshake bitfield L=1 with stray padding bit 5': [
    'accepted',
    () => handshakeFrame({ bitfieldBytes: bitset(1n, 32n) }),
  ],
  'handshake bitfield L=0 (8 zero bytes)': ['closed', () => handshakeFrame({ bitfieldBytes: bitset(0n) })],
  'handshake bitfield empty bytes': ['closed', () => handshakeFrame({ bitfieldBytes: Buffer.alloc(0) })],
  'handshake bitset header L=2^33 (1 GiB)': ['closed', () => handshakeFrame({ bitfieldBytes: bitset(1n << 33n) })],
  'handshake bitset header L=2^40 (128 GiB)': ['closed', () => handshakeFrame({ bitfieldBytes: bitset(1n << 40n) })],
  'handshake bitset header L=2^63': ['closed', () => handshakeFrame({ bitfieldBytes: bitset(1n << 63n) })],
  'handshake bitset header L=2^64-1': ['closed', () => handshakeFrame({ bitfieldBytes: bitset((1n << 64n) - 1n) })],
  'remote bitset header L=2^40': ['closed', () => handshakeFrame({ remote: bitset(1n << 40n) })],
  'handshake frame type COMPLETE': ['closed', () => frame(int(2, 6))],
  'handshake frame BITFIELD w/o submessage': ['closed', () => frame()],
  'handshake frame length 32769': ['closed', () => header(32_769)],
  'handshake frame length 0xffffffff': ['closed', () => header(0xffffffff)],
  'handshake wrong infohash (20 zero bytes)': ['closed', () => handshakeFrame({ infoHash: '00'.repeat(20) })],
  'handshake unknown name': ['closed', () => handshakeFrame({ name: '12'.repeat(32) })],
  // One blob has one name here: upper case is read as lower case.
  'handshake upper-case name': ['accepted', () => handshakeFrame({ name: TEN.digest.slice(7).toUpperCase() })],
  'handshake bad peer id': ['closed', () => handshakeFrame({ peerId: 'zz' })],
  'handshake own peer id of target': ['closed', (own) => handshakeFrame({ peerId: own })],
};

async function origin(t: ExecutionContext): Promise<TestNode> {
  return startOrigin(t, new MemoryTracker(), TEN);
}

/** A peer that has shaken hands; waits for slots that closed connections still hold. */
async function shaken(port: number, peer: number): Promise<RawPeer> {
  const raw = await RawPeer.dial(port);
  raw.write(encodeHandshake(handshakeOf(TEN, peer, new Bitfield(1), 'lab/ten')));
  decodeHandshake(await raw.frame());
  return raw;
}

/** The node serves its blob to a peer that behaves. */
async function stillServes(t: ExecutionContext, { node }: TestNode, peer: number): Promise<void> {
  const raw = await shaken(node.port, peer);
  raw.write(encodeMessage({ type: 'piece-request', piece: 0, offset: 0, length: 10 }));
  const reply = decodeMessage(await raw.frame());
  t.is(reply.type, 'piece-payload');
  t.is((await raw.read(10)).toString(), '0123456789');
  raw.socket.destroy();
  node.probe();
}

test('the recorded crash inputs: all of them are here', (t) => {
  const text = readFileSync(new URL('../test/fixtures/captures/crash-origin-limiter-off.txt', import.meta.url), 'utf8');
  const names = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.slice(16).replace(/ +(ALIVE|CRASHED).*$/, ''));
  t.is(names.length, 43);
  t.deepEqual([...names].sort(), [...Object.keys(ESTABLISHED), ...Object.keys(HANDSHAKES)].sort());
});

test('crash inputs on an established connection', async (t) => {
  const target = await origin(t);
  let peer = 100;
  for (const [name, [fate, input]] of Object.entries(ESTABLISHED)) {
    const raw = await shaken(target.node.port, peer++);
    raw.write(input);
    if (fate === 'closed') {
      t.is((await raw.end()).length, 0, name);
    } else {
      if (fate === 'error') {
        const reply = decodeMessage(await raw.frame());
        t.is(reply.type, 'error', name);
      }
      // Still in step: a good request is answered.
      raw.write(encodeMessage({ type: 'piece-request', piece: 0, offset: 0, length: 10 }));
      t.is(decodeMessage(await raw.frame()).type, 'piece-payload', name);
      raw.socket.destroy();
    }
  }
  await stillServes(t, target, peer);
});

test('crash inputs as a handshake', async (t) => {
  const target = await origin(t);
  for (const [name, [fate, input]] of Object.entries(HANDSHAKES)) {
    const raw = await RawPeer.dial(target.node.port);
    raw.write(input(target.node.context.peerId));
    if (fate === 'closed') {
      t.is((await raw.end()).length, 0, name);
    } else {
      t.is(decodeHandshake(await raw.frame()).digest, TEN.digest, name);
      raw.socket.destroy();
      await raw.end();
    }
  }
  await stillServes(t, target, 9);
});

/** A body that is random, or a good one with random damage. */
function randomBody(random: Random): Buffer {
  const length = random.below(8) === 0 ? random.below(2000) : random.below(40);
  const body = Buffer.from(Array.from({ length }, () => random.below(256)));
  if (random.below(2) === 0) return body;
  const good = [
    handshakeFrame({}),
    typed(1, 4, int(4, 10)),
    typed(3, 6, int(2, random.uint32())),
    typed(5, 8, bytes(2, 'text'), int(3, 1)),
    typed(2, 5, int(4, random.uint32())),
  ][random.below(5)] as Buffer;
  const damaged = Buffer.from(good.subarray(4));
  for (let n = 0; n <= random.below(3); n++) damaged[random.below(damaged.length)] = random.below(256);
  return damaged;
}

/** Whether our codec calls it malformed; what the node must then do is known. */
const isMalformed = (body: Buffer, first: boolean): boolean => {
  try {
    if (first) decodeHandshake(body);
    else decodeMessage(body);
    return false;
  } catch {
    return true;
  }
};

test('ten thousand random frames: malformed ones end their connection, the node lives', async (t) => {
  const target = await origin(t);
  const seeds = new Random(20_260_101);
  let frames = 0;
  let malformed = 0;
  let peer = 1000;
  const lane = async (): Promise<void> => {
    const random = seeds.split();
    while (frames < 10_000) {
      const first = random.below(4) !== 0;
      const raw = first ? await RawPeer.dial(target.node.port) : await shaken(target.node.port, peer++);
      // Frames up to the first malformed one go out together.
      const batch: Buffer[] = [];
      let bad = false;
      while (!bad && batch.length < 20) {
        const body = randomBody(random);
        bad = isMalformed(body, first && batch.length === 0);
        batch.push(frame(body));
      }
      frames += batch.length;
      raw.write(...batch);
      if (bad) {
        malformed++;
        await raw.end();
      }
      raw.socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: 6 }, lane));
  t.true(frames >= 10_000);
  t.true(malformed > 5000, `${malformed} of ${frames} malformed`);
  await stillServes(t, target, 1);
});
