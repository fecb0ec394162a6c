/** The swarm machine: pulls, torrents, announces, limits, removal, shutdown. Peers are in swarm-peers.test.ts. */
import test from 'ava';
import { Bitfield } from '@kraken/core/content';
import { PIECE_CHOICES, type PieceQuestion } from '@kraken/core/policy';
import { Random } from '@kraken/core/random';
import { DEFAULT_SWARM_CONFIG, SwarmMachine } from '@kraken/core/swarm';
import { digestOf, metainfoOf, peerInfo, peerOf, Scenario, SELF } from './support/swarm-scenario.js';

const FAILED = { code: 'tracker-unavailable', says: 'no' } as const;

// One pull.

test('a pull fetches metainfo, opens, announces, dials, asks, stores, commits and seeds', (t) => {
  const s = new Scenario({}, 3);
  t.deepEqual(s.pull(1).effects, [{ type: 'fetch-metainfo', namespace: 'ns', digest: s.digest }]);
  t.deepEqual(s.fetched().effects, [{ type: 'open-blob', namespace: 'ns', digest: s.digest, metainfo: s.metainfo }]);
  s.opened();
  t.deepEqual(s.types, ['pull-opened', 'announce']);
  t.is(s.one('pull-opened').metainfo, s.metainfo);
  t.deepEqual(s.one('announce'), {
    type: 'announce',
    namespace: 'ns',
    digest: s.digest,
    infoHash: s.metainfo.infoHash,
    complete: false,
  });
  t.deepEqual(s.observations, [
    { kind: 'torrent-added', digest: s.digest, infoHash: s.metainfo.infoHash, complete: false, rooted: false },
  ]);
  s.answered([peerInfo(1, { origin: true, complete: true })]);
  const dial = s.one('dial');
  t.is(dial.conn % 2, 0);
  t.like(dial, { peer: peerOf(1), ip: '10.0.0.1', port: 1001, timeoutMs: 5000 });
  t.like(dial.handshake, {
    peerId: SELF,
    digest: s.digest,
    namespace: 'ns',
    infoHash: s.metainfo.infoHash,
    version: 'kraken-ts/1 layer',
  });
  t.deepEqual(dial.handshake.neighbours, []);
  const conn = s.dialled(1, 'all');
  t.is(s.requests.length, 3, 'a sole source is asked ahead');
  t.true(s.seen.includes('connection-added'));
  for (const piece of s.asked(conn).slice(0, 2)) {
    s.payload(conn, piece);
    t.like(s.one('receive-piece'), { conn, piece, length: piece === 2 ? 500 : 1000 });
    s.stored(conn, piece);
    t.like(s.observations[0], { kind: 'piece-received', piece, fromOrigin: true });
  }
  s.delivers(conn, s.asked(conn)[0]!);
  t.deepEqual(s.types, ['commit-blob']);
  t.is(s.machine.status(s.digest)?.state, 'committing');
  s.step({ type: 'blob-committed', digest: s.digest });
  t.deepEqual(s.types, ['pull-finished', 'close', 'announce']);
  t.deepEqual(s.one('pull-finished'), { type: 'pull-finished', pull: 1 });
  t.is(s.one('close').reason, 'both-complete');
  t.true(s.one('announce').complete);
  t.deepEqual(s.seen.slice(0, 1), ['torrent-completed']);
  t.like(s.machine.status(s.digest), {
    state: 'seeding',
    have: 3,
    pieces: 3,
    length: 2500,
    waitingPulls: 0,
    connections: 0,
  });
  t.deepEqual(s.pull(2).types, ['pull-opened', 'pull-finished'], 'a pull of a complete torrent ends at once');
});

test('many pulls share one torrent, one fetch and one announce', (t) => {
  const s = new Scenario();
  s.pull(1).pull(2);
  t.deepEqual(s.effects, []);
  s.fetched().pull(3);
  t.deepEqual(s.effects, []);
  s.opened();
  t.deepEqual(
    s.of('pull-opened').map((e) => e.pull),
    [1, 2, 3],
  );
  t.is(s.of('announce').length, 1);
  s.pull(4);
  t.deepEqual(s.types, ['pull-opened']);
  t.deepEqual(s.pull(4).effects, [], 'a number that waits is not taken twice');
});

test('a blob that is committed already ends the pull', (t) => {
  const s = new Scenario();
  s.pull(1).fetched().opened([], true);
  t.deepEqual(s.types, ['pull-opened', 'pull-finished', 'announce']);
  t.true(s.one('announce').complete);
});

