/** The swarm machine over time and as a server: requests of peers, idle and old connections, idle seeds. */
import test from 'ava';
import { parseInfoHash } from '@kraken/core/content';
import { digestOf, peerInfo, peerOf, Scenario } from './support/swarm-scenario.js';

/** Leeching with an active connection to peer 1 that has everything. */
function withSeed(config: ConstructorParameters<typeof Scenario>[0] = {}, pieces = 20): { s: Scenario; conn: number } {
  const s = new Scenario(config, pieces).leech();
  return { s, conn: s.incoming(1, 'all') };
}

// Serving.

test('requests are served or refused with the texts of Go', (t) => {
  const s = new Scenario({}, 4).leech([0, 3]);
  const conn = s.incoming(1, []);
  const ask = (piece: number, offset: number, length: number): unknown => {
    s.message(conn, { type: 'piece-request', piece, offset, length });
    const [effect] = s.effects;
    return effect?.type === 'send' && effect.message.type === 'error'
      ? [effect.message.code, effect.message.text]
      : effect;
  };
  t.deepEqual(ask(0, 0, 1000), { type: 'send-piece', conn, digest: s.digest, piece: 0, length: 1000 });
  t.deepEqual(ask(3, 0, 500), { type: 'send-piece', conn, digest: s.digest, piece: 3, length: 500 });
  t.deepEqual(ask(0, 1, 999), [0, 'reading / writing chunk of piece not supported']);
  t.deepEqual(ask(0, 0, 999), [0, 'reading / writing chunk of piece not supported']);
  t.deepEqual(ask(9, 0, 0), [0, 'invalid piece index 9: num pieces = 4']);
  t.deepEqual(ask(1, 0, 1000), [0, 'piece not complete']);
  for (let i = 0; i < 62; i++) ask(0, 0, 1000);
  t.deepEqual(ask(0, 0, 1000), [0, 'too many queued requests: limit = 64']);
  s.step({ type: 'piece-sent', conn, digest: s.digest, piece: 0 });
  t.deepEqual(s.observations, [{ kind: 'piece-uploaded', digest: s.digest, peer: peerOf(1), piece: 0, length: 1000 }]);
  s.step({ type: 'piece-send-failed', conn, digest: s.digest, piece: 0, failure: { code: 'io-error', says: 'x' } });
  t.is(s.torrent().connections[0]?.sending, 62);
  t.is(s.torrent().connections[0]?.bits?.count, 0, 'the peer announces what it got; nothing is assumed');
});

// Preemption.

test('a useless connection is closed as idle; leechers that wait for each other stay', (t) => {
  const seed = new Scenario().seed();
  seed.incoming(1, []);
  seed.pass(61_000);
  t.is(seed.one('close').reason, 'idle');

  const pair = new Scenario({}, 20).leech();
  const waits = pair.incoming(1, []);
  pair.pass(200_000);
  t.deepEqual(pair.of('close'), []);
  t.is(pair.connOf(1), waits);

  const { s } = withSeed({ leecherIdleMs: 1e9 });
  s.pass(61_000);
  t.is(s.one('close').reason, 'idle', 'asked, and nothing came');
  const off = new Scenario({ preemptionDisabled: true }).seed();
  off.incoming(1, []);
  t.deepEqual(off.pass(1e6).of('close'), []);
});

test('leechers that fill all slots and wait for each other make way, one per tick', (t) => {
  const full = new Scenario({ connectionsPerTorrentMax: 3, leecherIdleMs: 1e9, rotationIntervalMs: 0 }, 20).leech();
  for (const n of [1, 2, 3]) full.incoming(n, []);
  full.pass(29_000);
  t.deepEqual(full.of('close'), []);
  full.pass(31_500);
  t.deepEqual(
    full.of('close').map((e) => e.reason),
    ['idle'],
  );
  full.answered([peerInfo(9)]);
  t.deepEqual(
    full.of('dial').map((e) => e.peer),
    [peerOf(9)],
  );
});

test('uploads keep a connection and a seed; a stuck one does not', (t) => {
  const s = new Scenario({ seederIdleMs: 60_000 }).seed();
  const conn = s.incoming(1, []);
  for (let i = 0; i < 10; i++) {
    s.message(conn, { type: 'piece-request', piece: 0, offset: 0, length: 1000 }).pass(20_000);
    t.deepEqual(s.of('close'), []);
    s.step({ type: 'piece-sent', conn, digest: s.digest, piece: 0 });
  }
  s.message(conn, { type: 'piece-request', piece: 0, offset: 0, length: 1000 }).pass(110_000);
  t.deepEqual(s.of('close'), []);
  s.pass(50_000);
  t.is(s.one('close').reason, 'idle');
});

test('an idle seed leaves memory and comes back when asked', (t) => {
  const s = new Scenario().seed();
  s.pass(290_000);
  t.false(s.isForgotten);
  s.pass(40_000);
  t.deepEqual(s.types, ['close-blob']);
  t.true(s.isForgotten);
  s.incoming(1, []);
  t.deepEqual(s.types, ['open-blob']);
});

