/** The data path of one connection, with a scripted machine: payloads in and out, order on the wire, failures. */
import test, { type ExecutionContext } from 'ava';
import { Bitfield, pieceLengthAt } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { SwarmEffect, SwarmEvent } from '@kraken/core/swarm';
import { decodeHandshake, decodeMessage, encodeHandshake, encodeMessage, encodePayloadHeader } from '@kraken/core/wire';
import {
  eventually,
  FakeFile,
  handshakeOf,
  ManualClock,
  MIB,
  RawPeer,
  startHost,
  testBlob,
  testPeerId,
  type HostUnderTest,
  type TestBlob,
} from './host-kit.js';

/** Accepts every handshake of `blob` and permits every payload. */
function permissive(under: HostUnderTest, blob: TestBlob, have: Bitfield): void {
  under.machine.answer = (event: SwarmEvent): SwarmEffect[] => {
    switch (event.type) {
      case 'handshake-received':
        return [{ type: 'accept', conn: event.conn, handshake: handshakeOf(blob, 1, have) }];
      case 'payload-started':
        return [
          { type: 'receive-piece', conn: event.conn, digest: blob.digest, piece: event.piece, length: event.length },
        ];
      default:
        return [];
    }
  };
}

/** A host with `blob` open, and a raw peer that has shaken hands with it. */
async function connected(
  t: ExecutionContext,
  blob: TestBlob,
  options: Parameters<typeof startHost>[0] & { content?: Buffer } = {},
): Promise<{ under: HostUnderTest; file: FakeFile; peer: RawPeer }> {
  const under = await startHost(options);
  t.teardown(() => under.close());
  const file = new FakeFile(blob.metainfo, options.content);
  under.store.files.set(blob.digest, file);
  under.host.torrents.add(blob.digest, file, 'ns');
  permissive(under, blob, file.have);
  const peer = await RawPeer.dial(under.port);
  t.teardown(() => void peer.socket.destroy());
  peer.write(encodeHandshake(handshakeOf(blob, 2, new Bitfield(file.have.length), 'ns')));
  decodeHandshake(await peer.frame());
  return { under, file, peer };
}

const pieceOf = (blob: TestBlob, piece: number): Buffer => {
  const start = piece * blob.metainfo.pieceLength;
  return blob.data.subarray(start, start + pieceLengthAt(blob.metainfo, piece));
};

/** Frames and payloads of a peer, in order, until `pieces` payloads have come. */
async function readPayloads(
  peer: RawPeer,
  pieces: number,
): Promise<{ kinds: string[]; payloads: Map<number, Buffer> }> {
  const kinds: string[] = [];
  const payloads = new Map<number, Buffer>();
  while (payloads.size < pieces) {
    const message = decodeMessage(await peer.frame());
    kinds.push(message.type);
    if (message.type === 'piece-payload') payloads.set(message.piece, await peer.read(message.length));
  }
  return { kinds, payloads };
}

const released = (under: HostUnderTest): Promise<boolean> =>
  eventually(() => under.shared.pools.receive.inUse === 0 && under.shared.pools.send.inUse === 0);