test('an uncommitted blob whose pieces are all there is committed without peers; so is an empty one', (t) => {
  t.deepEqual(new Scenario({}, 2).leech([0, 1]).types, ['commit-blob', 'pull-opened']);
  const s = new Scenario({}, 0).leech();
  t.deepEqual(s.types, ['commit-blob', 'pull-opened']);
  t.deepEqual(s.step({ type: 'blob-committed', digest: s.digest }).types, ['pull-finished', 'announce']);
});

test('failures of metainfo, opening and commit end all pulls with their code and forget the torrent', (t) => {
  const metainfo = new Scenario()
    .pull(1)
    .pull(2)
    .step({ type: 'metainfo-fetch-failed', digest: digestOf(1), failure: { code: 'blob-unknown', says: 'nobody' } });
  t.deepEqual(
    metainfo.of('pull-finished').map((e) => [e.pull, e.failure?.code]),
    [
      [1, 'blob-unknown'],
      [2, 'blob-unknown'],
    ],
  );
  t.true(metainfo.isForgotten);

  const other = new Scenario().pull(1).fetched(metainfoOf(2, 4));
  t.is(other.one('pull-finished').failure?.code, 'metainfo-invalid');
  t.true(other.isForgotten);

  const open = new Scenario()
    .pull(1)
    .fetched()
    .step({ type: 'blob-open-failed', digest: digestOf(1), failure: { code: 'disk-full', says: 'full' } });
  t.is(open.one('pull-finished').failure?.code, 'disk-full');
  t.true(open.isForgotten);

  const misfit = new Scenario().pull(1).fetched();
  misfit.step({
    type: 'blob-opened',
    digest: misfit.digest,
    metainfo: misfit.metainfo,
    have: new Bitfield(3),
    committed: false,
  });
  t.is(misfit.one('pull-finished').failure?.code, 'metainfo-invalid');
  t.true(misfit.isForgotten);

  const commit = new Scenario({}, 1)
    .leech([0])
    .step({ type: 'blob-commit-failed', digest: digestOf(1), failure: { code: 'digest-mismatch', says: 'bad' } });
  t.is(commit.one('pull-finished').failure?.code, 'digest-mismatch');
  t.deepEqual(commit.types, ['pull-finished', 'close-blob']);
  t.true(commit.isForgotten);
});

test('a disk that is full or fails ends the pulls and drops the torrent', (t) => {
  for (const verdict of ['disk-full', 'io-error'] as const) {
    const s = new Scenario().leech().answered([peerInfo(1)]);
    const conn = s.dialled(1, 'all');
    s.payload(conn, s.asked(conn)[0]!);
    const { piece } = s.one('receive-piece');
    s.stored(conn, piece, verdict);
    t.is(s.one('pull-finished').failure?.code, verdict);
    t.is(s.one('close').reason, 'io-error');
    t.deepEqual(s.types.slice(-1), ['close-blob']);
    t.true(s.isForgotten);
  }
});

// Limits and deadlines.

test('the limits of pulls and torrents are kept; idle torrents make room', (t) => {
  const s = new Scenario({ pullsMax: 2 });
  s.pull(1).pull(2).pull(3);
  t.is(s.one('pull-finished').failure?.code, 'too-many-pulls');

  const full = new Scenario({ torrentsMax: 1 });
  full.pull(1).pull(2, { digest: digestOf(2) });
  t.is(full.one('pull-finished').failure?.code, 'too-many-pulls');

  const idle = new Scenario({ torrentsMax: 1 }).seed();
  idle.pull(2, { digest: digestOf(2) });
  t.deepEqual(idle.types, ['close-blob', 'fetch-metainfo']);
  t.true(idle.isForgotten);
  t.deepEqual(
    idle.step({ type: 'seed-requested', namespace: 'ns', digest: digestOf(3) }).effects,
    [],
    'a busy node takes no seed',
  );
});

test('the longest idle torrent goes first', (t) => {
  const s = new Scenario({ torrentsMax: 2 }).seed();
  const later = metainfoOf(2, 4);
  s.now += 50;
  s.step({ type: 'seed-requested', namespace: 'ns', digest: later.digest });
  s.step({ type: 'blob-opened', digest: later.digest, metainfo: later, have: Bitfield.full(4), committed: true });
  s.pull(5, { digest: digestOf(3) });
  t.true(s.isForgotten);
  t.is(s.machine.status(later.digest)?.state, 'seeding');
});

