/** Transport security between peers: real nodes, real sockets, certificates from `fixtures/tls`. */
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import {
  connect as connectTls,
  createServer as createTlsServer,
  type ConnectionOptions,
  type TLSSocket,
} from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { Bitfield } from '@kraken/core/content';
import { isKrakenError } from '@kraken/core/errors';
import type { Logger } from '@kraken/core/ports';
import { decodeHandshake, encodeHandshake } from '@kraken/core/wire';
import type { PeerNodeOptions, PeerTlsOptions } from '@kraken/p2p';
import { MemoryTracker, readAll, startNode, startOrigin, type TestNode } from './client-kit.js';
import { PlainAddresses } from '../dist/host/tls-plain-addresses.js';
import { TlsRefusals } from '../dist/host/tls-refusals.js';
import { eventually, handshakeOf, ManualClock, MIB, RawPeer, rawServer, testBlob, testPeerId } from './host-kit.js';

const pem = (name: string): string => readFileSync(new URL(`../test/fixtures/tls/${name}`, import.meta.url), 'utf8');
const identity = (name: string): { cert: string; key: string } => ({
  cert: pem(`${name}.crt`),
  key: pem(`${name}.key`),
});
const required: PeerTlsOptions = { mode: 'required', ...identity('peer'), ca: [pem('ca.crt')] };
const preferred: PeerTlsOptions = { ...required, mode: 'preferred' };
const foreign: PeerTlsOptions = { mode: 'required', ...identity('stranger'), ca: [pem('ca.crt'), pem('other-ca.crt')] };

interface Line {
  readonly message: string;
  readonly fields: { readonly direction?: string; readonly reason?: string; readonly subject?: string };
}

/** A logger that keeps warnings. */
function keeping(): Logger & { lines: Line[]; refusals(): Line['fields'][] } {
  const lines: Line[] = [];
  return {
    lines,
    refusals: () => lines.filter(({ message }) => message.startsWith('peer refused')).map(({ fields }) => fields),
    debug: () => undefined,
    info: () => undefined,
    warn: (fields, message) => void lines.push({ message, fields: fields }),
    error: (fields, message) => void lines.push({ message, fields: fields }),
  };
}

const blob = testBlob(3 * MIB + 17, MIB);

/** Not `deepEqual`, which would print megabytes. */
const delivered = (t: ExecutionContext, got: Buffer | string, says?: string): void => {
  t.is(typeof got === 'string' ? got : got.equals(blob.data), true, says);
};

/** An origin that has the blob, and a way to pull it as somebody. */
async function swarm(
  t: ExecutionContext,
  tls: PeerTlsOptions | undefined,
): Promise<{
  origin: TestNode;
  log: ReturnType<typeof keeping>;
  /** The bytes, or the code of the failure. */
  readonly pull: (as: Partial<PeerNodeOptions>) => Promise<{ got: Buffer | string; node: TestNode }>;
}> {
  const tracker = new MemoryTracker();
  const log = keeping();
  const origin = await startOrigin(t, tracker, blob, { tls, logger: log });
  return {
    origin,
    log,
    pull: async (as) => {
      const node = await startNode(t, { tracker, ...as });
      try {
        const opened = await node.node.open(blob.digest, { deadlineMs: as.defaultDeadlineMs ?? 20_000 });
        return { got: await readAll(opened.stream()), node };
      } catch (error) {
        return { got: isKrakenError(error) ? error.code : String(error), node };
      }
    },
  };
}

/** Speak TLS with a node and send it a handshake; what comes back until it closes. */
async function knock(
  t: ExecutionContext,
  port: number,
  options: ConnectionOptions,
): Promise<{ bytes: Buffer; socket: TLSSocket }> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  t.teardown(() => void socket.destroy());
  const peer = new RawPeer(socket);
  socket.once('secureConnect', () =>
    peer.write(encodeHandshake(handshakeOf(blob, 77, new Bitfield(blob.metainfo.pieceSums.length), 'ns'))),
  );
  return { bytes: await peer.end(), socket };
}

test('required, both with certificates: the blob comes over TLS', async (t) => {
  const { origin, pull } = await swarm(t, required);
  const { got, node } = await pull({ tls: required });
  delivered(t, got);
  t.true(node.node.stats().host.tlsSessions >= 1);
  t.is(node.node.stats().host.tlsFallbacks, 0);
  t.is(origin.node.stats().bytesSent, blob.data.length);
});

