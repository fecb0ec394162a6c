/** The swarm machine and its peers: dials, handshakes, requests, payloads, serving, preemption. */
import test from 'ava';
import { parseInfoHash } from '@kraken/core/content';
import { digestOf, peerInfo, peerOf, Scenario } from './support/swarm-scenario.js';

const LOWER = 0x10;
const HIGHER = 0xf0;

/** Leeching with an active connection to peer 1 that has everything. */
function withSeed(config: ConstructorParameters<typeof Scenario>[0] = {}, pieces = 20): { s: Scenario; conn: number } {
  const s = new Scenario(config, pieces).leech();
  return { s, conn: s.incoming(1, 'all') };
}

// Dials.

test('dials follow the order of the tracker, skip us and those who are connected, keep both limits', (t) => {
  const s = new Scenario({ dialsPerTorrentMax: 4, connectionsPerTorrentMax: 5 }).leech();
  s.incoming(3, []);
  s.answered([peerInfo(0x80), peerInfo(3), peerInfo(5), peerInfo(4)]);
  t.deepEqual(
    s.of('dial').map((e) => e.peer),
    [peerOf(5), peerOf(4)],
  );
  s.answered([9, 10, 11, 12].map((n) => peerInfo(n)));
  t.deepEqual(
    s.of('dial').map((e) => e.peer),
    [peerOf(9), peerOf(10)],
    'five connections',
  );
  s.incoming(8, []);
  t.is(s.one('close').reason, 'at-capacity');
  t.deepEqual(
    s
      .dialFailed(5)
      .of('dial')
      .map((e) => e.peer),
    [peerOf(11)],
    'a slot that is free again is filled from the last answer',
  );
});

test('of many peers in the first answer one is dialled, the next if that fails; the others after the second answer', (t) => {
  const many = [1, 2, 3, 4, 5, 6, 7].map((n) => peerInfo(n));
  const s = new Scenario().leech().answered(many);
  t.deepEqual(
    s.of('dial').map((e) => e.peer),
    [peerOf(1)],
  );
  t.deepEqual(
    s
      .dialFailed(1)
      .of('dial')
      .map((e) => e.peer),
    [peerOf(2)],
  );
  s.pass(250);
  t.is(s.of('announce').length, 1, 'soon');
  s.answered(many);
  t.deepEqual(
    s.of('dial').map((e) => e.peer),
    [3, 4, 5, 6].map(peerOf),
  );
});

test('with all dial slots taken a connection is swapped for a fresh peer, never one with a Go peer', (t) => {
  const setUp = (version: string, peers: readonly number[]): Scenario => {
    const s = new Scenario({ dialsPerTorrentMax: 2, lonelyDialsMax: 0, rotationIntervalMs: 1000 }, 200)
      .leech()
      .answered([peerInfo(1), peerInfo(2)]);
    s.dialled(1, [], { version });
    s.dialled(2, [], { version });
    s.answered(peers.map((n) => peerInfo(n)));
    t.deepEqual(s.of('dial'), []);
    return s;
  };
  const s = setUp('kraken-ts/1', [0x80, 1, 2, 3]);
  s.pass(2100);
  t.is(s.of('close')[0]?.reason, 'rotated');
  t.deepEqual(
    s.of('dial').map((e) => e.peer),
    [peerOf(3)],
  );
  t.deepEqual(s.machine.blacklistSnapshot(s.now), []);
  s.dialFailed(3).pass(1000);
  t.is(s.of('close').length, 0, 'a free slot is filled without a swap');
  t.deepEqual(setUp('', [3]).pass(9000).of('close'), []);
  t.deepEqual(setUp('kraken-ts/1', [1, 2]).pass(9000).of('close'), [], 'nobody to swap for');
  t.deepEqual(setUp('kraken-ts/1', []).pass(9000).of('close'), []);
  const ended = setUp('kraken-ts/1', [3]).step({ type: 'pull-cancelled', pull: 1 });
  t.deepEqual(ended.pass(9000).of('close'), []);
});

test('the limit of the node holds for dials and for those who come', (t) => {
  const s = new Scenario({ connectionsMax: 2 }).leech().answered([peerInfo(1), peerInfo(2), peerInfo(3)]);
  t.is(s.of('dial').length, 2);
  s.incoming(4, []);
  t.is(s.one('close').reason, 'at-capacity');
});