test('a deadline ends one pull, the others go on', (t) => {
  const s = new Scenario();
  s.pull(1, { deadlineAt: 5000 }).pull(2).fetched().opened();
  s.pass(3999);
  t.deepEqual(s.of('pull-finished'), []);
  s.pass(1);
  t.is(s.one('pull-finished').failure?.code, 'pull-timeout');
  t.deepEqual(s.torrent().pulls, [2]);
  t.is(
    new Scenario().pull(1, { deadlineAt: 1 }).one('pull-finished').failure?.code,
    'pull-timeout',
    'a deadline in the past',
  );
});

test('a pull stalls when no piece is stored for too long; each pull has its full time', (t) => {
  const s = new Scenario({ leecherIdleMs: 10_000 }).leech();
  s.pass(4000).pull(2);
  s.pass(5999);
  t.deepEqual(s.of('pull-finished'), []);
  s.pass(1);
  t.like(s.one('pull-finished'), { pull: 1 });
  t.is(s.one('pull-finished').failure?.code, 'pull-stalled');
  s.pass(4000);
  t.like(s.one('pull-finished'), { pull: 2 });

  const fed = new Scenario({ leecherIdleMs: 10_000 }).leech();
  fed.pass(9000);
  const conn = fed.incoming(1, [0]);
  fed.delivers(conn, 0).pass(9000);
  t.deepEqual(fed.of('pull-finished'), [], 'a stored piece starts the time anew');
  fed.pass(1000);
  t.is(fed.one('pull-finished').failure?.code, 'pull-stalled');

  const off = new Scenario({ leecherIdleMs: 10_000, preemptionDisabled: true }).leech();
  t.deepEqual(off.pass(1e6).of('pull-finished'), [], 'disable_preemption switches it off, as in Go');
});

test('the last pull that goes stops requests and announces at once; the torrent goes at the next tick', (t) => {
  const s = new Scenario({}, 20).leech([0]).answered([peerInfo(1)]);
  const conn = s.dialled(1, 'all');
  s.step({ type: 'pull-cancelled', pull: 1 });
  t.is(s.one('pull-finished').failure?.code, 'cancelled');
  t.deepEqual(s.step({ type: 'pull-cancelled', pull: 1 }).effects, []);
  s.delivers(conn, s.asked(conn)[0]!);
  t.deepEqual(s.requests, []);
  t.is(s.torrent().state, 'leeching', 'still serves');
  s.pass(29_000);
  t.deepEqual(s.of('announce'), []);
  s.pass(2000);
  t.deepEqual(s.types, ['close', 'close-blob']);
  t.true(s.isForgotten);
});

test('a pull that comes back within the grace goes on', (t) => {
  const s = new Scenario({}, 20).leech().answered([peerInfo(1)]);
  const conn = s.dialled(1, 'all');
  s.step({ type: 'pull-cancelled', pull: 1 }).closed(conn);
  s.pull(2);
  t.deepEqual(s.types, ['pull-opened', 'announce']);
  t.is(s.torrent().wantedMissing, 20);
});

test('a pull that is cancelled while metainfo is fetched leaves nothing; a second one reuses the fetch', (t) => {
  const s = new Scenario().pull(1).step({ type: 'pull-cancelled', pull: 1 });
  t.true(s.isForgotten);
  t.deepEqual(s.pull(2).effects, []);
  t.deepEqual(s.fetched().types, ['open-blob']);
  const late = new Scenario().pull(1).step({ type: 'pull-cancelled', pull: 1 }).fetched();
  t.deepEqual(late.effects, []);
});

// Ranges and readers.

test('a range pull asks only for its pieces and ends when they are verified', (t) => {
  const s = new Scenario({ endgameDisabled: true }, 10)
    .pull(1, { range: { start: 2500, end: 4001 } })
    .fetched()
    .opened([3]);
  const conn = s.incoming(1, 'all');
  t.deepEqual([...s.asked(conn)].sort(), [2, 4]);
  s.delivers(conn, 2);
  t.deepEqual(s.of('pull-finished'), []);
  t.deepEqual(s.requests, []);
  s.delivers(conn, 4);
  t.deepEqual(s.one('pull-finished'), { type: 'pull-finished', pull: 1 });
  t.is(s.torrent().wantedMissing, 0);
});

