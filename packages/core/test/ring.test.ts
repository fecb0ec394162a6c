import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { digestFromHex, parseDigest, shardId, type Digest } from '@kraken/core/content';
import {
  ActiveHealth,
  hashOf,
  hashToFraction,
  hashToInteger,
  murmur3,
  orderWeighted,
  PassiveHealth,
  RendezvousRing,
  Ring,
  weightedScore,
  type Hash64,
} from '@kraken/core/ring';

interface Case {
  kind: string;
  id: string;
  labels: string[];
  weights: number[];
  rows: unknown[];
  max_replica: number;
  counter: number;
  digest: string;
  owners: number[];
  upper_digest: string;
  upper_owners: number[];
  lower_digest: string;
  lower_owners: number[];
}
interface Vectors {
  scores: { key: string; nodes: { label: string; weight: number; h: string; v: string; score: string }[] }[];
  murmur3: { text?: string; bytes_hex?: string; sha256_counter_seed?: string; length?: number; h: string }[];
  uint64_to_float64: { h: string; without_rehash: string; with_rehash: string }[];
  cases: Case[];
}
const vectors = JSON.parse(
  readFileSync(new URL('../test/fixtures/vectors/hrw.json', import.meta.url), 'utf8'),
) as Vectors;

const hex = ({ high, low }: Hash64): string => high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
const fromHex = (h: string): Hash64 => ({ high: parseInt(h.slice(0, 8), 16), low: parseInt(h.slice(8), 16) });
const digestOf = (counter: number): Digest => digestFromHex(createHash('sha256').update(String(counter)).digest('hex'));
const everyone = (): boolean => true;
const casesOf = (kind: string): Case[] => vectors.cases.filter((c) => c.kind === kind);
/** The generator of the vectors: SHA-256 of `seed:counter`, concatenated. */
function counterBytes(seed: string, length: number): Uint8Array {
  const parts: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) parts.push(createHash('sha256').update(`${seed}:${i}`).digest());
  return new Uint8Array(Buffer.concat(parts).subarray(0, length));
}

test('vectors: murmur3', (t) => {
  let used = 0;
  for (const c of vectors.murmur3) {
    const bytes =
      c.bytes_hex !== undefined ? hexToBytes(c.bytes_hex) : counterBytes(c.sha256_counter_seed ?? '', c.length ?? 0);
    t.is(hex(murmur3(bytes)), c.h, JSON.stringify(c));
    if (c.text !== undefined) t.is(hex(murmur3(utf8ToBytes(c.text))), c.h);
    used++;
  }
  t.is(used, 47);
});

test('vectors: hash to integer, fraction and score', (t) => {
  let used = 0;
  for (const c of vectors.uint64_to_float64) {
    t.is(hashToFraction(fromHex(c.h)), Number(c.with_rehash), c.h);
    used++;
  }
  let undecodable = 0;
  for (const { key, nodes } of vectors.scores) {
    if (nodes.some((node) => node.score === 'NaN')) {
      // Kraken scores keys that are not hexadecimal as NaN, which leaves the order to chance; ours are errors.
      t.throws(() => orderWeighted(key, nodes), { instanceOf: RangeError });
      undecodable++;
      continue;
    }
    for (const node of nodes) {
      const hash = hashOf(hexToBytes(key), utf8ToBytes(node.label));
      t.is(hex(hash), node.h);
      t.is(String((hash.high & 0x1fffff) * 2 ** 32 + hash.low), node.v);
      const expected = Number(node.score);
      const difference = Math.abs(weightedScore(hash, node.weight) - expected);
      // Engines may differ in the last digit of the logarithm.
      t.true(difference <= Math.abs(expected) * 1e-14, `${key} ${node.label} ${node.weight}`);
      used++;
    }
  }
  t.deepEqual([used, undecodable], [134, 2]);
});

test('a hash whose low 53 bits are 0 is hashed once more', (t) => {
  t.is(hashToInteger({ high: 0x00200000, low: 0 }), 2513274918130927);
  t.is(hashToInteger({ high: 0, low: 1 }), 1);
});

