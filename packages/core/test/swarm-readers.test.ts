/** In what order the pieces of a torrent with in-order readers are asked for. */
import test from 'ava';
import { peerInfo, Scenario, SELF } from './support/swarm-scenario.js';

test('a reader gets its share of the requests in order, the rest is by policy', (t) => {
  const asked = (readerShare: number): number[] => {
    const s = new Scenario({ readerShare, pipelineLimit: 6 }, 640).leech([], { streaming: true });
    return [...s.asked(s.incoming(1, 'all'))];
  };
  t.deepEqual(asked(1), [0, 1, 2, 3, 4, 5]);
  t.true(asked(0).some((piece) => piece > 5));
  const half = new Scenario({ readerShare: 0.5, pipelineLimit: 100 }, 3200).leech([], { streaming: true });
  const inOrder = half.asked(half.incoming(1, 'all')).filter((piece) => piece < 100).length;
  t.true(inOrder > 25 && inOrder < 80, `${inOrder} of 100 near the reader`);
});

test('the fewer holes a blob has behind its prefix, the more requests go to its reader', (t) => {
  const inOrder = (readerShare: number, density: number): number => {
    const have = Array.from({ length: 1000 }, (_, piece) => piece).filter((piece) => piece % 20 >= density * 20);
    const s = new Scenario({ readerShare, pipelineLimit: 40 }, 1000).leech(have, { streaming: true });
    return s.asked(s.incoming(1, 'all')).filter((piece) => piece < 40 / density).length;
  };
  t.is(inOrder(0.1, 0.25), 40);
  const [many, some] = [inOrder(0.1, 0.8), inOrder(0.1, 0.4)];
  t.true(many < some && some < 40, `${many}, ${some}`);
  t.true(inOrder(0, 0.25) < 40);
});

test('a reader that moved on is served from there', (t) => {
  const s = new Scenario({ readerShare: 1, pipelineLimit: 2 }, 100).leech([], { streaming: true });
  s.step({ type: 'reader-moved', pull: 1, piece: 50 }).step({ type: 'reader-moved', pull: 9, piece: 3 });
  t.deepEqual([...s.asked(s.incoming(1, 'all'))], [50, 51]);
});

const ORIGIN = peerInfo(1, { origin: true, complete: true });
const SEED = peerInfo(2, { complete: true });
const LEECH = peerInfo(3);

/** Of 40 requests to a complete peer, those for the first 40 pieces, when the tracker named `peers`. */
function inOrder(s: Scenario, peers: Parameters<Scenario['answered']>[0] | undefined, joins = false): number {
  s.leech([], { streaming: true });
  if (peers !== undefined) s.answered(peers);
  if (joins) s.incoming(4, []);
  return s.asked(s.incoming(2, 'all')).filter((piece) => piece < 40).length;
}

test('all requests go to the reader while nobody is known who could want a piece of us', (t) => {
  const scenario = (readerShare = 0.1): Scenario => new Scenario({ readerShare, pipelineLimit: 40 }, 1000);
  t.is(inOrder(scenario(), [ORIGIN, SEED]), 40);
  t.is(inOrder(scenario(), [SEED, { ...LEECH, peerId: SELF }]), 40, 'Go trackers name us, too');
  t.is(inOrder(scenario(), []), 40, 'nobody but who came to us');
  t.true(inOrder(scenario(), undefined) < 40, 'before the tracker has said so');
  t.true(inOrder(scenario(), [ORIGIN, SEED, LEECH]) < 40, 'the tracker knows one who lacks pieces');
  t.true(inOrder(scenario(), [ORIGIN, SEED], true) < 40, 'one who lacks pieces is connected');
  t.true(inOrder(scenario(0), [ORIGIN, SEED]) < 40, 'as in Kraken, readers have no share');
});

test('when the tracker names somebody who lacks pieces, the order is by policy again', (t) => {
  const s = new Scenario({ readerShare: 0.1, pipelineLimit: 40 }, 1000).leech([], { streaming: true });
  s.answered([SEED]).answered([SEED, LEECH]);
  t.true(s.asked(s.incoming(2, 'all')).filter((piece) => piece < 40).length < 40);
});