test('a failed dial is blacklisted, longer each time, with jitter; success forgives', (t) => {
  const s = new Scenario({ leecherIdleMs: 1e9 }).leech();
  const times: number[] = [];
  for (let i = 0; i < 6; i++) {
    s.answered([peerInfo(1)]).dialFailed(1);
    const [entry] = s.machine.blacklistSnapshot(s.now);
    t.like(entry, { peerId: peerOf(1), infoHash: s.metainfo.infoHash });
    times.push(entry!.remainingMs);
    t.is(s.seen.filter((kind) => kind === 'peer-blacklisted').length, 1);
    s.pass(100).answered([peerInfo(1)]);
    t.deepEqual(s.of('dial'), []);
    s.pass(entry!.remainingMs);
  }
  [30, 60, 120, 240, 300, 300].forEach((expected, i) =>
    t.true(Math.abs(times[i]! / 1000 - expected) <= expected * 0.1, `${times[i]}`),
  );
  s.answered([peerInfo(1)]).dialled(1, []);
  t.deepEqual(s.machine.blacklistSnapshot(s.now), []);
});

test('a swarm of one source: it is tried again soon although it failed, but not a banned one and not beside another', (t) => {
  const s = new Scenario({ leecherIdleMs: 1e9 })
    .leech()
    .answered([peerInfo(1)])
    .dialFailed(1);
  t.deepEqual(s.answered([peerInfo(1)]).of('dial'), [], 'not at once');
  s.pass(3000).answered([peerInfo(1)]);
  t.is(s.of('dial').length, 1, 'after a pause');
  s.dialFailed(1);
  t.deepEqual(
    s
      .pass(1000)
      .answered([peerInfo(1)])
      .of('dial'),
    [],
    'each failure starts the pause again',
  );
  s.pass(3000).answered([peerInfo(1), peerInfo(2)]);
  t.deepEqual(
    s.of('dial').map(({ peer }) => peer),
    [peerOf(2)],
    'a peer without a fault goes first, and alone',
  );
  s.delivers(s.dialled(2, 'all'), 0);

  const forged = new Scenario({ leecherIdleMs: 1e9 }).leech().answered([peerInfo(1)]);
  const conn = forged.dialled(1, 'all');
  const [piece] = forged.asked(conn);
  forged.payload(conn, piece!).stored(conn, piece!, 'bad-sum').closed(conn);
  t.deepEqual(
    forged
      .pass(60_000)
      .answered([peerInfo(1)])
      .of('dial'),
    [],
    'a ban holds',
  );
});

test('a peer that hung up on our handshake is left alone for a moment only; without a blacklist nobody is', (t) => {
  const s = new Scenario({ rotationIntervalMs: 0 })
    .leech()
    .answered([peerInfo(1)])
    .dialFailed(1, 'too-many-connections');
  t.deepEqual(s.machine.blacklistSnapshot(s.now), []);
  while (s.of('announce').length === 0) s.wake();
  t.deepEqual(s.answered([peerInfo(1)]).of('dial'), []);
  t.is(
    s
      .pass(3000)
      .answered([peerInfo(1)])
      .of('dial').length,
    1,
  );
  const off = new Scenario({ blacklistDisabled: true })
    .leech()
    .answered([peerInfo(1)])
    .dialFailed(1);
  t.deepEqual(off.of('dial'), [], 'not from the same answer');
  while (off.of('announce').length === 0) off.wake();
  t.is(off.answered([peerInfo(1)]).of('dial').length, 1);
});

test('a reply that does not fit what we dialled is closed and blacklisted', (t) => {
  const wrong = [
    { peerId: peerOf(9) },
    { infoHash: parseInfoHash('ab'.repeat(20)) },
    { digest: digestOf(9) },
    { bitfield: new Scenario({}, 5).handshake(1, []).bitfield },
  ];
  for (const more of wrong) {
    const s = new Scenario().leech().answered([peerInfo(1)]);
    s.dialled(1, [], more);
    t.is(s.one('close').reason, 'handshake-mismatch');
    t.is(s.machine.blacklistSnapshot(s.now).length, 1);
  }
});