test('required: a plain peer gets nothing, and the log says why', async (t) => {
  const { origin, log, pull } = await swarm(t, required);
  const { got } = await pull({ defaultDeadlineMs: 1500 });
  t.is(got, 'pull-timeout');
  t.is(origin.node.stats().bytesSent, 0);
  t.deepEqual(log.refusals()[0]?.reason, 'plain connection, TLS is required');
  t.is(log.refusals()[0]?.direction, 'in');

  const raw = await RawPeer.dial(origin.node.port);
  t.teardown(() => void raw.socket.destroy());
  raw.write(encodeHandshake(handshakeOf(blob, 9, new Bitfield(4), 'ns')));
  t.is((await raw.end()).length, 0, 'not a byte');
});

test('required: no certificate, a foreign one, one for servers only, an expired one get not a byte', async (t) => {
  const { origin, log } = await swarm(t, required);
  const cases = [
    ['no certificate', {}],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', identity('stranger')],
    ['INVALID_PURPOSE', identity('server-only')],
    ['CERT_HAS_EXPIRED', identity('expired')],
  ] as const;
  for (const [reason, options] of cases) {
    const { bytes } = await knock(t, origin.node.port, options);
    t.is(bytes.length, 0, reason);
    const last = log.refusals().at(-1);
    t.true(last?.reason?.includes(reason), `${reason}: ${last?.reason ?? '-'}`);
  }
  t.is(log.refusals()[1]?.subject, 'stranger');
  t.is(origin.node.stats().host.tlsSessions, 0);
  t.is(origin.node.stats().host.tlsRefused, cases.length);
});

test('required: no session is resumed, not even of a peer, so nobody comes in without a certificate', async (t) => {
  const { origin, log } = await swarm(t, required);
  const tickets: Buffer[] = [];
  const first = connectTls({
    host: '127.0.0.1',
    port: origin.node.port,
    rejectUnauthorized: false,
    ...identity('peer'),
  });
  first.on('session', (session: Buffer) => tickets.push(session));
  const peer = new RawPeer(first);
  peer.write(encodeHandshake(handshakeOf(blob, 77, new Bitfield(blob.metainfo.pieceSums.length), 'ns')));
  await peer.frame();
  first.destroy();
  t.true(tickets.length > 0, 'OpenSSL hands tickets out; they are good for nothing');
  for (const session of tickets) {
    const again = await knock(t, origin.node.port, { session });
    t.is(again.bytes.length, 0);
    t.false(again.socket.isSessionReused());
    t.is(log.refusals().at(-1)?.reason, 'no certificate');
  }
  t.is(origin.node.stats().host.tlsSessions, 1);
});

test('only TLS 1.3 is spoken', async (t) => {
  const { origin, log } = await swarm(t, required);
  const old = connectTls({
    host: '127.0.0.1',
    port: origin.node.port,
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.2',
    ...identity('peer'),
  });
  const error = await new Promise<Error & { code?: string }>((resolve) => old.once('error', resolve));
  t.is(error.code, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  t.true(await eventually(() => log.refusals().some(({ reason }) => reason?.includes('UNSUPPORTED_PROTOCOL'))));
});

test('the dialler refuses a foreign certificate: it sends nothing, and says why', async (t) => {
  const tracker = new MemoryTracker();
  const received: Buffer[] = [];
  const impostor = createTlsServer({ ...identity('stranger') }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => received.push(bytes));
  });
  impostor.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void impostor.close());
  tracker.metainfos.set(blob.digest, blob.metainfo);
  const { port } = impostor.address() as AddressInfo;
  tracker.add(blob.digest, { peerId: testPeerId(5), ip: '127.0.0.1', port, origin: true, complete: true });
  for (const tls of [required, preferred]) {
    const log = keeping();
    const { node } = await startNode(t, { tracker, tls, logger: log });
    await t.throwsAsync(node.download(blob.digest, { deadlineMs: 1000 }));
    t.regex(log.refusals()[0]?.reason ?? '', /UNABLE_TO_VERIFY|SELF_SIGNED/);
    t.is(log.refusals()[0]?.direction, 'out');
    t.is(node.stats().host.tlsFallbacks, 0, 'a peer that speaks TLS is never dialled plain');
  }
  t.deepEqual(received, []);
});

