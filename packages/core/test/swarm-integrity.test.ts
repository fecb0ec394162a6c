/** Forged pieces: the piece layer before anything is asked for, and what is done about a bad blob without a root. */
import test from 'ava';
import { Bitfield, createMetaInfo, type MetaInfo } from '@kraken/core/content';
import type { SwarmConfig, SwarmEvent } from '@kraken/core/swarm';
import { digestOf, peerInfo, peerOf, Scenario } from './support/swarm-scenario.js';

const PIECE = 16 * 1024;
const LAYER = 'kraken-ts/1 layer';
const ORIGIN = 0x20;

function rooted(pieces: number): MetaInfo {
  return createMetaInfo({
    digest: digestOf(1),
    length: PIECE * pieces,
    pieceLength: PIECE,
    pieceSums: Array.from({ length: pieces }, (_, i) => i),
    piecesRoot: 'ab'.repeat(32),
  });
}

/** A scenario whose metainfo has a root and whose layer is missing. */
class RootedScenario extends Scenario {
  override readonly metainfo = rooted(4);

  waits(streaming = false): this {
    this.pull(1, { streaming }).fetched(this.metainfo);
    return this.openedWithout();
  }

  openedWithout(layerMissing = true): this {
    const { metainfo, digest } = this;
    return this.step({ type: 'blob-opened', digest, metainfo, have: new Bitfield(4), committed: false, layerMissing });
  }

  layer(conn?: number): this {
    return this.step({ type: 'layer-fetched', digest: this.digest, ...(conn === undefined ? {} : { conn }) });
  }

  noLayer(
    conn?: number,
    code: 'tracker-unavailable' | 'peer-unreachable' | 'layer-invalid' = 'peer-unreachable',
  ): this {
    const from = conn === undefined ? {} : { conn };
    return this.step({ type: 'layer-fetch-failed', digest: this.digest, ...from, failure: { code, says: 'no' } });
  }
}

test('nothing is asked for before the layer is here; then everything is', (t) => {
  const s = new RootedScenario().waits();
  t.deepEqual(s.one('fetch-layer'), { type: 'fetch-layer', namespace: 'ns', digest: s.digest });
  t.like(
    s.observations.find(({ kind }) => kind === 'torrent-added'),
    { rooted: true },
  );
  t.is(s.one('announce').complete, false, 'peers are looked for meanwhile');
  const conn = s.incoming(1, 'all');
  t.deepEqual(s.requests, []);
  t.is(s.torrent().asks, 'nobody');
  t.deepEqual(s.pass(3000).of('fetch-layer'), [], 'asked once');
  s.layer();
  t.true(s.requests.length > 0);
  t.is(s.torrent().asks, 'everybody');
  t.deepEqual(s.observations[0], { kind: 'layer-fetched', digest: s.digest });
  const [piece] = s.asked(conn);
  s.delivers(conn, piece!);
  t.like(s.observations[0], { kind: 'piece-received', proven: true });
  t.deepEqual(s.layer().types, [], 'a second answer changes nothing');
});

test('a layer that is here already is not fetched', (t) => {
  const s = new RootedScenario();
  s.pull(1).fetched(s.metainfo).openedWithout(false);
  t.deepEqual(s.of('fetch-layer'), []);
  s.incoming(1, 'all');
  t.true(s.requests.length > 0);
});

test('after the tracker, peers that hand layers out are asked one by one, then all again after a pause', (t) => {
  const s = new RootedScenario().waits();
  s.incoming(1, 'all', { version: '' });
  const two = s.incoming(2, 'all', { version: LAYER });
  const three = s.incoming(3, [], { version: LAYER });
  s.noLayer(undefined, 'tracker-unavailable');
  t.is(s.one('fetch-layer').conn, two);
  t.is(s.noLayer(two).one('fetch-layer').conn, three);
  t.deepEqual(s.noLayer(three).of('fetch-layer'), [], 'a Go peer has none');
  t.deepEqual(s.pass(900).of('fetch-layer'), []);
  t.is(s.pass(200).one('fetch-layer').conn, undefined, 'the tracker again');
  t.is(s.noLayer(undefined).one('fetch-layer').conn, two);
  s.layer(two);
  t.deepEqual(s.observations[0], { kind: 'layer-fetched', digest: s.digest, from: peerOf(2) });
  t.true(s.requests.length > 0);
});