test('pieces that came while we dialled are announced on attaching; complete if that is what we are', (t) => {
  const s = new Scenario({}, 5).leech([0]).answered([peerInfo(2)]);
  const conn = s.incoming(1, [1, 2]);
  s.delivers(conn, 1).delivers(conn, 2);
  const dialled = s.dialled(2, []);
  t.deepEqual(
    s.of('send').map((e) => e.message),
    [
      { type: 'announce-piece', piece: 1 },
      { type: 'announce-piece', piece: 2 },
    ],
  );
  t.is(s.of('send')[0]?.conn, dialled);

  const done = new Scenario({}, 1).leech().answered([peerInfo(2)]);
  done.delivers(done.incoming(1, 'all'), 0).step({ type: 'blob-committed', digest: done.digest });
  done.dialled(2, []);
  t.deepEqual(
    done.of('send').map((e) => e.message),
    [{ type: 'complete' }],
  );
});

// Handshakes that come in.

test('an incoming handshake is answered with ours; neighbours are named, the namespace is empty', (t) => {
  const s = new Scenario({}, 4).leech([2]);
  s.incoming(1, [0]);
  t.deepEqual(s.types, ['accept', 'send'], 'and what it has is asked for');
  const second = s.incoming(2, []);
  const { handshake, conn } = s.one('accept');
  t.is(conn, second);
  t.deepEqual(handshake.neighbours, [peerOf(1)]);
  t.is(handshake.namespace, '');
  t.deepEqual([...handshake.bitfield], [2]);
});

test('refusals: ourselves, a misfit, two complete peers, a second connection, too many shared neighbours', (t) => {
  const reasons = (s: Scenario, ...args: Parameters<Scenario['incoming']>): string[] => {
    s.incoming(...args);
    return s.of('close').map((e) => e.reason);
  };
  const leech = (): Scenario => new Scenario({ mutualConnectionsMax: 1 }).leech();
  t.deepEqual(reasons(leech(), 0x80, []), ['self']);
  t.deepEqual(reasons(leech(), 1, [], { infoHash: parseInfoHash('ab'.repeat(20)) }), ['handshake-mismatch']);
  t.deepEqual(reasons(leech(), 1, [], { bitfield: new Scenario({}, 5).handshake(1, []).bitfield }), [
    'handshake-mismatch',
  ]);
  t.deepEqual(reasons(new Scenario().seed(), 1, 'all'), ['both-complete']);
  t.deepEqual(new Scenario().seed().machine.blacklistSnapshot(1000), []);
  const s = leech();
  s.incoming(1, []);
  t.deepEqual(reasons(s, 1, []), ['duplicate']);
  s.incoming(2, []);
  t.deepEqual(reasons(s, 3, [], { neighbours: [peerOf(1), peerOf(2)] }), ['at-capacity']);
  t.deepEqual(reasons(s, 4, [], { neighbours: [peerOf(1), peerOf(9)] }), []);
});

test('a blob that is not in memory is opened for the peer that asks, once for all who wait', (t) => {
  const s = new Scenario();
  const first = s.incoming(1, [], { namespace: 'theirs' });
  t.deepEqual(s.effects, [{ type: 'open-blob', namespace: 'theirs', digest: s.digest }]);
  const second = s.incoming(2, []);
  t.deepEqual(s.effects, []);
  s.opened([], true);
  t.deepEqual(
    s.of('accept').map((e) => e.conn),
    [first, second],
  );
  t.true(s.one('announce').complete);
  s.opened([], true);
  t.deepEqual(s.effects, [], 'a second completion is ignored');

  const none = new Scenario();
  none.incoming(1, []);
  none.step({ type: 'blob-open-failed', digest: none.digest, failure: { code: 'blob-unknown', says: 'no' } });
  t.is(none.one('close').reason, 'unknown-blob');
  t.true(none.isForgotten);
});

test('a peer that hangs up while the blob is opened is not accepted', (t) => {
  const s = new Scenario();
  const conn = s.incoming(1, []);
  t.deepEqual(s.closed(conn).opened([], true).of('accept'), []);
  t.deepEqual(s.machine.blacklistSnapshot(s.now), []);
});