test('a name that peers must bear is asked of both sides', async (t) => {
  const { pull } = await swarm(t, { ...required, name: 'peer.kraken' });
  delivered(t, (await pull({ tls: { ...required, name: 'kraken' } })).got, 'both names are there');
  const other = await swarm(t, { ...required, name: 'peer.kraken' });
  const wrongClient = await other.pull({ tls: { ...required, ...identity('renewed') }, defaultDeadlineMs: 1000 });
  t.is(wrongClient.got, 'pull-timeout');
  t.regex(other.log.refusals()[0]?.reason ?? '', /renewed\.kraken/);
  const log = keeping();
  const wrongServer = await other.pull({
    tls: { ...required, name: 'renewed.kraken' },
    logger: log,
    defaultDeadlineMs: 1000,
  });
  t.is(wrongServer.got, 'pull-timeout');
  t.regex(log.refusals()[0]?.reason ?? '', /peer\.kraken/);
});

test('preferred: plain and TLS peers on one port; a foreign certificate is refused all the same', async (t) => {
  const { origin, log, pull } = await swarm(t, preferred);
  t.true(log.lines[0]?.message.includes('an attacker on the path'), 'it says what it does not protect from');
  const plain = await pull({});
  delivered(t, plain.got);
  const secure = await pull({ tls: required });
  delivered(t, secure.got);
  t.true(secure.node.node.stats().host.tlsSessions >= 1);
  t.is((await pull({ tls: foreign, defaultDeadlineMs: 1000 })).got, 'pull-timeout');
  t.true(origin.node.stats().host.tlsRefused >= 1);
});

test('preferred: a peer that closes on TLS is dialled plain, at once and from then on', async (t) => {
  const { pull } = await swarm(t, undefined);
  const { got, node } = await pull({ tls: preferred });
  delivered(t, got);
  t.is(node.node.stats().host.tlsFallbacks, 1);
  await node.node.remove(blob.digest);
  delivered(t, await readAll((await node.node.open(blob.digest, { deadlineMs: 60_000 })).stream()));
  t.is(node.node.stats().host.tlsFallbacks, 1, 'remembered');
});

test('required: a peer that closes on TLS is not dialled plain', async (t) => {
  const heard: number[] = [];
  const go = await rawServer((peer) => {
    // As Go: a length beyond the limit closes the connection.
    void peer.read(4).then((length) => {
      heard.push(length[0] ?? -1);
      peer.socket.destroy();
    });
  });
  t.teardown(() => go.close());
  const tracker = new MemoryTracker();
  tracker.metainfos.set(blob.digest, blob.metainfo);
  tracker.add(blob.digest, { peerId: testPeerId(5), ip: '127.0.0.1', port: go.port, origin: true, complete: true });
  const log = keeping();
  const { node } = await startNode(t, { tracker, tls: required, logger: log });
  await t.throwsAsync(node.download(blob.digest, { deadlineMs: 800 }));
  t.true(heard.length >= 1);
  t.true(
    heard.every((byte) => byte === 0x16),
    'nothing but TLS records',
  );
  t.is(log.refusals()[0]?.direction, 'out');
});

