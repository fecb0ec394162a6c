import test from 'ava';
import fc from 'fast-check';
import { parsePeerId, type PeerInfo } from '@kraken/core/content';
import { PEER_ORDERS, type PeerOrder, type PeerOrderName } from '@kraken/core/policy';
import { handOut, Random } from '@kraken/core/tracker';

const peer = (n: number, flags: { origin?: boolean; complete?: boolean } = {}): PeerInfo => ({
  peerId: parsePeerId(n.toString(16).padStart(40, '0')),
  ip: `10.0.${n >> 8}.${n & 255}`,
  port: 16001,
  origin: flags.origin ?? false,
  complete: flags.complete ?? false,
});
const peers = (origin: boolean): fc.Arbitrary<PeerInfo[]> =>
  fc
    .uniqueArray(fc.record({ n: fc.integer({ min: 1, max: 5000 }), complete: fc.boolean() }), {
      selector: ({ n }) => n,
      maxLength: 60,
    })
    .map((list) =>
      list.map(({ n, complete }) => peer(origin ? n + 10_000 : n, { origin, complete: origin || complete })),
    );
const policies = Object.entries(PEER_ORDERS) as [PeerOrderName, PeerOrder][];

test('the names of the configuration', (t) => {
  t.deepEqual(policies.map(([name]) => name).sort(), ['completeness', 'default']);
});

for (const [name, order] of policies) {
  test(`${name}: total, and a function of the peer alone`, (t) => {
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), fc.integer({ min: 1, max: 99 }), (origin, complete, n) => {
        const rank = order.rank(peer(n, { origin, complete }));
        t.true(Number.isFinite(rank));
        t.is(order.rank(peer(n, { origin, complete })), rank);
      }),
    );
  });

  test(`${name}: a handout is a permutation in rank order, the same for the same seed, stable within a rank`, (t) => {
    fc.assert(
      fc.property(peers(false), peers(true), fc.integer(), (sample, origins, seed) => {
        const announcer = peer(9999);
        const make = (): PeerInfo[] =>
          handOut({ announcer, sample, origins, order, limit: 1000, random: new Random(seed) });
        const handout = make();
        t.deepEqual(make(), handout);
        const ids = (list: readonly PeerInfo[]): string[] => list.map(({ peerId }) => peerId).sort();
        t.deepEqual(ids(handout), ids([...sample, ...origins]));
        const ranks = handout.map((one) => order.rank(one));
        t.deepEqual(
          [...ranks].sort((a, b) => a - b),
          ranks,
        );
        const agents = (list: readonly PeerInfo[], rank: number): PeerInfo[] =>
          list.filter((one) => !one.origin && order.rank(one) === rank);
        for (const rank of new Set(ranks)) t.deepEqual(agents(handout, rank), agents(sample, rank));
      }),
      { numRuns: 50 },
    );
  });
}

test('completeness: complete agents, then origins, then the rest', (t) => {
  const rank = (origin: boolean, complete: boolean): number =>
    PEER_ORDERS.completeness.rank(peer(1, { origin, complete }));
  t.true(rank(false, true) < rank(true, true));
  t.is(rank(true, false), rank(true, true)); // an origin is an origin, whatever it says
  t.true(rank(true, true) < rank(false, false));
});