test('a partial blob on disk is served without being pulled, and leaves memory when nobody reads', (t) => {
  const s = new Scenario();
  const conn = s.incoming(1, [3]);
  s.opened([0]);
  t.deepEqual(s.types, ['accept'], 'neither announce nor request');
  s.message(conn, { type: 'piece-request', piece: 0, offset: 0, length: 1000 });
  t.is(s.one('send-piece').piece, 0);
  s.step({ type: 'piece-sent', conn, digest: s.digest, piece: 0 });
  s.pass(62_000);
  t.true(s.isForgotten);
});

// Both dial.

test('when both dial, the dial of the lower id stays', (t) => {
  const low = new Scenario().leech().answered([peerInfo(LOWER)]);
  const dial = low.connOf(LOWER);
  const conn = low.incoming(LOWER, []);
  t.deepEqual(low.types.slice(0, 2), ['close', 'accept']);
  t.like(low.of('close')[0], { conn: dial, reason: 'duplicate' });
  t.deepEqual(
    low
      .step({ type: 'dial-failed', conn: dial, failure: { code: 'network-error', says: 'closed' } })
      .machine.blacklistSnapshot(low.now),
    [],
  );
  t.is(low.connOf(LOWER), conn);

  const high = new Scenario().leech().answered([peerInfo(HIGHER)]);
  const ours = high.connOf(HIGHER);
  const theirs = high.incoming(HIGHER, []);
  t.deepEqual(high.effects, [{ type: 'close', conn: theirs, reason: 'duplicate' }]);
  high.dialled(HIGHER, []);
  t.is(high.connOf(HIGHER), ours);
});

test('the dial of a Go peer always stays; a reply that crosses our close is ignored', (t) => {
  const s = new Scenario().leech().answered([peerInfo(HIGHER)]);
  const dial = s.connOf(HIGHER);
  const conn = s.incoming(HIGHER, [], { version: '' });
  t.is(s.one('accept').conn, conn);
  s.step({ type: 'dial-succeeded', conn: dial, handshake: s.handshake(HIGHER, []) });
  t.deepEqual(s.effects, []);
  s.closed(dial, 'duplicate');
  t.is(s.machine.inspect().connections, 1);
});

// Closes.

test('what a close means for the next dial depends on why', (t) => {
  const after = (reason: Parameters<Scenario['closed']>[1], useful: boolean): [number, boolean] => {
    const { s, conn } = withSeed();
    if (useful) s.delivers(conn, s.asked(conn)[0]!);
    s.closed(conn, reason);
    const listed = s.machine.blacklistSnapshot(s.now).length;
    s.answered([peerInfo(1)]);
    return [listed, s.of('dial').length === 1];
  };
  t.deepEqual(after('remote-closed', true), [0, false], 'a pause');
  t.deepEqual(after('remote-closed', false), [1, false]);
  t.deepEqual(after('remote-reset', false), [1, false]);
  t.deepEqual(after('protocol-error', true), [1, false]);
  t.deepEqual(after('io-error', true), [0, false]);
  const { s, conn } = withSeed();
  s.delivers(conn, s.asked(conn)[0]!).closed(conn);
  s.now += 3000;
  t.is(s.answered([peerInfo(1)]).of('dial').length, 1, 'after the pause');
});

test('what a peer was asked for is asked elsewhere when it goes', (t) => {
  const s = new Scenario({ pipelineLimit: 2, endgameDisabled: true }, 2).leech();
  const first = s.incoming(1, 'all');
  const second = s.incoming(2, 'all');
  t.deepEqual([s.asked(first).length, s.asked(second).length], [2, 0]);
  s.closed(first);
  t.is(s.asked(second).length, 2);
  t.true(s.seen.includes('connection-dropped'));
});

// Requests and payloads.

test('a peer is asked for what it has, up to the pipeline, more with each piece that comes', (t) => {
  const s = new Scenario({ pipelineLimit: 2 }, 20).leech();
  const conn = s.incoming(1, [3, 5, 7]);
  t.is(s.asked(conn).length, 2);
  t.true(s.asked(conn).every((piece) => [3, 5, 7].includes(piece)));
  const [first] = s.asked(conn);
  s.delivers(conn, first!);
  t.is(s.requests.length, 1);
  t.is(s.one('send').message.type, 'piece-request');
  t.is(s.asked(conn).length, 2);
});

