/** Dial limits, and connections that are swapped: `Rotation` and `Connections` in the machine. */
import test from 'ava';
import { peerInfo, peerOf, Scenario } from './support/swarm-scenario.js';

/** Two own dials, both slots taken, peer 3 to swap for. */
function full(config: ConstructorParameters<typeof Scenario>[0] = {}): { s: Scenario; conns: number[] } {
  const s = new Scenario(
    { dialsPerTorrentMax: 2, lonelyDialsMax: 0, rotationIntervalMs: 1000, endgameDisabled: true, ...config },
    200,
  )
    .leech()
    .answered([peerInfo(1), peerInfo(2)]);
  const conns = [s.dialled(1, 'all'), s.dialled(2, 'all')];
  s.answered([peerInfo(3)]);
  return { s, conns };
}

test('a connection is swapped when its last payloads have come and gone, and is asked for nothing more before', (t) => {
  const { s, conns } = full();
  for (const conn of conns) t.true(s.asked(conn).length > 0);
  s.pass(2100);
  t.deepEqual(s.of('close'), [], 'pieces are on their way');
  const views = s.torrent().connections;
  t.is(views.filter((view) => view.retiring).length, 1);
  const conn = views.find((view) => view.retiring)!.conn;
  let left = s.asked(conn).length;
  t.true(left > 0);
  // It asks us, too: that must have left before the close.
  s.delivers(
    conns.find((other) => other !== conn)!,
    s.asked(conns.find((other) => other !== conn)!)[0]!,
  );
  const mine = [...(s.torrent().haveBits ?? [])][0]!;
  s.message(conn, { type: 'piece-request', piece: mine, offset: 0, length: 1000 });
  for (const piece of [...s.asked(conn)]) {
    s.delivers(conn, piece);
    left--;
    t.is(s.asked(conn).length, left);
    t.deepEqual(s.of('close'), []);
  }
  s.step({ type: 'piece-sent', conn, digest: s.digest, piece: mine });
  t.like(s.one('close'), { conn, reason: 'rotated' });
  t.is(s.one('dial').peer, peerOf(3));
});

test('a connection that does not come to rest is kept and asked again', (t) => {
  const { s } = full({ requestTimeoutMinMs: 60_000 });
  s.pass(2100);
  const retiring = s.torrent().connections.find((view) => view.retiring)!.conn;
  t.deepEqual(s.pass(4000).of('close'), []);
  s.pass(4000);
  const now = s.torrent().connections.filter((view) => view.retiring);
  t.true(now.length <= 1);
  for (const view of s.torrent().connections) if (!view.retiring) t.true(s.asked(view.conn).length > 0);
  t.true(s.torrent().connections.some((view) => view.conn === retiring));
});

test('a torrent that nobody dials dials more, up to its own limit', (t) => {
  const s = new Scenario({ dialsPerTorrentMax: 1, lonelyDialsMax: 3, rotationIntervalMs: 1000 }, 200).leech();
  s.answered([peerInfo(1), peerInfo(2), peerInfo(3), peerInfo(4)]);
  t.is(s.of('dial').length, 1);
  s.dialled(1, 'all');
  for (let n = 0; n < 20; n++) {
    s.pass(1000);
    for (const { peer } of s.of('dial')) s.dialled(Number.parseInt(peer.slice(-2), 16), 'all');
  }
  t.is(s.torrent().connections.length, 3);
});

test('few dials go to origins, however many the tracker names', (t) => {
  const origins = [1, 2, 3, 4].map((n) => peerInfo(n, { origin: true, complete: true }));
  const s = new Scenario({ originDialsMax: 2 }, 20).leech().answered([...origins, peerInfo(5)]);
  t.deepEqual(
    s.of('dial').map((dial) => dial.peer),
    [1, 2, 5].map(peerOf),
  );
  t.deepEqual(
    s
      .dialFailed(1)
      .answered(origins)
      .of('dial')
      .map((dial) => dial.peer),
    [peerOf(3)],
  );
});

test('dials that nobody has answered yet are limited for the whole node', (t) => {
  const s = new Scenario({ pendingDialsMax: 2 }, 20).leech().answered([1, 2, 3].map((n) => peerInfo(n)));
  t.is(s.of('dial').length, 2);
  s.dialled(1, []);
  t.is(s.answered([peerInfo(3)]).of('dial').length, 1);
  s.dialFailed(2).answered([peerInfo(4)]);
  t.is(s.of('dial').length, 1, 'two are pending again');
});
