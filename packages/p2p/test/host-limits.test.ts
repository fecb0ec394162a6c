/** Pools, bandwidth, time limits and admission: what bounds a node, and that waiting ends. */
import { createServer, Server } from 'node:net';
import test from 'ava';
import { Bitfield } from '@kraken/core/content';
import { encodeHandshake } from '@kraken/core/wire';
import { BufferPool } from '../dist/host/buffer-pool.js';
import { PeerListener } from '../dist/host/listener.js';
import {
  eventually,
  handshakeOf,
  ManualClock,
  RawPeer,
  rawServer,
  startHost,
  testBlob,
  testPeerId,
} from './host-kit.js';

const microtasks = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a pool never makes more than its cap, serves in order, and never from inside a call', async (t) => {
  const pool = new BufferPool(64, 128, new ManualClock());
  const a = pool.tryTake() as Uint8Array;
  const b = pool.tryTake() as Uint8Array;
  t.is(pool.tryTake(), undefined);
  t.not(a, b);
  const granted: string[] = [];
  const line = ['x', 'y', 'z'].map((name) =>
    pool.wait((buffer) => {
      granted.push(name);
      pool.release(buffer);
    }),
  );
  line[1]?.cancel();
  pool.release(a);
  t.deepEqual(granted, []);
  await microtasks();
  t.deepEqual(granted, ['x', 'z']);
  t.is(pool.inUse, 1);
  pool.release(b);
  t.is(pool.inUse, 0);
  t.is(pool.waits, 3);
});

test('a pool gives back the memory that was not needed', (t) => {
  const clock = new ManualClock();
  const pool = new BufferPool(64, 640, clock);
  const taken = Array.from({ length: 4 }, () => pool.tryTake() as Uint8Array);
  for (const buffer of taken) pool.release(buffer);
  t.true(taken.includes(pool.tryTake() as Uint8Array), 'recycled');
  clock.advance(30_000);
  for (let n = 0; n < 4; n++) pool.tryTake();
  clock.advance(30_000);
  const fresh = pool.tryTake() as Uint8Array;
  t.false(taken.includes(fresh));
});

const BLOB = testBlob(100, 100);
const dialTo = (
  port: number,
  ip = '127.0.0.1',
  timeoutMs = 5000,
): Parameters<Awaited<ReturnType<typeof startHost>>['host']['perform']>[0] => ({
  type: 'dial',
  conn: 2,
  peer: testPeerId(9),
  ip,
  port,
  handshake: handshakeOf(BLOB, 1, new Bitfield(1)),
  timeoutMs,
});

test('dials that fail, each reported once with its reason', async (t) => {
  const under = await startHost();
  t.teardown(() => under.close());
  const nobody = createServer();
  await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve));
  const { port: closed } = nobody.address() as { port: number };
  await new Promise((resolve) => nobody.close(resolve));

  const server = await rawServer((raw) => {
    raw.write(answers.shift() ?? Buffer.alloc(0));
  });
  t.teardown(() => server.close());
  const answers: Buffer[] = [Buffer.from('000000021006', 'hex'), Buffer.from('ffffffff', 'hex')];
  const expected = [
    'peer-unreachable',
    'peer-unreachable',
    'handshake-invalid',
    'frame-too-large',
    'handshake-timeout',
  ];
  const dials = [
    dialTo(closed),
    dialTo(70_000),
    dialTo(server.port),
    dialTo(server.port),
    dialTo(server.port, '127.0.0.1', 40),
  ];
  for (const [n, dial] of dials.entries()) {
    under.host.perform(dial);
    const { failure } = await under.machine.until('dial-failed', n + 1);
    t.is<string | undefined, string | undefined>(failure.code, expected[n]);
  }

  // A full peer reads the handshake and hangs up, as Go does; that is no offence.
  const full = createServer((socket) => socket.once('data', () => socket.end()));
  await new Promise<void>((resolve) => full.listen(0, '127.0.0.1', resolve));
  t.teardown(() => full.close());
  under.host.perform(dialTo((full.address() as { port: number }).port));
  const hungUp = await under.machine.until('dial-failed', expected.length + 1);
  t.is(hungUp.failure.code, 'too-many-connections');

  // Given up by the machine, in every stage.
  under.host.perform(dialTo(server.port));
  under.host.perform({ type: 'close', conn: 2, reason: 'shutdown' });
  under.host.perform({ type: 'close', conn: 2, reason: 'shutdown' });
  t.is(under.machine.all('dial-failed').length, 7);
  under.host.perform(dialTo(server.port));
  await new Promise((resolve) => setTimeout(resolve, 30));
  under.host.perform({ type: 'close', conn: 2, reason: 'shutdown' });
  t.is(under.machine.all('dial-failed').length, 8);
  t.is(under.machine.all('connection-closed').length, 0);
  t.is(under.host.connections, 0);
});

test('a handshake that does not fit a frame fails the dial', async (t) => {
  const under = await startHost();
  t.teardown(() => under.close());
  const dial = dialTo(under.port);
  const handshake = { ...handshakeOf(BLOB, 1, new Bitfield(1)), bitfield: new Bitfield(300_000) };
  under.host.perform({ ...dial, handshake } as typeof dial);
  t.is((await under.machine.until('dial-failed')).failure.code, 'frame-too-large');
});