test('an announced piece is asked for when there is room; a repeated or foreign index changes nothing', (t) => {
  const s = new Scenario({ pipelineLimit: 1, endgameDisabled: true }, 20).leech();
  const conn = s.incoming(1, []);
  t.deepEqual(s.announces(conn, 4).requests, [`${conn}:4`]);
  t.deepEqual(s.announces(conn, 6).requests, []);
  s.announces(conn, 4).announces(conn, 4);
  t.is(s.torrent().rarity[4], 1, 'counted once');
  s.announces(conn, 20);
  t.deepEqual(s.effects, []);
  t.deepEqual(s.seen, ['peer-misbehaved']);
  t.deepEqual(s.delivers(conn, 4).requests, [`${conn}:6`]);
});

test('complete makes a peer have everything; announcing the last piece does so too', (t) => {
  const s = new Scenario({ pipelineLimit: 3 }, 20).leech();
  const conn = s.incoming(1, [0]);
  s.message(conn, { type: 'complete' });
  t.is(s.asked(conn).length, 3);
  t.true(s.torrent().rarity.every((count) => count === 1));
  t.deepEqual(s.message(conn, { type: 'complete' }).effects, []);
  const two = new Scenario({}, 2).leech();
  const other = two.incoming(1, [0]);
  t.true(two.announces(other, 1).torrent().connections[0]?.bits?.isComplete);
  two.closed(other);
  t.deepEqual(two.torrent().rarity, [0, 0]);
});

test('complete from a peer of a seed closes the connection without blame', (t) => {
  const s = new Scenario().seed();
  const conn = s.incoming(1, []);
  t.is(s.message(conn, { type: 'complete' }).one('close').reason, 'both-complete');
  t.deepEqual(s.machine.blacklistSnapshot(s.now), []);
});

test('a stored piece is announced to those who lack it, not to the deliverer', (t) => {
  const s = new Scenario({}, 20).leech();
  const conn = s.incoming(1, 'all');
  const lacks = s.incoming(2, []);
  const has = s.incoming(3, [...Array(19).keys()]);
  t.not(has, lacks);
  const piece = s.asked(conn).find((asked) => asked < 19)!;
  s.delivers(conn, piece);
  t.deepEqual(s.one('broadcast'), { type: 'broadcast', conns: [lacks], message: { type: 'announce-piece', piece } });
});

test('on completion incomplete peers are told and complete ones closed', (t) => {
  const s = new Scenario({}, 1).leech();
  const conn = s.incoming(1, 'all');
  const other = s.incoming(2, []);
  s.delivers(conn, 0).step({ type: 'blob-committed', digest: s.digest });
  t.deepEqual(s.of('send'), [{ type: 'send', conn: other, message: { type: 'complete' } }]);
  t.deepEqual(s.of('close'), [{ type: 'close', conn, reason: 'both-complete' }]);
});

test('payloads: wrong offset, length or index close; what we have or did not ask for is dropped', (t) => {
  for (const [piece, more] of [
    [0, { offset: 1 }],
    [0, { length: 999 }],
    [20, { length: 0 }],
    [-1, { length: 0 }],
    [0, { length: -1 }],
  ] as const) {
    const { s, conn } = withSeed();
    s.payload(conn, piece, more);
    t.is(s.one('close').reason, 'protocol-error');
    t.deepEqual(
      s.machine.blacklistSnapshot(s.now).map((entry) => entry.peerId),
      [peerOf(1)],
    );
  }
  const { s, conn } = withSeed({ pipelineLimit: 2 });
  const unasked = [...Array(19).keys()].find((piece) => !s.asked(conn).includes(piece))!;
  s.payload(conn, unasked);
  t.deepEqual(s.effects, [{ type: 'discard-payload', conn, length: 1000 }]);
  t.deepEqual(s.seen, ['piece-duplicate']);
  const [first] = s.asked(conn);
  s.delivers(conn, first!).payload(conn, first!);
  t.deepEqual(s.types, ['discard-payload']);
});

test('a flood of payloads that nobody asked for closes the connection', (t) => {
  const { s, conn } = withSeed({ pipelineLimit: 1 });
  const unasked = [...Array(19).keys()].find((piece) => !s.asked(conn).includes(piece))!;
  for (let i = 0; i < 16; i++) t.deepEqual(s.payload(conn, unasked).types, ['discard-payload']);
  s.payload(conn, unasked);
  t.is(s.one('close').reason, 'protocol-error');
});

