import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import fc from 'fast-check';
import {
  parseDigest,
  parseInfoHash,
  parsePeerId,
  type InfoHash,
  type PeerId,
  type PeerInfo,
} from '@kraken/core/content';
import { PEER_ORDERS } from '@kraken/core/policy';
import {
  decodeAnnounceRequest,
  encodeAnnounceRequest,
  handOut,
  PeerStore,
  Random,
  Tracker,
  wantsPeers,
  type PeerStoreLimits,
} from '@kraken/core/tracker';

const hashOf = (n: number): InfoHash => parseInfoHash(n.toString(16).padStart(40, '0'));
const idOf = (n: number): PeerId => parsePeerId(n.toString(16).padStart(40, '0'));
const peer = (n: number, more: Partial<PeerInfo> = {}): PeerInfo => ({
  peerId: idOf(n),
  ip: `10.0.${n >> 8}.${n & 255}`,
  port: 16001,
  origin: false,
  complete: false,
  ...more,
});
const ids = (peers: readonly PeerInfo[]): number[] =>
  peers.map(({ peerId }) => parseInt(peerId, 16)).sort((a, b) => a - b);
const store = (limits: Partial<PeerStoreLimits> = {}, seed = 1): PeerStore => new PeerStore(new Random(seed), limits);
const sampled = (peers: PeerStore, ...args: Parameters<PeerStore['sample']>): PeerInfo[] => peers.sample(...args).peers;
const swarm = hashOf(1);
const minute = 60_000;

test('a renewed announce replaces address and completeness, also back to incomplete; the origin flag is not kept', (t) => {
  const peers = store();
  peers.announce(swarm, peer(1, { complete: true, origin: true }), 0);
  t.like(sampled(peers, swarm, 10, 0), [peer(1, { complete: true })]);
  peers.announce(swarm, peer(1, { ip: 'elsewhere', port: 5 }), 0);
  t.like(sampled(peers, swarm, 10, 0), [peer(1, { ip: 'elsewhere', port: 5 })]);
  t.deepEqual(peers.stats, { torrents: 1, peers: 1, evicted: 0 });
});

test('a peer that announces again at once is renewed in all but its time, which may be a thousandth of the TTL short', (t) => {
  const peers = store({ ttlMs: 1000 * minute });
  peers.announce(swarm, peer(1), 0);
  peers.announce(swarm, peer(1, { complete: true }), 0.9 * minute);
  t.like(sampled(peers, swarm, 10, 1000 * minute), [peer(1, { complete: true })]);
  t.deepEqual(sampled(peers, swarm, 10, 1000.1 * minute), []);
  peers.announce(swarm, peer(1), 2000 * minute);
  peers.announce(swarm, peer(1), 2001 * minute);
  t.is(sampled(peers, swarm, 10, 3001 * minute).length, 1);
});

test('an expired peer that is left out hides nobody', (t) => {
  for (let seed = 0; seed < 50; seed++) {
    const peers = store({ ttlMs: 10 }, seed);
    for (let n = 0; n < 4; n++) peers.announce(swarm, peer(n), n === 0 ? 0 : 8);
    t.deepEqual(ids(sampled(peers, swarm, 10, 11, [idOf(0)])), [1, 2, 3], `${seed}`);
  }
});

test('an order that throws leaves the store as it was', (t) => {
  const peers = new PeerStore(new Random(1), {}, ({ port }) => {
    if (port === 666) throw new Error('no such port');
    return port;
  });
  peers.announce(swarm, peer(1), 0);
  t.throws(() => peers.announce(swarm, peer(1, { port: 666 }), 1));
  t.throws(() => peers.announce(swarm, peer(2, { port: 666 }), 1));
  t.throws(() => peers.announce(hashOf(2), peer(2, { port: 666 }), 1));
  t.like(peers.sample(swarm, 10, 1), { peers: [peer(1)], ranks: [16001] });
  t.deepEqual(peers.stats, { torrents: 1, peers: 1, evicted: 0 });
});