for (const direct of [true, false]) {
  test(`two hosts exchange pieces (${direct ? 'reads into our buffers' : "'data' events"})`, async (t) => {
    const blob = testBlob(10 * MIB + 12_345, 3 * MIB);
    const seeder = await startHost({ peer: 1, direct });
    const leecher = await startHost({ peer: 2 });
    t.teardown(() => Promise.all([seeder.close(), leecher.close()]));
    const source = new FakeFile(blob.metainfo, blob.data);
    const target = new FakeFile(blob.metainfo);
    seeder.host.torrents.add(blob.digest, source, 'ns');
    leecher.host.torrents.add(blob.digest, target, 'ns');
    const pieces = target.have.length;
    seeder.machine.answer = (event) => {
      if (event.type === 'handshake-received') {
        return [{ type: 'accept', conn: event.conn, handshake: handshakeOf(blob, 1, source.have) }];
      }
      if (event.type !== 'message-received' || event.message.type !== 'piece-request') return [];
      const { piece, length } = event.message;
      return [{ type: 'send-piece', conn: event.conn, digest: blob.digest, piece, length }];
    };
    leecher.machine.answer = (event) => {
      if (event.type === 'dial-succeeded') {
        return Array.from({ length: pieces }, (_, piece): SwarmEffect => {
          const length = pieceLengthAt(blob.metainfo, piece);
          return { type: 'send', conn: event.conn, message: { type: 'piece-request', piece, offset: 0, length } };
        });
      }
      if (event.type !== 'payload-started') return [];
      return [
        { type: 'receive-piece', conn: event.conn, digest: blob.digest, piece: event.piece, length: event.length },
      ];
    };
    leecher.host.perform({
      type: 'dial',
      conn: 2,
      peer: testPeerId(1),
      ip: '127.0.0.1',
      port: seeder.port,
      handshake: handshakeOf(blob, 2, target.have, 'ns'),
      timeoutMs: 5000,
    });
    await leecher.machine.until('piece-stored', pieces);
    t.true(target.data.equals(blob.data));
    t.deepEqual(
      leecher.machine.all('piece-stored').map(({ piece, verdict }) => [piece, verdict]),
      Array.from({ length: pieces }, (_, piece) => [piece, 'ok']),
    );
    await seeder.machine.until('piece-sent', pieces);
    const received = seeder.machine.all('handshake-received')[0];
    t.is(received?.handshake.namespace, 'ns');
    t.is(received?.ip, '127.0.0.1');
    t.is((received?.conn ?? 0) % 2, 1);
    leecher.host.perform({ type: 'close', conn: 2, reason: 'both-complete' });
    t.is((await seeder.machine.until('connection-closed')).reason, 'remote-closed');
    t.is(leecher.machine.all('connection-closed')[0]?.reason, 'both-complete');
    t.true(await released(seeder));
    t.true(await released(leecher));
    t.is(leecher.shared.counters.payloadBytesIn, blob.data.length);
  });
}