test('one writer per piece; a second payload is dropped and its sender asked for more', (t) => {
  const s = new Scenario({ pipelineLimit: 1, endgameThreshold: 20 }, 2).leech();
  const one = s.incoming(1, [0]);
  const two = s.incoming(2, [0]);
  t.deepEqual([s.asked(one), s.asked(two)], [[0], [0]]);
  s.payload(one, 0);
  t.deepEqual(s.one('receive-piece').conn, one);
  s.announces(two, 1).payload(two, 0);
  t.deepEqual(s.types, ['discard-payload', 'send']);
  t.deepEqual(s.requests, [`${two}:1`]);
  t.deepEqual(s.stored(one, 0, 'aborted').asked(one), [0], 'free again when the writer dies');
});

test('a bad sum closes, bans and blames; the piece is asked elsewhere', (t) => {
  const s = new Scenario({ pipelineLimit: 1, endgameDisabled: true }, 1).leech();
  const bad = s.incoming(1, 'all');
  const good = s.incoming(2, 'all');
  s.payload(bad, 0).stored(bad, 0, 'bad-sum');
  t.is(s.one('close').reason, 'bad-piece');
  t.deepEqual(s.requests, [`${good}:0`]);
  t.true(s.seen.includes('piece-rejected'));
  t.is(s.machine.blacklistSnapshot(s.now)[0]?.remainingMs, 600_000);
  s.closed(bad, 'bad-piece').incoming(1, 'all');
  t.is(s.one('close').reason, 'blacklisted', 'a banned peer may not come in');
  const late = new Scenario({}, 2).leech();
  const conn = late.incoming(1, 'all');
  late.payload(conn, 0).closed(conn, 'remote-closed').stored(conn, 0, 'bad-sum');
  t.deepEqual(late.of('close'), []);
});

test('an expired request goes elsewhere, its late payload is still taken', (t) => {
  const s = new Scenario({ pipelineLimit: 1, endgameDisabled: true, requestTimeoutMinMs: 4000 }, 1).leech();
  const slow = s.incoming(1, 'all');
  s.pass(4000);
  t.deepEqual(s.observations, [{ kind: 'request-expired', digest: s.digest, peer: peerOf(1), piece: 0 }]);
  t.deepEqual(s.requests, [], 'not of the same peer at once');
  const quick = s.incoming(2, 'all');
  t.deepEqual(s.requests, [`${quick}:0`]);
  s.payload(slow, 0);
  t.is(s.one('receive-piece').conn, slow);
  t.deepEqual(s.payload(quick, 0).types, ['discard-payload']);
  t.deepEqual(s.stored(slow, 0).types.slice(-1), ['commit-blob']);
});

test('the only holder is asked again when its time is over', (t) => {
  const { s, conn } = withSeed({}, 1);
  s.pass(4000);
  t.deepEqual(s.requests, []);
  s.pass(4000);
  t.deepEqual(s.requests, [`${conn}:0`]);
});

test('the deadline of a request counts those ahead of it; large pieces have longer', (t) => {
  const { s, conn } = withSeed({ pipelineLimit: 3 });
  s.pass(4000);
  t.is(s.seen.length, 2, 'one expired, one asked instead');
  t.is(s.asked(conn).length, 3);
  s.pass(3999);
  t.deepEqual(s.seen, []);
  s.pass(1);
  t.true(s.seen.includes('request-expired'));
});

test('a refused piece is not asked of that peer for a while', (t) => {
  const s = new Scenario({ pipelineLimit: 1, endgameDisabled: true }, 1).leech();
  const one = s.incoming(1, 'all');
  s.message(one, { type: 'error', piece: 0, code: 0, text: 'piece not complete' });
  t.deepEqual(s.requests, []);
  const two = s.incoming(2, 'all');
  t.deepEqual(s.requests, [`${two}:0`]);
  s.message(two, { type: 'error', piece: 0, code: 7, text: '?' });
  t.deepEqual(s.asked(two), [0], 'other codes mean nothing');
  s.message(two, { type: 'error', piece: 0, code: 0, text: 'no' });
  s.pass(5000);
  t.deepEqual(s.requests, [`${one}:0`]);
  s.message(one, { type: 'error', piece: 77, code: 0, text: 'no' }).message(one, { type: 'cancel-piece', piece: 0 });
  t.deepEqual(s.message(one, { type: 'ignored', says: 'x' }).effects, []);
});