test('vectors: owners, orders, health, defaults, weights', (t) => {
  let used = 0;
  for (const c of casesOf('owners')) {
    const two = new Ring(c.labels, 2);
    const three = new Ring(c.labels, 3);
    for (const [counter, ownersOfTwo, ownersOfThree] of c.rows as [number, number[], number[]][]) {
      const digest = digestOf(counter);
      t.deepEqual(
        two.locations(digest, everyone),
        ownersOfTwo.map((i) => c.labels[i] as string),
        c.id,
      );
      t.deepEqual(
        three.locations(digest, everyone),
        ownersOfThree.map((i) => c.labels[i] as string),
        c.id,
      );
    }
    used++;
  }
  for (const c of casesOf('full_order')) {
    const ring = new RendezvousRing(c.labels);
    for (const [counter, order] of c.rows as [number, number[]][]) {
      t.deepEqual(
        ring.order(shardId(digestOf(counter))),
        order.map((i) => c.labels[i] as string),
        c.id,
      );
    }
    used++;
  }
  for (const c of casesOf('health')) {
    const ring = new Ring(c.labels, c.max_replica);
    t.is(c.rows.length, 32);
    for (const [unhealthy, found] of c.rows as [number[], number[]][]) {
      const down = new Set(unhealthy.map((i) => c.labels[i] as string));
      t.deepEqual(
        ring.locations(parseDigest(c.digest), (host) => !down.has(host)),
        found.map((i) => c.labels[i] as string),
        `${c.id} ${unhealthy.join()}`,
      );
    }
    used++;
  }
  for (const c of casesOf('default_max_replica')) {
    const found = new Ring(c.labels, c.max_replica).locations(digestOf(c.counter), everyone);
    t.deepEqual(
      found,
      c.owners.map((i) => c.labels[i] as string),
      c.id,
    );
    used++;
  }
  for (const c of casesOf('hex_case')) {
    const ring = new Ring(c.labels);
    t.deepEqual(
      ring.locations(parseDigest(c.upper_digest), everyone),
      c.upper_owners.map((i) => c.labels[i] as string),
    );
    t.deepEqual(
      ring.locations(parseDigest(c.lower_digest), everyone),
      c.lower_owners.map((i) => c.labels[i] as string),
    );
    used++;
  }
  for (const c of casesOf('weighted')) {
    const nodes = c.labels.map((label, i) => ({ label, weight: c.weights[i] as number }));
    for (const [i, chosen] of (c.rows as number[]).entries()) {
      t.is(orderWeighted(i.toString(16).padStart(2, '0'), nodes)[0], c.labels[chosen]);
    }
    used++;
  }
  t.is(used, vectors.cases.length);
  t.is(used, 40);
});

test('a node that leaves or joins moves only its own keys', (t) => {
  const labels = fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,12}:[0-9]{2,5}$/), { minLength: 2, maxLength: 12 });
  fc.assert(
    fc.property(labels, fc.integer({ min: 0, max: 0xffff }), fc.nat(), (hosts, shard, pick) => {
      const key = shard.toString(16).padStart(4, '0');
      const order = new RendezvousRing(hosts).order(key);
      const gone = hosts[pick % hosts.length] as string;
      const without = new RendezvousRing(hosts.filter((host) => host !== gone)).order(key);
      t.deepEqual(
        without,
        order.filter((host) => host !== gone),
      );
      t.deepEqual([...order].sort(), [...hosts].sort());
    }),
    { numRuns: 200 },
  );
});

test('replicas are spread evenly', (t) => {
  const hosts = [0, 1, 2, 3, 4, 5].map((i) => `10.0.0.${i}:15002`);
  const ring = new Ring(hosts);
  const counts = new Map<string, number>();
  for (let i = 0; i < 2000; i++) {
    for (const host of ring.locations(digestOf(i), everyone)) counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  for (const host of hosts) t.true(Math.abs((counts.get(host) ?? 0) / 2000 - 0.5) < 0.05, host);
});

test('weights set the share of keys', (t) => {
  const nodes = [100, 200, 400, 800].map((weight, i) => ({ label: String(i), weight }));
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 1000; i++) {
    const first = Number(orderWeighted(createHash('sha512').update(String(i)).digest('hex'), nodes)[0]);
    counts[first] = (counts[first] ?? 0) + 1;
  }
  for (const [i, { weight }] of nodes.entries()) t.true(Math.abs((counts[i] ?? 0) / 1000 - weight / 1500) < 0.1);
});