test('a whole pull beside a range pull wants all; what a range wanted stays wanted when the whole one goes', (t) => {
  const s = new Scenario({ endgameDisabled: true }, 10)
    .pull(1, { range: { start: 0, end: 3000 } })
    .fetched()
    .opened();
  s.pull(2)
    .pull(3)
    .pull(4, { range: { start: 2000, end: 5000 } });
  t.is(s.torrent().wantedMissing, 10);
  s.step({ type: 'pull-cancelled', pull: 2 });
  t.is(s.torrent().wantedMissing, 10);
  s.step({ type: 'pull-cancelled', pull: 3 });
  t.is(s.torrent().wantedMissing, 5);
  t.deepEqual([...s.torrent().open], [0, 1, 2, 3, 4]);
  s.step({ type: 'pull-cancelled', pull: 1 });
  t.deepEqual([...s.torrent().open], [2, 3, 4]);
});

test('ranges that are empty, there already, or beyond the end finish at once or are clipped', (t) => {
  t.deepEqual(new Scenario({}, 4).leech([], { range: { start: 5, end: 5 } }).of('pull-finished').length, 1);
  t.deepEqual(new Scenario({}, 4).leech([1], { range: { start: 1000, end: 2000 } }).of('pull-finished').length, 1);
  t.deepEqual(new Scenario({}, 4).leech([], { range: { start: 90_000, end: 99_000 } }).of('pull-finished').length, 1);
  const clipped = new Scenario({}, 4).leech([], { range: { start: 3000, end: 99_000 } });
  t.deepEqual([...clipped.torrent().open], [3]);
});

// Announces.

test('each torrent announces on its own clock, with jitter, clamped, again soon while it lacks peers', (t) => {
  const s = new Scenario({ announceAgainMs: 200 }, 20).leech();
  const gaps: number[] = [];
  for (let i = 0; i < 8; i++) {
    const before = s.now;
    s.answered([], 3000);
    while (s.of('announce').length === 0) s.wake();
    gaps.push(s.now - before);
  }
  [200, 400, 800, 1600, 3000, 3000, 3000, 3000].forEach((expected, i) => {
    t.true(gaps[i]! >= expected * 0.9 && gaps[i]! <= expected * 1.1, `gap ${i} is ${gaps[i]}`);
  });
  t.is(new Set(gaps.map((gap) => gap % 100)).size, gaps.length, 'jitter');
});

test('a torrent with enough peers keeps to the interval of the tracker, at most the maximum; 0 means the default', (t) => {
  const gap = (intervalMs: number, more: object = {}, peers = 2): number => {
    const s = new Scenario({ dialsPerTorrentMax: 2, ...more }, 20).leech();
    for (let n = 1; n <= peers; n++) s.incoming(n, []);
    const before = s.now;
    s.answered([], intervalMs);
    while (s.of('announce').length === 0) s.wake();
    return s.now - before;
  };
  const near = (value: number, expected: number): boolean =>
    t.true(Math.abs(value - expected) <= expected * 0.1, `${value}, expected about ${expected}`);
  near(gap(3000), 3000);
  near(gap(900_000), 60_000);
  near(gap(0), 5000);
  near(gap(3000, { connectionsPerTorrentMax: 2 }), 12_000);
});

test('failed announces back off and recover', (t) => {
  const s = new Scenario().leech();
  const gaps: number[] = [];
  for (let i = 0; i < 5; i++) {
    const before = s.now;
    s.step({ type: 'announce-failed', digest: s.digest, failure: FAILED });
    while (s.of('announce').length === 0) s.wake();
    gaps.push(s.now - before);
  }
  [5000, 10_000, 20_000, 30_000, 30_000].forEach((expected, i) =>
    t.true(Math.abs(gaps[i]! - expected) <= expected * 0.1),
  );
});

test('seeds announce again every half hour; origins never announce', (t) => {
  const s = new Scenario({ seederIdleMs: 1e9 }).seed();
  t.true(s.one('announce').complete);
  s.answered([], 3000).pass(1_600_000);
  t.deepEqual(s.of('announce'), []);
  s.pass(400_000);
  t.is(s.of('announce').length, 1);
  t.deepEqual(new Scenario({ role: 'origin' }).seed().of('announce'), []);
});