test('a peer that refuses everything is asked for a few pieces only, and again later', (t) => {
  const s = new Scenario({ pipelineLimit: 1 }, 500).leech();
  const one = s.incoming(1, 'all');
  let refused = 0;
  for (let [piece] = s.asked(one); piece !== undefined; [piece] = s.asked(one)) {
    s.message(one, { type: 'error', piece, code: 0, text: 'no' });
    refused++;
  }
  t.is(refused, 64);
  t.is(s.machine.inspect().torrents[0]?.connections[0]?.avoid.size, 64);
  s.pass(5000);
  t.is(s.asked(one).length, 1);
});

test('of peers that left only so many are remembered, those that failed longest', (t) => {
  const s = new Scenario({}, 4).leech();
  for (let n = 1; n <= 1200; n++) {
    const conn = s.incoming(1000 + n, []);
    s.step({ type: 'connection-closed', conn, reason: n % 2 === 0 ? 'remote-closed' : 'too-old' });
  }
  t.true((s.machine.inspect().torrents[0]?.blacklisted ?? 0) <= 1000);
  t.true(s.machine.blacklistSnapshot(s.now).length >= 600, 'who failed is not forgotten for those who paused');
});

test('end game: the last pieces are asked of several peers, never twice of one', (t) => {
  const start = (config: object): number[] => {
    const s = new Scenario({ pipelineLimit: 3, ...config }, 3).leech();
    return [1, 2, 3].map((n) => s.asked(s.incoming(n, 'all')).length);
  };
  t.deepEqual(start({ endgameCopiesMax: 2 }), [3, 3, 0]);
  t.deepEqual(start({ endgameCopiesMax: 3 }), [3, 3, 3]);
  t.deepEqual(start({ endgameDisabled: true }), [3, 0, 0]);
  t.deepEqual(start({ endgameThreshold: 2 }), [3, 0, 0]);
  const s = new Scenario({ pipelineLimit: 1, endgameDisabled: false }, 1).leech();
  const one = s.incoming(1, 'all');
  const two = s.incoming(2, []);
  t.deepEqual(s.announces(two, 0).requests, [`${two}:0`], 'also when the piece is announced');
  s.delivers(one, 0);
  t.deepEqual(s.payload(two, 0).types, ['discard-payload']);
});

// Origins.

test('an origin is spared what agents have until it has been idle', (t) => {
  const s = new Scenario(
    { originIdleMs: 1000, pipelineLimit: 1, originPipelineLimit: 2, endgameThreshold: 1, dialsPerTorrentMax: 5 },
    8,
  ).leech();
  s.answered([peerInfo(1, { origin: true, complete: true })]);
  s.incoming(2, [0, 1, 2, 3, 4, 5, 6]);
  const origin = s.dialled(1, 'all');
  s.pass(100);
  t.deepEqual(s.asked(origin), [7]);
  s.delivers(origin, 7);
  t.deepEqual(s.requests, []);
  s.pass(999);
  t.deepEqual(s.asked(origin), []);
  s.pass(1);
  t.is(s.asked(origin).length, 2);
  const plain = new Scenario(
    { originSparing: false, pipelineLimit: 3, originPipelineLimit: 2, endgameDisabled: true },
    8,
  ).leech();
  plain.answered([peerInfo(1, { origin: true })]).incoming(2, 'all');
  t.is(plain.asked(plain.dialled(1, 'all')).length, 2);
});

test('an origin is spared while an agent has everything', (t) => {
  const s = new Scenario({ originIdleMs: 1000, originPipelineLimit: 2 }, 40)
    .leech()
    .answered([peerInfo(1, { origin: true })]);
  const agent = s.incoming(2, 'all');
  const origin = s.dialled(1, 'all');
  s.pass(500);
  t.deepEqual(s.asked(origin), []);
  s.closed(agent).pass(0);
  t.is(s.asked(origin).length, 2, 'but not when the agent goes');
});