test('keys must be hexadecimal', (t) => {
  t.throws(() => new RendezvousRing(['a:1']).order('abc'), { instanceOf: RangeError });
  t.throws(() => new RendezvousRing(['a:1']).order('zz'), { instanceOf: RangeError });
});

test('membership: duplicates count once, a change drops the cached orders, the same set changes nothing', (t) => {
  const ring = new Ring(['x:80', 'y:80', 'x:80'], 1);
  const digest = digestFromHex('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  t.deepEqual(ring.members, ['x:80', 'y:80']);
  t.deepEqual(ring.locations(digest, everyone), ['x:80']);
  t.false(ring.setMembers(['y:80', 'x:80']));
  t.true(ring.setMembers(['y:80', 'z:80']));
  t.deepEqual(ring.locations(digest, everyone), ['z:80']);
  t.true(ring.contains('z:80'));
  t.false(ring.contains('x:80'));
  ring.setMembers([]);
  t.deepEqual(ring.locations(digest, everyone), []);
});

test('the cache of orders is bounded and stays right', (t) => {
  const hosts = ['a:1', 'b:1', 'c:1'];
  const ring = new Ring(hosts, 3);
  const plain = new RendezvousRing(hosts);
  for (let round = 0; round < 2; round++) {
    for (let shard = 0; shard < 10_000; shard += 1) {
      const digest = digestFromHex(shard.toString(16).padStart(4, '0') + '0'.repeat(60));
      if (shard % 97 === 0) t.deepEqual(ring.order(digest), plain.order(shardId(digest)));
      else ring.order(digest);
    }
  }
});

test('passive health: three failures within the time limit take a host out at once, for the time limit', (t) => {
  const health = new PassiveHealth({ fails: 3, failTimeoutMs: 1000 });
  health.failed('a', 0);
  health.failed('a', 500);
  t.true(health.isHealthy('a', 500));
  health.failed('a', 1001); // the first is too old now
  t.true(health.isHealthy('a', 1001));
  health.failed('a', 1100);
  t.false(health.isHealthy('a', 1100));
  t.deepEqual(health.healthyOf(['a', 'b'], 1100), ['b']);
  t.deepEqual(health.healthyOf(['a'], 1100), ['a']);
  t.false(health.isHealthy('a', 2100)); // exactly the limit is not more than the limit
  t.true(health.isHealthy('a', 2101));
});

test('passive health: further failures extend the absence, departed hosts are forgotten', (t) => {
  const health = new PassiveHealth({ fails: 1, failTimeoutMs: 1000 });
  health.failed('a', 0);
  health.failed('a', 900);
  t.false(health.isHealthy('a', 1500));
  health.retain(['b']);
  t.true(health.isHealthy('a', 1500));
});

test('active health: the sequence of Kraken', (t) => {
  const health = new ActiveHealth();
  health.sync(['a', 'b']);
  const report = (...results: boolean[]): boolean => {
    for (const passed of results) health.report('a', passed);
    return health.isHealthy('a');
  };
  t.true(report(false, false));
  t.false(report(false));
  t.false(report(true));
  t.true(report(true));
  t.true(report(false, false));
  t.true(report(true, false, false)); // a success in between starts the count anew
  t.false(report(false));
  t.deepEqual(health.usable(), ['b']);
});

test('active health: all unhealthy means all, a returning host starts healthy, a late result is ignored', (t) => {
  const health = new ActiveHealth({ fails: 1, passes: 1 });
  health.sync(['a', 'b']);
  t.true(health.report('a', false));
  t.true(health.report('b', false));
  t.deepEqual(health.usable(), ['a', 'b']);
  health.sync(['b']);
  t.false(health.report('a', true));
  t.false(health.isHealthy('a'));
  health.sync(['a', 'b']);
  t.deepEqual(health.usable(), ['a']);
});