test('a completion while a leecher announce is under way announces complete right after', (t) => {
  const s = new Scenario({}, 1).leech();
  const conn = s.incoming(1, 'all');
  s.delivers(conn, 0).step({ type: 'blob-committed', digest: s.digest });
  t.deepEqual(s.of('announce'), []);
  s.answered([]);
  t.true(s.one('announce').complete);
});

// Origins and seeds.

test('an origin serves a committed blob and fetches nothing', (t) => {
  const s = new Scenario({ role: 'origin' }).pull(1);
  t.deepEqual(s.types, ['open-blob']);
  t.is(s.one('open-blob').metainfo, undefined);
  t.deepEqual(s.opened([], true).types, ['pull-opened', 'pull-finished']);
  const missing = new Scenario({ role: 'origin' })
    .pull(1)
    .step({ type: 'blob-open-failed', digest: digestOf(1), failure: { code: 'blob-unknown', says: 'no' } });
  t.is(missing.one('pull-finished').failure?.code, 'blob-unknown');
});

test('a seed that is not there is forgotten; a seed of a known torrent changes nothing', (t) => {
  const s = new Scenario().step({ type: 'seed-requested', namespace: 'ns', digest: digestOf(1) });
  t.deepEqual(s.types, ['open-blob']);
  s.step({ type: 'blob-open-failed', digest: s.digest, failure: { code: 'blob-unknown', says: 'no' } });
  t.true(s.isForgotten);
  t.deepEqual(new Scenario().seed().step({ type: 'seed-requested', namespace: 'ns', digest: digestOf(1) }).effects, []);
});

test('a pull that joins a local look-up fetches metainfo when there is nothing local', (t) => {
  const s = new Scenario().step({ type: 'seed-requested', namespace: 'ns', digest: digestOf(1) }).pull(1);
  s.step({ type: 'blob-open-failed', digest: s.digest, failure: { code: 'blob-unknown', says: 'no' } });
  t.deepEqual(s.types, ['fetch-metainfo']);
});

// Removal and eviction.

test('removal fails the pulls, closes connections, says goodbye, deletes; a pull right after starts anew without blacklists', (t) => {
  const s = new Scenario({}, 20).leech().answered([peerInfo(1)]);
  const conn = s.dialled(1, 'all');
  s.step({ type: 'remove-requested', request: 7, digest: s.digest });
  t.deepEqual(s.types, ['pull-finished', 'announce', 'close', 'delete-blob']);
  t.is(s.one('pull-finished').failure?.code, 'removed');
  t.is(s.one('announce').event, 'stopped');
  t.is(s.one('close').reason, 'torrent-removed');
  s.pull(2);
  t.deepEqual(s.effects, [], 'waits for the deletion');
  s.step({ type: 'remove-requested', request: 8, digest: s.digest });
  t.like(s.one('pull-finished'), { pull: 2 });
  s.pull(3).closed(conn);
  s.step({ type: 'blob-deleted', digest: s.digest });
  t.deepEqual(
    s.of('removal-finished').map((e) => e.request),
    [7, 8],
  );
  t.deepEqual(s.types.slice(-1), ['fetch-metainfo']);
  s.fetched()
    .opened()
    .answered([peerInfo(1)])
    .pass(1);
  t.deepEqual(s.machine.blacklistSnapshot(s.now), []);
  s.answered([peerInfo(1)]);
  t.is(s.torrent().connections.length, 1, 'dialled again at once');
});

test('removal of what is not in memory deletes; a failed deletion is told', (t) => {
  const s = new Scenario().step({ type: 'remove-requested', request: 7, digest: digestOf(1) });
  t.deepEqual(s.types, ['delete-blob']);
  s.step({ type: 'blob-delete-failed', digest: s.digest, failure: { code: 'blob-pinned', says: 'pinned' } });
  t.is(s.one('removal-finished').failure?.code, 'blob-pinned');
  t.true(s.isForgotten);
});