test('a peer that comes during a pause is asked at once', (t) => {
  const s = new RootedScenario().waits().noLayer();
  s.incoming(1, 'all', { version: '' });
  t.deepEqual(s.of('fetch-layer'), []);
  const conn = s.incoming(2, 'all', { version: LAYER });
  t.is(s.one('fetch-layer').conn, conn);
  s.incoming(3, 'all', { version: LAYER });
  t.deepEqual(s.of('fetch-layer'), [], 'one at a time');
});

test('pauses between rounds grow up to half a minute', (t) => {
  const s = new RootedScenario({ leecherIdleMs: 1e9 }).waits();
  const pauses: number[] = [];
  for (let round = 0; round < 8; round++) {
    s.noLayer();
    const from = s.now;
    while (s.of('fetch-layer').length === 0) s.wake();
    pauses.push(s.now - from);
  }
  t.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test('a peer whose layer does not fit the root is banned', (t) => {
  const s = new RootedScenario().waits();
  const liar = s.incoming(1, 'all', { version: LAYER });
  s.noLayer();
  t.is(s.one('fetch-layer').conn, liar);
  s.noLayer(liar, 'layer-invalid');
  t.like(s.one('close'), { conn: liar, reason: 'bad-piece' });
  t.deepEqual(
    s.machine.blacklistSnapshot(s.now).map(({ peerId }) => peerId),
    [peerOf(1)],
  );
  s.closed(liar, 'bad-piece').incoming(1, 'all', { version: LAYER });
  t.is(s.one('close').reason, 'blacklisted');
});

test('nobody looks for a layer that nobody wants, and a new pull begins again', (t) => {
  const s = new RootedScenario().waits();
  s.step({ type: 'pull-cancelled', pull: 1 }).noLayer();
  t.deepEqual(s.pass(5000).of('fetch-layer'), []);
  s.pull(2);
  t.is(s.of('fetch-layer').length, 1);
});

test('a forged piece bans its sender and is asked elsewhere; the ban outlives the download', (t) => {
  const s = new RootedScenario({ pipelineLimit: 1, endgameDisabled: true }).waits().layer();
  const forger = s.incoming(1, 'all');
  const good = s.incoming(2, 'all');
  const [piece] = s.asked(forger);
  s.payload(forger, piece!).stored(forger, piece!, 'forged');
  t.like(s.one('close'), { conn: forger, reason: 'bad-piece' });
  t.like(s.observations[0], { kind: 'piece-rejected', verdict: 'forged', peer: peerOf(1) });
  s.closed(forger, 'bad-piece');
  while (s.asked(good).length > 0) s.delivers(good, s.asked(good)[0]!);
  t.deepEqual(s.one('commit-blob'), { type: 'commit-blob', digest: s.digest }, 'nothing to doubt with a root');
  s.step({ type: 'blob-committed', digest: s.digest });
  s.incoming(1, []);
  t.is(s.one('close').reason, 'blacklisted');
});

// Without a root.

/** Four pieces: 0 and 1 of an origin, 2 of agent 1, 3 of agent 2; all are there and the commit is asked for. */
function filled(
  config: Partial<SwarmConfig> = {},
  pull: { streaming?: boolean } = {},
): { s: Scenario; origin: number; one: number; two: number } {
  const s = new Scenario({
    pipelineLimit: 1,
    originPipelineLimit: 1,
    endgameDisabled: true,
    originSparing: false,
    ...config,
  });
  s.leech([], pull).answered([peerInfo(ORIGIN, { origin: true, complete: true })]);
  const origin = s.dialled(ORIGIN, [0, 1]);
  for (let i = 0; i < 2; i++) s.delivers(origin, s.asked(origin)[0]!);
  const one = s.incoming(1, [2]);
  const two = s.incoming(2, [3]);
  s.delivers(one, 2).delivers(two, 3);
  return { s, origin, one, two };
}

function mismatch(s: Scenario, doubted = true): Scenario {
  const failure = { code: 'digest-mismatch' as const, says: 'bad' };
  return s.step({ type: 'blob-commit-failed', digest: s.digest, failure, doubted });
}

function replaced(s: Scenario, conn: number, piece: number, how: 'same' | 'different'): void {
  s.payload(conn, piece);
  const event: SwarmEvent = { type: 'piece-stored', conn, digest: s.digest, piece, verdict: 'ok', replaced: how };
  s.step(event);
}

test('what agents sent of a bad blob is doubted and asked of origins only; who sent other bytes is banned', (t) => {
  const { s, origin, one, two } = filled();
  t.deepEqual([...(s.one('commit-blob').doubts ?? [])], [2, 3]);
  mismatch(s);
  t.like(
    s.observations.find(({ kind }) => kind === 'blob-doubted'),
    { pieces: 2 },
  );
  t.deepEqual(s.of('pull-finished'), [], 'the pull goes on');
  t.is(s.torrent().asks, 'origins');
  t.deepEqual([s.torrent().state, s.torrent().have], ['leeching', 2]);
  t.deepEqual(
    [s.asked(one), s.asked(two), s.asked(origin)],
    [[], [], []],
    'the origin has said nothing of these pieces',
  );
  s.message(origin, { type: 'complete' });
  s.announces(one, 3);
  t.deepEqual([s.asked(one), s.asked(two)], [[], []]);
  while (s.asked(origin).length > 0) {
    const [piece] = s.asked(origin);
    replaced(s, origin, piece!, piece === 2 ? 'different' : 'same');
    if (piece !== 2) continue;
    t.deepEqual(
      s.observations.find(({ kind }) => kind === 'peer-blamed'),
      {
        kind: 'peer-blamed',
        digest: s.digest,
        peer: peerOf(1),
        piece: 2,
      },
    );
    t.like(
      s.of('close').find(({ conn }) => conn === one),
      { reason: 'bad-piece' },
    );
  }
  t.is(s.torrent().state, 'committing');
  t.deepEqual(
    s.machine.blacklistSnapshot(s.now).map(({ peerId }) => peerId),
    [peerOf(1)],
    'the other agent had sent the right bytes',
  );
  s.step({ type: 'blob-committed', digest: s.digest });
  t.is(s.one('pull-finished').failure, undefined);
});

test('a second mismatch, with everything from origins, is final', (t) => {
  const { s, origin } = filled();
  mismatch(s).message(origin, { type: 'complete' });
  while (s.asked(origin).length > 0) replaced(s, origin, s.asked(origin)[0]!, 'same');
  t.deepEqual(s.one('commit-blob'), { type: 'commit-blob', digest: s.digest });
  mismatch(s, false);
  t.is(s.one('pull-finished').failure?.code, 'digest-mismatch');
  t.deepEqual(s.machine.blacklistSnapshot(s.now), []);
});

test('a blob that came from origins alone is not doubted piece by piece; origins doubt nothing', (t) => {
  const s = new Scenario({ pipelineLimit: 1, originPipelineLimit: 1, endgameDisabled: true, originSparing: false });
  s.leech([], {}).answered([peerInfo(ORIGIN, { origin: true, complete: true })]);
  const origin = s.dialled(ORIGIN, 'all');
  while (s.asked(origin).length > 0) s.delivers(origin, s.asked(origin)[0]!);
  t.deepEqual(s.one('commit-blob'), { type: 'commit-blob', digest: s.digest });
});

test('pieces of an earlier run are doubted too: nobody knows who sent them', (t) => {
  const s = new Scenario().leech([0, 1, 2, 3]);
  t.deepEqual([...(s.one('commit-blob').doubts ?? [])], [0, 1, 2, 3]);
});

test('in-order readers of a bad blob fail; their next pull goes on with what is left', (t) => {
  const { s, origin } = filled({}, { streaming: true });
  mismatch(s);
  t.is(s.one('pull-finished').failure?.code, 'digest-mismatch');
  t.deepEqual([s.torrent().state, s.torrent().have], ['leeching', 2]);
  s.message(origin, { type: 'complete' });
  t.deepEqual(s.asked(origin), []);
  s.pull(2, { streaming: true });
  t.is(s.asked(origin).length, 1, 'asked of the origin at once');
});

test('a torrent full of agents gives one up for an origin, within its dials', (t) => {
  const s = new Scenario({
    connectionsPerTorrentMax: 3,
    dialsPerTorrentMax: 1,
    pipelineLimit: 1,
    endgameDisabled: true,
  });
  s.leech().answered([peerInfo(1), peerInfo(ORIGIN, { origin: true, complete: true })]);
  const agent = s.dialled(1, 'all');
  s.incoming(2, []);
  s.incoming(3, []);
  while (s.asked(agent).length > 0) s.delivers(agent, s.asked(agent)[0]!);
  mismatch(s);
  t.deepEqual(
    s.of('close').map(({ conn, reason }) => [conn, reason]),
    [[agent, 'rotated']],
  );
  t.is(s.one('dial').peer, peerOf(ORIGIN));
  const origin = s.dialled(ORIGIN, 'all');
  t.true(s.asked(origin).length > 0);
});