test('a payload in arbitrary segments, glued to frames, is stored and the frames around it are seen', async (t) => {
  const blob = testBlob(MIB + 777, MIB);
  const { under, file, peer } = await connected(t, blob);
  const bytes = Buffer.concat([
    encodeMessage({ type: 'announce-piece', piece: 1 }),
    encodePayloadHeader({ piece: 0, length: MIB }),
    pieceOf(blob, 0),
    encodeMessage({ type: 'announce-piece', piece: 0 }),
    encodePayloadHeader({ piece: 1, length: 777 }),
    pieceOf(blob, 1),
    encodeMessage({ type: 'complete' }),
  ]);
  for (let at = 0, step = 1; at < bytes.length; at += step, step = Math.min(step * 3, 200_000)) {
    peer.write(bytes.subarray(at, at + step));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await under.machine.until('message-received', 3);
  await under.machine.until('piece-stored', 2);
  t.true(file.data.equals(blob.data));
  t.deepEqual(
    under.machine.all('message-received').map(({ message }) => message.type),
    ['announce-piece', 'announce-piece', 'complete'],
  );
  t.true(await released(under));
});

test('a piece whose sum is wrong is reported and not marked; the stream stays in step', async (t) => {
  const blob = testBlob(2 * MIB, MIB);
  const { under, file, peer } = await connected(t, blob);
  const bad = Buffer.from(pieceOf(blob, 0));
  bad[MIB - 1] = (bad[MIB - 1] as number) ^ 1;
  peer.write(encodePayloadHeader({ piece: 0, length: MIB }), bad);
  peer.write(encodePayloadHeader({ piece: 1, length: MIB }), pieceOf(blob, 1));
  await under.machine.until('piece-stored', 2);
  const verdicts = new Map(under.machine.all('piece-stored').map(({ piece, verdict }) => [piece, verdict]));
  t.deepEqual([verdicts.get(0), verdicts.get(1)], ['bad-sum', 'ok']);
  t.deepEqual([...file.have], [1]);
});

test('a discarded payload is dropped whole, and what follows is understood', async (t) => {
  const blob = testBlob(2 * MIB, MIB);
  const { under, peer } = await connected(t, blob);
  const { answer } = under.machine;
  under.machine.answer = (event) =>
    event.type === 'payload-started'
      ? [{ type: 'discard-payload', conn: event.conn, length: event.length }]
      : answer(event);
  peer.write(
    encodePayloadHeader({ piece: 0, length: MIB }),
    pieceOf(blob, 0),
    encodePayloadHeader({ piece: 5, length: 0 }),
  );
  peer.write(encodeMessage({ type: 'complete' }));
  t.is((await under.machine.until('message-received')).message.type, 'complete');
  t.is(under.machine.all('payload-started').length, 2);
  t.is(under.machine.all('piece-stored').length, 0);
  t.is(under.shared.counters.payloadBytesIn, MIB);
});

test('a disk that fails in the middle of a payload gives one verdict, and the connection goes on', async (t) => {
  const blob = testBlob(8 * MIB, 4 * MIB);
  const { under, file, peer } = await connected(t, blob);
  file.writeError = new KrakenError('disk-full');
  peer.write(encodePayloadHeader({ piece: 0, length: 4 * MIB }), pieceOf(blob, 0));
  t.is((await under.machine.until('piece-stored')).verdict, 'disk-full');
  file.writeError = undefined;
  peer.write(encodePayloadHeader({ piece: 1, length: 4 * MIB }), pieceOf(blob, 1), encodeMessage({ type: 'complete' }));
  await under.machine.until('message-received');
  t.is((await under.machine.until('piece-stored', 2)).verdict, 'ok');
  t.deepEqual([...file.have], [1]);
  t.true(await released(under));
});

test('at most four writes are in flight; a slow disk stops the reading', async (t) => {
  const blob = testBlob(16 * MIB, 16 * MIB);
  const { under, file, peer } = await connected(t, blob);
  file.stallWrites();
  peer.write(encodePayloadHeader({ piece: 0, length: 16 * MIB }), blob.data);
  t.true(await eventually(() => file.writesInFlight === 4));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.is(file.writesInFlight, 4);
  t.true(under.shared.counters.payloadBytesIn < 3 * MIB);
  file.resumeWrites();
  t.is((await under.machine.until('piece-stored')).verdict, 'ok');
  t.is(file.writesInFlightMax, 4);
  t.true(file.data.equals(blob.data));
});

test('a peer that vanishes in the middle of a payload: aborted after the writes, then closed, and no buffer is lost', async (t) => {
  const blob = testBlob(8 * MIB, 8 * MIB);
  const { under, file, peer } = await connected(t, blob);
  file.stallWrites();
  peer.write(encodePayloadHeader({ piece: 0, length: 8 * MIB }), blob.data.subarray(0, MIB + 100_000));
  t.true(await eventually(() => file.writesInFlight === 2));
  peer.socket.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.is(under.machine.all('piece-stored').length, 0, 'a verdict while writes are in flight');
  t.is(under.machine.all('connection-closed').length, 0);
  file.resumeWrites();
  await under.machine.until('connection-closed');
  const order = under.machine.seen
    .map(({ type }) => type)
    .filter((type) => type === 'piece-stored' || type === 'connection-closed');
  t.deepEqual(order, ['piece-stored', 'connection-closed']);
  t.is(under.machine.all('piece-stored')[0]?.verdict, 'aborted');
  t.true(await released(under));
  t.is(file.holds, 1);
});

test('buffers run out: payloads wait for each other and all arrive', async (t) => {
  const blob = testBlob(6 * MIB, MIB);
  const { under, file, peer } = await connected(t, blob, { receiveBuffers: 1 });
  const others = [peer];
  for (let n = 3; n <= 4; n++) {
    const other = await RawPeer.dial(under.port);
    t.teardown(() => void other.socket.destroy());
    other.write(encodeHandshake(handshakeOf(blob, n, new Bitfield(6))));
    await other.frame();
    others.push(other);
  }
  others.forEach((other, n) => {
    for (const piece of [n, n + 3]) other.write(encodePayloadHeader({ piece, length: MIB }), pieceOf(blob, piece));
  });
  await under.machine.until('piece-stored', 6);
  t.deepEqual(
    under.machine.all('piece-stored').map((e) => e.verdict),
    Array(6).fill('ok'),
  );
  t.true(file.data.equals(blob.data));
  t.true(under.shared.pools.receive.waits > 0);
  t.true(await released(under));
});

test('a control frame never lands inside a payload, and overtakes payloads that have not begun', async (t) => {
  const blob = testBlob(12 * MIB, 3 * MIB);
  // Slow enough that payloads are paced: frames are sent while one is unfinished.
  const clock = new ManualClock();
  const { under, peer } = await connected(t, blob, { content: blob.data, egress: 16 * MIB, bandwidthClock: clock });
  t.true(under.shared.egress.tryTake(under.shared.egress.flow(''), 16 * MIB));
  for (let piece = 0; piece < 4; piece++) {
    under.host.perform({ type: 'send-piece', conn: 1, digest: blob.digest, piece, length: 3 * MIB });
  }
  let announced = 0;
  const timer = setInterval(() => {
    under.host.perform({ type: 'broadcast', conns: [1], message: { type: 'announce-piece', piece: announced++ % 4 } });
    clock.advance(10);
  }, 2);
  const { kinds, payloads } = await readPayloads(peer, 4);
  clearInterval(timer);
  for (let piece = 0; piece < 4; piece++) t.true(payloads.get(piece)?.equals(pieceOf(blob, piece)), `piece ${piece}`);
  t.is(kinds[0], 'announce-piece', 'the header of a throttled payload is not sent ahead of its bytes');
  t.true(kinds.filter((kind) => kind === 'announce-piece').length > 4);
  t.true(under.shared.egress.waits > 0);
  t.is(under.machine.all('piece-sent').length, 4);
  t.true(await released(under));
});

test('a file that was truncated under the sender breaks the connection off', async (t) => {
  const blob = testBlob(4 * MIB, 2 * MIB);
  const { under, file, peer } = await connected(t, blob, { content: blob.data });
  file.data = file.data.subarray(0, 3 * MIB + 5);
  for (const piece of [0, 1]) {
    under.host.perform({ type: 'send-piece', conn: 1, digest: blob.digest, piece, length: 2 * MIB });
  }
  under.host.perform({ type: 'send', conn: 1, message: { type: 'complete' } });
  await under.machine.until('connection-closed');
  t.is(under.machine.all('connection-closed')[0]?.reason, 'io-error');
  const failed = under.machine.all('piece-send-failed').map(({ piece, failure }) => [piece, failure.code]);
  t.deepEqual(failed.at(-1), [1, 'content-truncated']);
  const got = await peer.end();
  const overhead = 64;
  t.true(got.length <= 3 * MIB + overhead, 'nothing may follow the bytes that were there');
  t.true(await released(under));
  t.is(file.holds, 1);
});

test('pieces that are not verified are not read; sends to a connection that is gone fail', async (t) => {
  const blob = testBlob(2 * MIB, MIB);
  const { under } = await connected(t, blob);
  under.host.perform({ type: 'send-piece', conn: 1, digest: blob.digest, piece: 0, length: MIB });
  t.is((await under.machine.until('piece-send-failed')).failure.code, 'io-error');
  under.host.perform({ type: 'send-piece', conn: 99, digest: blob.digest, piece: 0, length: MIB });
  t.is((await under.machine.until('piece-send-failed', 2)).conn, 99);
});

test('a peer that goes away while pieces are being sent: every piece fails once, then the connection is closed', async (t) => {
  const blob = testBlob(64 * MIB, 16 * MIB);
  const { under, peer } = await connected(t, blob, { content: blob.data });
  for (let piece = 0; piece < 4; piece++) {
    under.host.perform({ type: 'send-piece', conn: 1, digest: blob.digest, piece, length: 16 * MIB });
  }
  peer.socket.pause();
  await eventually(() => under.shared.pools.send.inUse > 0);
  peer.socket.resetAndDestroy();
  await under.machine.until('connection-closed');
  t.is(under.machine.all('piece-sent').length + under.machine.all('piece-send-failed').length, 4);
  t.is(under.machine.seen.at(-1)?.type, 'connection-closed');
  t.true(await released(under));
});

test('whoever waits for bandwidth and closes is gone at once, in both directions', async (t) => {
  const blob = testBlob(2 * MIB, MIB);
  const clock = new ManualClock();
  const limits = { egress: MIB, ingress: MIB, bandwidthClock: clock };
  const { under, peer } = await connected(t, blob, { ...limits, content: blob.data });
  for (const bucket of [under.shared.egress, under.shared.ingress]) {
    t.true(bucket.tryTake(bucket.flow(''), 1000 * MIB), 'a debt of a thousand seconds');
  }
  under.host.perform({ type: 'send-piece', conn: 1, digest: blob.digest, piece: 0, length: MIB });
  t.true(await eventually(() => under.shared.egress.waiting === 1));
  peer.socket.destroy();
  await under.machine.until('connection-closed');
  t.is(under.machine.all('piece-send-failed').length, 1);
  t.is(under.shared.egress.waiting, 0);
  t.is(under.host.connections, 0);

  const other = await connected(t, blob, limits);
  t.true(other.under.shared.ingress.tryTake(other.under.shared.ingress.flow(''), 1000 * MIB));
  other.peer.write(encodePayloadHeader({ piece: 0, length: MIB }), pieceOf(blob, 0));
  t.true(await eventually(() => other.under.shared.ingress.waiting === 1));
  other.under.host.perform({ type: 'close', conn: 1, reason: 'torrent-removed' });
  await other.under.machine.until('connection-closed');
  t.is(other.under.machine.all('piece-stored')[0]?.verdict, 'aborted');
  t.is(other.under.shared.ingress.waiting, 0);
  t.is(other.under.host.connections, 0);
  t.true(await released(under));
  t.true(await released(other.under));
});

test('the ingress limit paces what is read', async (t) => {
  const blob = testBlob(3 * MIB, MIB);
  const clock = new ManualClock();
  const { under, file, peer } = await connected(t, blob, { ingress: 16 * MIB, bandwidthClock: clock });
  t.true(under.shared.ingress.tryTake(under.shared.ingress.flow(''), 16 * MIB));
  for (const piece of [0, 1, 2]) peer.write(encodePayloadHeader({ piece, length: MIB }), pieceOf(blob, piece));
  await under.machine.until('payload-started');
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.is(under.shared.counters.payloadBytesIn, 0);
  t.is(under.shared.ingress.waiting, 1);
  // A chunk of 512 KiB is worth 31.25 ms.
  for (let chunk = 1; chunk <= 6; chunk++) {
    t.true(await eventually(() => under.shared.ingress.waiting === 1));
    clock.advance(32);
    t.true(await eventually(() => under.shared.counters.payloadBytesIn === (chunk * MIB) / 2));
  }
  await under.machine.until('piece-stored', 3);
  t.true(file.data.equals(blob.data));
  t.is(under.shared.ingress.waits, 6);
});

test('a peer that reads nothing cannot make us hoard control frames', async (t) => {
  const blob = testBlob(MIB, MIB);
  const { under, peer } = await connected(t, blob);
  peer.socket.pause();
  const flood = setInterval(() => {
    for (let n = 0; n < 2000; n++) {
      const text = 'x'.repeat(1000);
      under.host.perform({ type: 'send', conn: 1, message: { type: 'error', piece: 0, code: 0, text } });
    }
  }, 1);
  t.is((await under.machine.until('connection-closed')).reason, 'protocol-error');
  clearInterval(flood);
  t.pass();
});

test('what was sent before a close in good order arrives, although the peer still writes', async (t) => {
  const blob = testBlob(MIB, MIB);
  const { under, peer } = await connected(t, blob, { content: blob.data });
  const conn = under.machine.all('handshake-received')[0]!.conn;
  peer.socket.pause();
  under.host.perform({ type: 'send-piece', conn, digest: blob.digest, piece: 0, length: MIB });
  t.true(await eventually(() => under.machine.all('piece-sent').length === 1));
  under.host.perform({ type: 'close', conn, reason: 'rotated' });
  t.true(await eventually(() => under.machine.all('connection-closed').length === 1));
  t.is(under.shared.lingering.size, 1);
  // Would meet a reset, which loses what has not been read, had the socket been destroyed.
  for (let i = 0; i < 20; i++) {
    peer.write(encodeMessage({ type: 'announce-piece', piece: 0 }));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  peer.socket.resume();
  const received = await peer.end();
  t.true(received.subarray(-MIB).equals(blob.data));
  peer.socket.destroy();
  t.true(await eventually(() => under.shared.lingering.size === 0));
});