for (const direct of [true, false]) {
  test(`the first bytes of a plain peer may come in any pieces (${direct ? 'preferred' : 'required'})`, async (t) => {
    const { origin } = await swarm(t, direct ? preferred : required);
    const peer = await RawPeer.dial(origin.node.port);
    t.teardown(() => void peer.socket.destroy());
    const frame = encodeHandshake(handshakeOf(blob, 9, new Bitfield(4), 'ns'));
    for (const part of [frame.subarray(0, 1), frame.subarray(1, 3), frame.subarray(3)]) {
      peer.write(part);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (direct) t.is(decodeHandshake(await peer.frame()).digest, blob.digest);
    else t.is((await peer.end()).length, 0);
  });
}

test('sockets that stay silent, or stop inside the TLS handshake, end with the time limit and free their places', async (t) => {
  const { origin } = await swarm(t, required);
  const node = await startNode(t, { tls: required, handshakesMax: 2, swarm: { handshakeTimeoutMs: 300 } });
  const silent = await RawPeer.dial(node.node.port);
  const stopped = await RawPeer.dial(node.node.port);
  stopped.write(Buffer.from('160301020001', 'hex'));
  const third = await RawPeer.dial(node.node.port);
  t.is((await third.end()).length, 0, 'no place');
  t.true(await eventually(() => node.node.stats().host.refusedAtLimit === 1));
  await Promise.all([silent.end(), stopped.end()]);
  const { socket, bytes } = await knock(t, node.node.port, identity('peer'));
  t.is(bytes.length, 0, 'the blob is unknown there');
  t.truthy(socket);
  t.is(node.node.stats().host.tlsSessions, 1);
  t.is(origin.node.stats().host.refusedAtLimit, 0);
});

test('certificates are replaced while connections go on; bad ones change nothing', async (t) => {
  const { origin, pull } = await swarm(t, { ...required, name: 'peer.kraken' });
  const shown = async (): Promise<string> => {
    const socket = connectTls({
      host: '127.0.0.1',
      port: origin.node.port,
      rejectUnauthorized: false,
      ...identity('peer'),
    });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return String(CN);
  };
  t.is(await shown(), 'peer');
  t.true(
    isKrakenError(
      t.throws(() => origin.node.reloadTls({ ...required, key: 'no key' })),
      'config-invalid',
    ),
  );
  t.true(
    isKrakenError(
      t.throws(() => origin.node.reloadTls({ ...required, ca: [] })),
      'config-invalid',
    ),
  );
  t.true(
    isKrakenError(
      t.throws(() => origin.node.reloadTls({ ...required, key: pem('renewed.key') })),
      'config-invalid',
    ),
  );
  t.is(await shown(), 'peer');
  origin.node.reloadTls({ ...required, ...identity('renewed'), ca: [pem('other-ca.crt'), pem('ca.crt')] });
  t.is(await shown(), 'renewed');
  delivered(t, (await pull({ tls: foreign })).got, 'the new authority counts, the name is asked no more');
});

test('settings that cannot work are refused when the node is made', async (t) => {
  for (const tls of [
    { ...required, ca: [] },
    { ...required, cert: 'x' },
    { ...required, key: pem('stranger.key') },
    { ...required, key: pem('peer-encrypted.key'), passphrase: 'wrong' },
  ])
    t.true(isKrakenError(await t.throwsAsync(startNode(t, { tls })), 'config-invalid'));
  const encrypted = { ...required, key: pem('peer-encrypted.key'), passphrase: 'kraken' };
  const { pull } = await swarm(t, encrypted);
  delivered(t, (await pull({ tls: required })).got);
});

test('IPv6 peers, with and without TLS, on a port that takes both families', async (t) => {
  for (const tls of [undefined, required]) {
    const tracker = new MemoryTracker();
    const origin = await startOrigin(t, tracker, blob, {
      ...(tls === undefined ? {} : { tls }),
      listen: { host: '::', port: 0 },
    });
    const { peerId, port } = origin.node.context;
    for (const ip of ['::1', '127.0.0.1']) {
      tracker.add(blob.digest, { peerId, ip, port, origin: true, complete: true });
      const { node } = await startNode(t, { tracker, tls, peer: { ip }, listen: { host: ip, port: 0 } });
      delivered(t, await readAll((await node.open(blob.digest, { deadlineMs: 20_000 })).stream()), ip);
    }
  }
});

test('plain addresses are remembered for a while, and not without bound', (t) => {
  const clock = new ManualClock();
  const addresses = new PlainAddresses(clock);
  for (let i = 0; i < 16_385; i++) addresses.add(`10.0.0.1 ${i}`);
  t.false(addresses.has('10.0.0.1 0'), 'the oldest went');
  t.true(addresses.has('10.0.0.1 1'));
  clock.advance(10 * 60_000);
  t.false(addresses.has('10.0.0.1 1'));
});

test('a flood of refusals is logged in part, and told', (t) => {
  const clock = new ManualClock();
  const log = keeping();
  const refusals = new TlsRefusals(log, clock);
  for (let i = 0; i < 50; i++) refusals.note({ direction: 'in', remote: 'x', reason: 'y' });
  t.is(log.lines.length, 20);
  clock.advance(10_000);
  refusals.note({ direction: 'in', remote: 'x', reason: 'y' });
  t.deepEqual(log.lines.at(-1)?.fields, { direction: 'in', remote: 'x', reason: 'y', unwritten: 30 } as never);
});