test('removal waits for host work that is under way', (t) => {
  const opening = new Scenario()
    .pull(1)
    .fetched()
    .step({ type: 'remove-requested', request: 7, digest: digestOf(1) });
  t.deepEqual(opening.types, ['pull-finished']);
  t.deepEqual(opening.opened().types, ['delete-blob']);

  const failing = new Scenario()
    .pull(1)
    .fetched()
    .step({ type: 'remove-requested', request: 7, digest: digestOf(1) });
  t.deepEqual(failing.step({ type: 'blob-open-failed', digest: digestOf(1), failure: FAILED }).types, ['delete-blob']);

  const writing = new Scenario().leech();
  const conn = writing.incoming(1, 'all');
  const piece = writing.asked(conn)[0]!;
  writing.payload(conn, piece).step({ type: 'remove-requested', request: 7, digest: writing.digest });
  t.false(writing.types.includes('delete-blob'));
  t.deepEqual(writing.stored(conn, piece, 'aborted').types, ['delete-blob']);

  for (const end of ['blob-committed', 'blob-commit-failed'] as const) {
    const committing = new Scenario({}, 1)
      .leech([0])
      .step({ type: 'remove-requested', request: 7, digest: digestOf(1) });
    t.false(committing.types.includes('delete-blob'));
    t.deepEqual(committing.step({ type: end, digest: committing.digest, failure: FAILED }).types, ['delete-blob']);
  }
});

test('whatever comes between the last piece and its commit, everybody who waits is answered once', (t) => {
  const DIGEST = digestOf(1);
  const between = {
    removal: [{ type: 'remove-requested', request: 7, digest: DIGEST }, 'removed'],
    eviction: [{ type: 'blob-evicted', digest: DIGEST }, undefined],
    cancellation: [{ type: 'pull-cancelled', pull: 1 }, 'cancelled'],
    'idle tick': [{ type: 'woke' }, undefined],
    shutdown: [{ type: 'shutdown-requested' }, 'shutting-down'],
  } as const;
  for (const [name, [event, code]] of Object.entries(between)) {
    const s = new Scenario({ leecherIdleMs: 1000, seederIdleMs: 1000, preemptionIntervalMs: 1000 }, 1).leech();
    const conn = s.incoming(1, 'all');
    const answers: [number, string | undefined][] = [];
    const note = (): void => {
      for (const { pull, failure } of s.of('pull-finished')) answers.push([pull, failure?.code]);
    };
    s.delivers(conn, 0);
    t.deepEqual(s.types.slice(-1), ['commit-blob'], name);
    s.pull(2);
    note();
    s.pass(5000);
    note();
    let anew = false;
    const host = [
      { type: 'blob-committed', digest: DIGEST } as const,
      { type: 'blob-deleted', digest: DIGEST } as const,
    ];
    for (const next of [event, ...host]) {
      s.step(next);
      note();
      anew ||= s.types.includes('fetch-metainfo');
    }
    if (anew) s.fetched().opened([], true);
    note();
    t.deepEqual(answers.map(([pull]) => pull).sort(), [1, 2], name);
    t.is(answers.find(([pull]) => pull === 1)?.[1], code, name);
  }
});

test('removal while metainfo is fetched needs not wait for it; the late answer is ignored', (t) => {
  const s = new Scenario().pull(1).step({ type: 'remove-requested', request: 7, digest: digestOf(1) });
  t.deepEqual(s.types, ['pull-finished', 'delete-blob']);
  s.step({ type: 'blob-deleted', digest: s.digest });
  t.deepEqual(s.fetched().effects, []);
});

test('an evicted seed is forgotten with a goodbye; waiting pulls of an evicted download start over', (t) => {
  const s = new Scenario()
    .seed()
    .answered([])
    .step({ type: 'blob-evicted', digest: digestOf(1) });
  t.deepEqual(s.types, ['announce', 'close-blob']);
  t.is(s.one('announce').event, 'stopped');
  t.true(s.isForgotten);
  const pulled = new Scenario().leech([1]).step({ type: 'blob-evicted', digest: digestOf(1) });
  t.deepEqual(pulled.types, ['close-blob', 'fetch-metainfo']);
  pulled.fetched().opened();
  t.deepEqual(pulled.of('pull-opened'), [], 'opened once');
  t.is(pulled.torrent().wantedMissing, 4);
  t.deepEqual(new Scenario().step({ type: 'blob-evicted', digest: digestOf(9) }).effects, []);
});

// Settings and shutdown.

test('an unknown piece choice is refused at construction and at reconfiguration', (t) => {
  const make = (pieceChoice: string): SwarmMachine =>
    new SwarmMachine({ ...DEFAULT_SWARM_CONFIG, peerId: SELF, pieceChoice }, new Random(1));
  t.throws(() => make('toString'), { code: 'config-invalid', message: /default or rarest_first/ });
  const s = new Scenario();
  t.throws(() => s.step({ type: 'reconfigured', config: { ...s.config, pieceChoice: 'nope' } }), {
    code: 'config-invalid',
  });
});

