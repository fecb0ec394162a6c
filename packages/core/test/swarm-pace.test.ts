/** How far ahead a peer is asked and how long it may take (`PeerPace`), and what origins are spared, in the machine. */
import test from 'ava';
import { peerInfo, peerOf, Scenario } from './support/swarm-scenario.js';

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

/** Sixty pieces of a peer, whose payloads take `ms` each. */
function delivers60(s: Scenario, conn: number, ms: number): void {
  for (let n = 0; n < 60; n++) {
    const [piece] = s.asked(conn);
    s.payload(conn, piece!);
    s.now += ms;
    s.stored(conn, piece!);
  }
}

test('who came in before we had dialled anybody is as far away as the first that we reach', (t) => {
  const s = new Scenario({ endgameDisabled: true }, 200).leech();
  const came = s.incoming(1, 'all');
  s.answered([peerInfo(2)]);
  s.now += 200;
  s.dialled(2, 'all');
  delivers60(s, came, 8);
  t.is(s.asked(came).length, 1 + Math.round(125 / 8), 'a round trip is 100 ms, a payload takes 8 ms');
});

test('of several dials the nearest counts for who came in, also when it is not the first', (t) => {
  const s = new Scenario({ endgameDisabled: true }, 200).leech();
  const came = s.incoming(1, 'all');
  s.answered([peerInfo(2)]);
  s.now += 1000;
  s.dialled(2, 'all');
  s.answered([peerInfo(3)]);
  s.now += 20;
  s.dialled(3, 'all');
  delivers60(s, came, 8);
  t.is(s.asked(came).length, 1 + Math.round(12.5 / 8), 'the nearest round trip is 10 ms, a payload takes 8 ms');
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

/** What peer `self` asks of an origin while `other`, who has nothing, is connected. */
function shareOf(self: number, other: number, pieces: number): readonly number[] {
  const s = new Scenario({ originPipelineLimit: pieces, readerShare: 0, peerId: peerOf(self) }, pieces).leech();
  s.answered([peerInfo(1, { origin: true })]).incoming(other, []);
  return [...s.asked(s.dialled(1, 'all'))];
}

test('connected agents divide an origin between them', (t) => {
  const one = shareOf(0x80, 0x90, 60);
  const two = shareOf(0x90, 0x80, 60);
  t.true(one.length > 10 && two.length > 10);
  t.deepEqual(
    one.filter((piece) => two.includes(piece)),
    [],
  );
});

test('an agent that gets nothing has no share: readers do not wait for what it will never fetch', (t) => {
  const s = new Scenario({ originPipelineLimit: 2, readerShare: 1 }, 80)
    .leech([], { streaming: true })
    .answered([peerInfo(1, { origin: true })]);
  s.incoming(2, [40]);
  const origin = s.dialled(1, 'all');
  const have = new Set<number>();
  /** Pieces stored while the reader waited for the same one. */
  let longest = 0;
  let waited = 0;
  const lowest = (): number => {
    let piece = 0;
    while (have.has(piece)) piece++;
    return piece;
  };
  for (let n = 0; n < 60; n++) {
    const before = lowest();
    const piece = s.asked(origin)[0]!;
    s.pass(200).delivers(origin, piece);
    have.add(piece);
    waited = lowest() === before ? waited + 1 : 0;
    longest = Math.max(longest, waited);
  }
  t.true(longest >= 1 && longest <= 12, `${longest} pieces came while the reader waited for one`);
});

test('an agent that gets pieces keeps its share, and has one again when it goes on', (t) => {
  const s = new Scenario({ originPipelineLimit: 2, readerShare: 0 }, 200)
    .leech()
    .answered([peerInfo(1, { origin: true })]);
  const agent = s.incoming(2, []);
  const origin = s.dialled(1, 'all');
  /** What is asked of the origin while `n` pieces come. */
  const drawn = (n: number, onPiece: (n: number) => void): ReadonlySet<number> => {
    const asked = new Set<number>();
    for (let i = 0; i < n; i++) {
      s.pass(200).delivers(origin, s.asked(origin)[0]!);
      onPiece(i);
      for (const piece of s.asked(origin)) asked.add(piece);
    }
    return asked;
  };
  const theirs = shareOf(2, 0x80, 200);
  const notOurs = (asked: ReadonlySet<number>): number => theirs.filter((piece) => asked.has(piece)).length;
  // Only its share is announced, as by an agent that asks origins.
  const announced = [...theirs];
  const gets = (): void => {
    const piece = announced.pop()!;
    s.announces(agent, piece).delivers(agent, piece);
  };
  const busy = drawn(30, (i) => {
    if (i % 5 === 4) gets();
  });
  t.is(notOurs(busy), 0, 'only our share');
  t.true(notOurs(drawn(40, () => undefined)) > 0, 'all of it');
  gets();
  drawn(2, () => undefined);
  t.is(notOurs(drawn(6, () => undefined)), 0, 'only our share again');
});

test('end game asks for copies in the order in which pieces were asked, whomever they were asked of', (t) => {
  const s = new Scenario({ pipelineLimit: 3, endgameThreshold: 4, endgameCopiesMax: 2 }, 4).leech();
  // Attached first and asked last.
  const last = s.incoming(1, []);
  const first = s.incoming(2, [0, 1, 2]);
  const [a, b, c] = s.asked(first);
  s.announces(last, 3);
  t.deepEqual(s.asked(last), [3]);
  s.payload(first, b!);
  t.deepEqual(s.asked(first), [a, c, b], 'a request whose payload has begun is the newest of its peer');
  t.deepEqual(s.asked(s.incoming(3, 'all')), [a, c, 3], 'what is being received is not copied');
});

test('peers whose copies have become pointless are asked for more in the order in which they were asked', (t) => {
  const s = new Scenario({ pipelineLimit: 1, endgameThreshold: 4, endgameCopiesMax: 3 }, 2).leech();
  const second = s.incoming(1, []);
  const first = s.incoming(2, [0]);
  s.announces(second, 0);
  const third = s.incoming(3, [0]);
  t.deepEqual(
    [first, second, third].map((conn) => s.asked(conn)),
    [[0], [0], [0]],
  );
  s.announces(second, 1);
  s.announces(first, 1);
  s.delivers(third, 0);
  const asked = s.effects.flatMap((effect) =>
    effect.type === 'send' && effect.message.type === 'piece-request' ? [effect.conn] : [],
  );
  t.deepEqual(asked, [first, second]);
});