test('a sample knows the rank of each peer, also after announces that change it and after departures', (t) => {
  const rankOf = ({ complete, port }: PeerInfo): number => (complete ? 0 : port);
  const peers = new PeerStore(new Random(1), {}, rankOf);
  const check = (expected: number[]): void => {
    const found = peers.sample(swarm, 50, 0);
    t.deepEqual(found.ranks, found.peers.map(rankOf));
    t.deepEqual(ids(found.peers), expected);
  };
  for (let n = 1; n <= 9; n++) peers.announce(swarm, peer(n, { port: n }), 0);
  check([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  peers.announce(swarm, peer(4, { complete: true }), 0);
  check([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  for (const n of [1, 9, 5]) peers.leave(swarm, idOf(n));
  check([2, 3, 4, 6, 7, 8]);
  peers.announce(swarm, peer(5, { port: 99 }), 0);
  check([2, 3, 4, 5, 6, 7, 8]);
});

test('expired peers are never served, swept or not', (t) => {
  const peers = store({ ttlMs: 10 * minute });
  peers.announce(swarm, peer(1), 0);
  peers.announce(swarm, peer(2), 0);
  peers.announce(swarm, peer(3), 5 * minute);
  t.deepEqual(ids(sampled(peers, swarm, 10, 10 * minute)), [1, 2, 3]);
  t.deepEqual(ids(sampled(peers, swarm, 10, 10 * minute + 1)), [3]);
  t.deepEqual(ids(sampled(peers, swarm, 10, 15 * minute + 1)), []);
  t.deepEqual(peers.stats, { torrents: 0, peers: 0, evicted: 0 });
});

test('a sweep is bounded and takes the oldest first', (t) => {
  const peers = store({ ttlMs: 10 });
  for (let n = 0; n < 100; n++) peers.announce(hashOf(n), peer(n), 0);
  peers.announce(hashOf(5), peer(5), 1);
  t.is(peers.sweep(11, 40), 40);
  t.is(peers.stats.peers, 60);
  t.is(peers.sweep(11, 1000), 59);
  t.deepEqual(peers.stats, { torrents: 1, peers: 1, evicted: 0 });
  t.deepEqual(ids(sampled(peers, hashOf(5), 9, 11)), [5]);
});

test('announces sweep by themselves', (t) => {
  const peers = store({ ttlMs: 10 });
  for (let n = 1; n <= 100; n++) peers.announce(hashOf(n), peer(n), 0);
  for (let n = 0; n < 20; n++) peers.announce(swarm, peer(1000), 100);
  t.deepEqual(peers.stats, { torrents: 1, peers: 1, evicted: 0 });
});

test('a sample steps over a bounded number of expired peers', (t) => {
  const peers = store({ ttlMs: 10 });
  for (let n = 0; n < 1000; n++) peers.announce(swarm, peer(n), 0);
  t.deepEqual(sampled(peers, swarm, 50, 100), []);
  t.true(peers.size(swarm) > 700);
});

test('samples: at most n, without the asker, uniform, the same for the same seed', (t) => {
  const build = (seed: number): PeerStore => {
    const peers = store({}, seed);
    for (let n = 0; n < 40; n++) peers.announce(swarm, peer(n), 0);
    return peers;
  };
  const peers = build(3);
  t.deepEqual(sampled(peers, swarm, 0, 0), []);
  t.deepEqual(sampled(peers, hashOf(99), 10, 0), []);
  t.is(sampled(peers, swarm, 100, 0, [idOf(7)]).length, 39);
  const counts = new Array<number>(40).fill(0);
  const rounds = 4000;
  for (let i = 0; i < rounds; i++) {
    const drawn = sampled(peers, swarm, 10, 0, [idOf(7)]);
    t.is(new Set(ids(drawn)).size, 10);
    for (const n of ids(drawn)) counts[n] = (counts[n] ?? 0) + 1;
  }
  t.is(counts[7], 0);
  const expected = (rounds * 10) / 39;
  for (const [n, count] of counts.entries()) if (n !== 7) t.true(Math.abs(count - expected) < expected * 0.2, `${n}`);
  t.deepEqual(sampled(build(5), swarm, 10, 0), sampled(build(5), swarm, 10, 0));
  t.notDeepEqual(sampled(build(5), swarm, 10, 0), sampled(build(6), swarm, 10, 0));
});

test('limits evict whoever announced longest ago', (t) => {
  const perTorrent = store({ peersPerTorrentMax: 3 });
  for (const [now, n] of [1, 2, 3, 1, 4].entries()) perTorrent.announce(swarm, peer(n), now * minute);
  t.deepEqual(ids(sampled(perTorrent, swarm, 9, 4 * minute)), [1, 3, 4]);

  const total = store({ peersMax: 3 });
  total.announce(hashOf(1), peer(1), 0);
  total.announce(hashOf(2), peer(2), 0);
  total.announce(hashOf(3), peer(3), 0);
  total.announce(hashOf(1), peer(1), minute);
  total.announce(hashOf(3), peer(4), minute);
  t.deepEqual(
    [1, 2, 3].map((n) => ids(sampled(total, hashOf(n), 9, 0))),
    [[1], [], [3, 4]],
  );
  t.deepEqual(total.stats, { torrents: 2, peers: 3, evicted: 1 });

  const torrents = store({ torrentsMax: 2 });
  for (const [now, n] of [1, 2, 1, 3].entries()) torrents.announce(hashOf(n), peer(n), now * minute);
  torrents.announce(hashOf(3), peer(33), 4 * minute);
  t.deepEqual(
    [1, 2, 3].map((n) => ids(sampled(torrents, hashOf(n), 9, 0))),
    [[1], [], [3, 33]],
  );
  t.is(torrents.stats.evicted, 1);
});

test('a limit of one still serves the newest peer', (t) => {
  const peers = store({ peersMax: 1, peersPerTorrentMax: 1, torrentsMax: 1 });
  for (let n = 0; n < 5; n++) peers.announce(hashOf(n % 2), peer(n), 0);
  t.deepEqual(ids(sampled(peers, hashOf(0), 9, 0)), [4]);
  t.deepEqual(peers.stats, { torrents: 1, peers: 1, evicted: 4 });
});

for (const ttlMs of [50, 50_000])
  test(`any sequence of calls agrees with a naive model, TTL ${ttlMs} ms`, (t) => {
    const limits = { ttlMs, torrentsMax: 3, peersPerTorrentMax: 4, peersMax: 8 };
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ type: fc.constant('announce' as const), torrent: fc.nat(4), id: fc.nat(6) }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('leave' as const), torrent: fc.nat(4), id: fc.nat(6) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('sweep' as const), torrent: fc.nat(4), id: fc.nat(20) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('wait' as const), torrent: fc.nat(4), id: fc.nat(60) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer(), (steps, seed) => {
        const peers = store(limits, seed);
        let model: { torrent: number; id: number; at: number }[] = []; // oldest announce first
        let used: number[] = []; // torrents, oldest use first
        let now = 0;
        for (const { type, torrent, id } of steps) {
          if (type === 'wait') now += id;
          model = model.filter((one) => type !== 'announce' || now - one.at <= limits.ttlMs);
          if (type === 'leave') {
            const known = model.find((one) => one.torrent === torrent && one.id === id);
            const left = peers.leave(hashOf(torrent), idOf(id));
            // Whether an expired peer is still there is the store's affair.
            if (known === undefined || now - known.at <= limits.ttlMs) t.is(left, known !== undefined);
            model = model.filter((one) => one.torrent !== torrent || one.id !== id);
          }
          if (type === 'sweep') peers.sweep(now, id);
          if (type === 'announce') {
            peers.announce(hashOf(torrent), peer(id), now);
            // Again at once: nothing is renewed.
            const isFresh = (at: number): boolean => now - at < ttlMs / 1000;
            if (model.some((one) => one.torrent === torrent && one.id === id && isFresh(one.at))) continue;
            const has = (n: number): boolean => model.some((one) => one.torrent === n);
            used = used.filter(has);
            const known = model.some((one) => one.torrent === torrent && one.id === id);
            if (!has(torrent) && used.length >= limits.torrentsMax) {
              const oldest = used.shift();
              model = model.filter((one) => one.torrent !== oldest);
            }
            model = model.filter((one) => one.torrent !== torrent || one.id !== id);
            if (!known) {
              const mine = model.filter((one) => one.torrent === torrent);
              if (mine.length >= limits.peersPerTorrentMax) model.splice(model.indexOf(mine[0]!), 1);
              if (model.length >= limits.peersMax) model.shift();
            }
            model.push({ torrent, id, at: now });
            used = [...used.filter((n) => n !== torrent), torrent];
          }
          for (let n = 0; n <= 4; n++) {
            const alive = model.filter((one) => one.torrent === n && now - one.at <= limits.ttlMs);
            t.deepEqual(
              ids(sampled(peers, hashOf(n), 100, now)),
              alive.map((one) => one.id).sort((a, b) => a - b),
            );
          }
        }
      }),
      { numRuns: 200 },
    );
  });

test('what is kept of an announce does not keep its body or address alive', (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const peers = store();
  const digests = new Set<string>();
  const used = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = used();
  const rest = ' '.repeat(20_000);
  for (let n = 0; n < 1000; n++) {
    const body = encodeAnnounceRequest({
      digest: parseDigest(`sha256:${idOf(n)}${'a'.repeat(24)}`),
      infoHash: swarm,
      peer: peer(n, { ip: '192.168.100.100' }),
    });
    // Every other one is spelled unusually.
    const announce = decodeAnnounceRequest(Buffer.from((n % 2 === 0 ? '' : ' ') + body + rest).toString());
    const url = Buffer.from(`/announce/${hashOf(n)}?${rest}`).toString();
    peers.announce(url.slice(10, 50) as InfoHash, announce.peer, 0);
    digests.add(announce.digest);
  }
  t.true(used() - before < 5_000_000, `${used() - before} bytes`);
  t.is(peers.stats.peers, 1000);
  t.is(digests.size, 1000);
});

test('a handout has no announcer, no duplicates, at most the limit of peers, and all origins', (t) => {
  const sample = [1, 2, 3, 4, 5].map((n) => peer(n));
  const origins = [peer(100, { origin: true, complete: true }), peer(3, { origin: true, complete: true })];
  const handout = handOut({
    announcer: peer(1),
    sample,
    origins,
    order: PEER_ORDERS.default,
    limit: 2,
    random: new Random(1),
  });
  t.deepEqual(ids(handout), [2, 3, 4, 100]);
  t.true(handout.find((one) => one.peerId === idOf(3))?.origin);
});

test('origins take turns at the front', (t) => {
  const origins = [1, 2, 3].map((n) => peer(n, { origin: true, complete: true }));
  const random = new Random(1);
  const first = new Set<string | undefined>();
  for (let i = 0; i < 50; i++) {
    first.add(handOut({ announcer: peer(9), sample: [], origins, order: PEER_ORDERS.completeness, random })[0]?.peerId);
  }
  t.is(first.size, 3);
  t.deepEqual(ids(origins), [1, 2, 3]);
});

test('a peer order of the embedding program decides by its name; an unknown name is refused', (t) => {
  const farLast = { rank: ({ ip }: PeerInfo) => (ip === '10.0.0.9' ? 1 : 0) };
  const tracker = new Tracker({ random: new Random(1), peerOrder: 'far-last', peerOrders: { 'far-last': farLast } });
  tracker.record({ infoHash: swarm, peer: peer(2, { ip: '10.0.0.9', complete: true }) }, 0);
  for (const n of [3, 4]) tracker.record({ infoHash: swarm, peer: peer(n) }, 0);
  t.is(tracker.answer({ infoHash: swarm, peer: peer(1) }, [], 0).at(-1)?.peerId, idOf(2));
  for (const peerOrder of ['far-last', 'toString']) {
    t.throws(() => new Tracker({ random: new Random(1), peerOrder }), {
      code: 'config-invalid',
      message: /completeness/,
    });
  }
});

test('the tracker: records, answers, forgets those who stop', (t) => {
  const tracker = new Tracker({ random: new Random(1), peerOrder: 'completeness' });
  const origin = peer(100, { origin: true, complete: true });
  t.true(tracker.record({ infoHash: swarm, peer: peer(1) }, 0));
  t.deepEqual(tracker.answer({ infoHash: swarm, peer: peer(1) }, [origin], 0), [origin]);
  t.false(tracker.record({ infoHash: swarm, peer: peer(2, { complete: true }) }, 0));
  t.deepEqual(
    tracker.answer({ infoHash: swarm, peer: peer(3) }, [origin], 0).map((one) => one.peerId),
    [idOf(2), idOf(100), idOf(1)],
  );
  t.false(tracker.record({ infoHash: swarm, peer: peer(2, { complete: true }), event: 'stopped' }, 0));
  t.deepEqual(ids(tracker.answer({ infoHash: swarm, peer: peer(3) }, [origin], 0)), [1, 100]);
  t.deepEqual(ids(tracker.answer({ infoHash: swarm, peer: peer(3) }, [], 0, [peer(7), peer(3)])), [7]);
  t.false(wantsPeers({ peer: peer(1), event: 'stopped' }));
});