test('a piece choice of the embedding program is asked by its name; what is no candidate is not requested', (t) => {
  const last = (question: PieceQuestion): number => {
    for (let piece = question.words * 32 - 1; piece >= 0; piece--) if (question.isCandidate(piece)) return piece;
    return -1;
  };
  const pieceChoices = { ...PIECE_CHOICES, last, mad: () => 7 };
  const s = new Scenario({ pieceChoice: 'last', pipelineLimit: 3 }, 20, 1, pieceChoices).leech();
  const conn = s.incoming(1, 'all');
  t.deepEqual(s.asked(conn), [19, 18, 17]);
  s.step({ type: 'reconfigured', config: { ...s.config, pieceChoice: 'mad', endgameDisabled: true } });
  s.delivers(conn, 19);
  s.delivers(conn, 18);
  t.deepEqual(s.asked(conn), [17, 7], 'piece 7 once, then it is no candidate any more');
});

test('new settings hold at once and drop nothing', (t) => {
  const s = new Scenario({}, 200).leech();
  const conn = s.incoming(1, 'all');
  t.is(s.asked(conn).length, 3);
  s.step({ type: 'reconfigured', config: { ...s.config, pipelineLimit: 5, preemptionDisabled: true } });
  t.deepEqual(s.effects, []);
  s.delivers(conn, s.asked(conn)[0]!);
  t.is(s.asked(conn).length, 5);
  s.pass(3_600_000 + 60_000);
  t.is(s.machine.inspect().connections, 1, 'no preemption tick any more');
});

test('shutdown says goodbye, answers everybody, closes everything; then only answers', (t) => {
  const s = new Scenario({}, 20).leech().answered([peerInfo(1), peerInfo(2)]);
  const conn = s.dialled(1, 'all');
  s.step({ type: 'remove-requested', request: 7, digest: digestOf(2) });
  s.step({ type: 'shutdown-requested' });
  t.is(s.one('announce').event, 'stopped');
  t.is(s.one('pull-finished').failure?.code, 'shutting-down');
  t.is(s.one('removal-finished').failure?.code, 'shutting-down');
  t.deepEqual(
    s.of('close').map((e) => e.reason),
    ['shutdown', 'shutdown'],
  );
  t.deepEqual(s.of('send'), []);
  t.is(s.machine.nextWakeup(), undefined);
  t.is(s.pull(9).one('pull-finished').failure?.code, 'shutting-down');
  t.is(
    s.step({ type: 'remove-requested', request: 8, digest: s.digest }).one('removal-finished').failure?.code,
    'shutting-down',
  );
  s.incoming(5, []);
  t.is(s.one('close').reason, 'shutdown');
  t.deepEqual(s.payload(conn, 1).types, ['discard-payload']);
  t.deepEqual(s.closed(conn).effects, []);
  t.deepEqual(s.step({ type: 'woke' }).effects, []);
});

test('at most 100 goodbyes are said at shutdown', (t) => {
  const s = new Scenario();
  for (let n = 1; n <= 120; n++) {
    const metainfo = metainfoOf(n, 1);
    s.step({ type: 'seed-requested', namespace: 'ns', digest: metainfo.digest });
    s.step({ type: 'blob-opened', digest: metainfo.digest, metainfo, have: Bitfield.full(1), committed: true });
    s.step({ type: 'announce-answered', digest: metainfo.digest, peers: [], intervalMs: 3000 });
  }
  t.is(s.step({ type: 'shutdown-requested' }).of('announce').length, 100);
});

test('completions that nobody waits for change nothing', (t) => {
  const s = new Scenario();
  const digest = digestOf(9);
  s.fetched()
    .opened()
    .answered([peerInfo(1)]);
  s.step({ type: 'blob-committed', digest }).step({ type: 'blob-deleted', digest }).stored(3, 1);
  s.step({ type: 'dial-failed', conn: 2, failure: FAILED }).step({
    type: 'dial-succeeded',
    conn: 2,
    handshake: s.handshake(1, []),
  });
  s.step({ type: 'piece-sent', conn: 2, digest, piece: 1 })
    .closed(2)
    .step({ type: 'announce-failed', digest, failure: FAILED });
  t.deepEqual(s.machine.inspect(), { torrents: [], connections: 0, pulls: [], fetches: 0 });
  t.is(s.machine.nextWakeup(), undefined);
  t.deepEqual(s.payload(2, 1).types, ['discard-payload']);
});