test('IPv6', async (t) => {
  const server = createServer((socket) => socket.write(encodeHandshake(handshakeOf(BLOB, 9, new Bitfield(1)))));
  const port = await new Promise<number | undefined>((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen(0, '::1', () => resolve((server.address() as { port: number }).port));
  });
  if (port === undefined) {
    t.log('no IPv6 on this machine');
    t.pass();
    return;
  }
  const under = await startHost();
  t.teardown(() => under.close());
  under.host.perform(dialTo(port, '::1'));
  t.is((await under.machine.until('dial-succeeded')).handshake.peerId, testPeerId(9));
  under.host.perform({ type: 'close', conn: 2, reason: 'shutdown' });
  server.close();
});

test('sockets without a handshake are limited in number and time', async (t) => {
  const under = await startHost({ handshakesMax: 3, handshakeTimeoutMs: 300 });
  t.teardown(() => under.close());
  const silent = await Promise.all([1, 2, 3].map(() => RawPeer.dial(under.port)));
  await eventually(() => under.shared.counters.accepted === 3);
  const refused = await RawPeer.dial(under.port);
  t.is((await refused.end()).length, 0);
  t.is(under.shared.counters.refusedAtLimit, 1);
  silent[0]?.write(Buffer.from([0, 0]));
  for (const peer of silent) t.is((await peer.end()).length, 0);
  t.is(under.machine.seen.length, 0, 'the machine never heard of them');
  const late = await RawPeer.dial(under.port);
  late.write(encodeHandshake(handshakeOf(BLOB, 5, new Bitfield(1))));
  await under.machine.until('handshake-received');
  under.host.perform({ type: 'close', conn: 1, reason: 'at-capacity' });
  await late.end();
  t.is(under.machine.all('connection-closed')[0]?.reason, 'at-capacity');
});

test('an error of the listening socket is told and does not end the listening', async (t) => {
  // The socket is the listener's own: caught as it starts to listen.
  let socket: Server | undefined;
  const listen = Reflect.get(Server.prototype, 'listen') as (...args: unknown[]) => Server;
  const failures: string[] = [];
  const shared = (await startHost().then(async (under) => (await under.close(), under))).shared;
  const listener = new PeerListener({
    host: '127.0.0.1',
    port: 0,
    limits: { handshakesMax: 8, socketsMax: 8 },
    shared,
    handshakeTimeoutMs: () => 5000,
    failed: (error) => failures.push(error.message),
  });
  t.teardown(() => listener.close());
  Reflect.set(Server.prototype, 'listen', function (this: Server, ...args: unknown[]) {
    return (socket = Reflect.apply(listen, this, args));
  });
  const listening = listener.listen();
  Reflect.set(Server.prototype, 'listen', listen);
  const port = await listening;
  let handshakes = 0;
  listener.serve(() => ({
    handshake: () => handshakes++,
    message: () => undefined,
    layer: () => undefined,
    payload: () => undefined,
    closed: () => undefined,
  }));
  for (let n = 1; n <= 3; n++) {
    socket?.emit('error', new Error(`accept EMFILE ${n}`));
    const peer = await RawPeer.dial(port);
    t.teardown(() => void peer.socket.destroy());
    peer.write(encodeHandshake(handshakeOf(BLOB, 5, new Bitfield(1))));
    t.true(await eventually(() => handshakes === n));
  }
  t.deepEqual(failures, ['accept EMFILE 1', 'accept EMFILE 2', 'accept EMFILE 3']);
  t.is(shared.counters.acceptErrors, 3);
  t.true(listener.listening);
});

test('what comes with the handshake waits for the answer', async (t) => {
  const under = await startHost();
  t.teardown(() => under.close());
  const peer = await RawPeer.dial(under.port);
  t.teardown(() => void peer.socket.destroy());
  peer.write(encodeHandshake(handshakeOf(BLOB, 5, new Bitfield(1))), Buffer.from('00000002100600000004100332', 'hex'));
  await under.machine.until('handshake-received');
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.is(under.machine.all('message-received').length, 0);
  under.host.perform({ type: 'accept', conn: 1, handshake: handshakeOf(BLOB, 1, new Bitfield(1)) });
  t.is((await under.machine.until('message-received')).message.type, 'complete');
  peer.write(Buffer.from('00', 'hex'));
  t.is((await under.machine.until('message-received', 2)).message.type, 'announce-piece');
  peer.write(Buffer.from('0000', 'hex'));
  peer.socket.end();
  t.is(
    (await under.machine.until('connection-closed')).reason,
    'remote-closed',
    'the end inside a frame is an ordinary end',
  );
});

test('work for a tracker that is not there, and for blobs that are not there, fails with codes', async (t) => {
  const under = await startHost();
  t.teardown(() => under.close());
  const { digest, metainfo } = BLOB;
  under.host.perform({ type: 'fetch-metainfo', namespace: '', digest });
  under.host.perform({ type: 'announce', namespace: '', digest, infoHash: metainfo.infoHash, complete: false });
  under.host.perform({ type: 'open-blob', namespace: '', digest });
  under.host.perform({ type: 'commit-blob', digest });
  t.is((await under.machine.until('metainfo-fetch-failed')).failure.code, 'tracker-unavailable');
  t.is((await under.machine.until('announce-failed')).failure.code, 'tracker-unavailable');
  t.is((await under.machine.until('blob-open-failed')).failure.code, 'blob-unknown');
  t.is((await under.machine.until('blob-commit-failed')).failure.code, 'internal');
  under.host.perform({ type: 'open-blob', namespace: '', digest, metainfo });
  t.false((await under.machine.until('blob-opened')).committed);
  under.host.perform({ type: 'delete-blob', digest });
  await under.machine.until('blob-deleted');
  t.is(under.host.torrents.size, 0);
});
