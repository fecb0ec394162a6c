/** How far ahead a peer is asked and how long it may take: `PeerPace` in the machine. */
import test from 'ava';
import { peerInfo, Scenario } from './support/swarm-scenario.js';

test('a sole source is asked three pieces ahead, several one each, a far one as many as its round trip needs', (t) => {
  const s = new Scenario({ endgameDisabled: true }, 200).leech();
  const first = s.incoming(1, 'all');
  t.is(s.asked(first).length, 3);
  s.answered([peerInfo(2)]);
  // Connecting and shaking hands are two round trips: of 100 ms here.
  s.now += 200;
  const second = s.dialled(2, 'all');
  t.is(s.asked(second).length, 1);
  s.delivers(first, s.asked(first)[0]!);
  s.delivers(first, s.asked(first)[0]!);
  t.deepEqual([s.asked(first).length, s.asked(second).length], [2, 1]);
  const [piece] = s.asked(second);
  s.payload(second, piece!);
  s.now += 10;
  s.stored(second, piece!);
  t.is(s.asked(second).length, 1 + Math.round(125 / 10), 'its payload took 10 ms');
});

test('payloads that follow each other closely are timed too: a far sole source is asked further ahead', (t) => {
  const s = new Scenario({ endgameDisabled: true }, 200).leech();
  s.answered([peerInfo(1)]);
  s.now += 200;
  const far = s.dialled(1, 'all');
  t.is(s.asked(far).length, 3);
  const [first, second] = s.asked(far);
  s.payload(far, first!);
  s.now += 20;
  s.payload(far, second!);
  s.now += 5;
  s.stored(far, first!);
  t.is(s.asked(far).length, 1 + 125 / 25, 'the first took 25 ms, and the second had begun');
});

test('a peer that serves others between our pieces is asked for one, however fast each piece comes', (t) => {
  const s = new Scenario({ endgameDisabled: true }, 200).leech();
  s.incoming(1, 'all');
  s.answered([peerInfo(2)]);
  s.now += 20;
  const busy = s.dialled(2, 'all');
  for (let i = 0; i < 10; i++) {
    s.now += 300;
    s.payload(busy, s.asked(busy)[0]!);
    const [piece] = s.asked(busy);
    s.now += 1;
    s.stored(busy, piece!);
  }
  t.is(s.asked(busy).length, 1, 'a round trip is 10 ms, a payload takes 1 ms');
});

test('a request expires by the pace of its peer, never before the least time', (t) => {
  const s = new Scenario({ endgameDisabled: true, pipelineLimit: 1, requestTimeoutMinMs: 1000 }, 200).leech();
  const conn = s.incoming(1, 'all');
  const expiresAfter = (ms: number): boolean => {
    s.pass(ms - 1);
    const before = s.seen.includes('request-expired');
    s.pass(1);
    return !before && s.seen.includes('request-expired');
  };
  const slow = (ms: number): void => {
    s.payload(conn, s.asked(conn)[0]!);
    const [piece] = s.asked(conn);
    s.now += ms;
    s.stored(conn, piece!);
  };
  for (let i = 0; i < 30; i++) slow(500);
  t.true(expiresAfter(2000), 'four times what a piece took');
  for (let i = 0; i < 30; i++) slow(10);
  t.true(expiresAfter(1000), 'the least time');
});

test('an agent that claims to have everything and sends nothing does not keep an origin spared', (t) => {
  const s = new Scenario({ requestTimeoutMinMs: 100, requestTimeoutPerMiBMs: 100, originPipelineLimit: 2 }, 40)
    .leech()
    .answered([peerInfo(1, { origin: true })]);
  const silent = s.incoming(2, 'all');
  const origin = s.dialled(1, 'all');
  t.true(s.asked(silent).length > 0);
  t.deepEqual(s.asked(origin), []);
  s.pass(500);
  t.true(s.asked(origin).length > 0, 'before it has been idle for long');
  for (let n = 0; n < 5; n++) {
    s.delivers(origin, s.asked(origin)[0]!);
    t.true(s.asked(origin).length > 0);
  }
});