test('an old connection to one of us is closed, to a Go peer only when nothing moves', (t) => {
  const age = (version: string, moves: boolean): string[] => {
    const s = new Scenario({ connectionAgeMs: 100_000, seederIdleMs: 1e9 }).seed();
    const conn = s.incoming(1, [], { version });
    for (let i = 0; i < 7; i++) {
      s.message(conn, { type: 'piece-request', piece: 0, offset: 0, length: 1000 });
      s.step({ type: 'piece-sent', conn, digest: s.digest, piece: 0 });
      if (moves) s.message(conn, { type: 'piece-request', piece: 0, offset: 0, length: 1000 });
      s.pass(20_000);
      if (s.of('close').length > 0) return s.of('close').map((e) => e.reason);
      if (moves) s.step({ type: 'piece-sent', conn, digest: s.digest, piece: 0 });
    }
    return [];
  };
  t.deepEqual(age('kraken-ts/1', true), ['too-old']);
  t.deepEqual(age('', false), ['too-old']);
  t.deepEqual(age('', true), []);
});

test('a payload that starts and never ends is closed in the end', (t) => {
  const { s, conn } = withSeed({ preemptionDisabled: true, pipelineLimit: 1 });
  s.payload(conn, s.asked(conn)[0]!).pass(59_999);
  t.deepEqual(s.of('close'), []);
  s.pass(1);
  t.like(s.one('close'), { conn, reason: 'idle' });
});

test('a handshake that names another info hash holds no slot, whether the blob is in memory or not', (t) => {
  const foreign = { infoHash: parseInfoHash('ab'.repeat(20)) };
  const known = new Scenario({ connectionsPerTorrentMax: 1, connectionsMax: 1 }).leech();
  for (let n = 1; n <= 5; n++) {
    const conn = known.incoming(n, [], foreign);
    t.is(known.one('close').reason, 'handshake-mismatch');
    known.closed(conn, 'handshake-mismatch');
  }
  t.is(known.machine.inspect().connections, 0);
  known.incoming(9, []);
  t.deepEqual(known.types, ['accept'], 'the only slot is free');

  const unknown = new Scenario({ connectionsPerTorrentMax: 1, connectionsMax: 1 });
  const conn = unknown.incoming(1, [], foreign);
  unknown.opened([], true);
  t.is(unknown.one('close').reason, 'handshake-mismatch');
  t.is(unknown.closed(conn, 'handshake-mismatch').machine.inspect().connections, 0);
  unknown.incoming(2, []);
  t.is(unknown.of('accept').length, 1);
});

test('a piece that fails again and again leaves one request behind and is counted once', (t) => {
  const s = new Scenario(
    { pipelineLimit: 1, endgameDisabled: true, leecherIdleMs: 1e9, connectionIdleMs: 1e9 },
    1,
  ).leech();
  const conns = [1, 2, 3].map((n) => s.incoming(n, 'all'));
  const asked = (): number[] => s.torrent().connections.flatMap((connection) => [...connection.asked]);
  let requests = 1;
  for (let round = 0; round < 60; round++) {
    const holder = conns.find((conn) => s.asked(conn).length > 0);
    if (holder !== undefined && round % 2 === 0) s.message(holder, { type: 'error', piece: 0, code: 0, text: 'no' });
    requests += s.requests.length;
    s.pass(8000);
    requests += s.requests.length;
    t.true(asked().length <= 1, `round ${round}`);
  }
  t.true(requests > 60, `${requests} requests`);
  const holder = conns.find((conn) => s.asked(conn).length > 0) ?? conns[0]!;
  s.closed(holder);
  t.deepEqual(s.torrent().rarity, [2]);
  t.true(asked().length <= 1);
});

test('removal takes one torrent of many and leaves the rest as they are', (t) => {
  const s = new Scenario().leech();
  for (let n = 2; n <= 500; n++)
    s.step({ type: 'pull-requested', pull: n, namespace: 'ns', digest: digestOf(n), streaming: false });
  const before = s.machine.inspect().torrents.length;
  s.step({ type: 'remove-requested', request: 7, digest: digestOf(250) });
  t.deepEqual(
    s.of('pull-finished').map(({ pull }) => pull),
    [250],
  );
  s.step({ type: 'blob-deleted', digest: digestOf(250) });
  t.is(s.machine.inspect().torrents.length, before - 1);
  t.is(s.machine.status(digestOf(250)), undefined);
  t.is(s.machine.status(digestOf(251))?.waitingPulls, 1);
});

test('old blacklist entries are purged with the tick', (t) => {
  const s = new Scenario({ leecherIdleMs: 1e9 })
    .leech()
    .answered([peerInfo(1)])
    .dialFailed(1);
  s.pass(400_000).answered([peerInfo(1)]);
  s.dialFailed(1);
  t.true(s.machine.blacklistSnapshot(s.now)[0]!.remainingMs < 34_000, 'the first failure is forgotten');
});
