/** Host lists, health monitors and the ring over them; origins asked in a cluster. */
import type { Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import test from 'ava';
import {
  ActiveMonitor,
  checkHostPort,
  createHttpClient,
  HashRing,
  HostList,
  localAddresses,
  OriginClusterClient,
  PassiveHosts,
  withoutLocal,
  type Clock,
  type RingMembers,
} from '../dist/index.js';
import { collect, digestOf, serve, until } from './origin-fakes.js';

/** Time that moves when told. */
class ManualClock implements Clock {
  now = 0;
  readonly timers = new Set<{ at: number; run: () => void }>();
  nowMs(): number {
    return this.now;
  }
  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.now + delayMs, run };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }
  advance(ms: number): void {
    this.now += ms;
    for (const timer of [...this.timers]) {
      if (timer.at <= this.now && this.timers.delete(timer)) timer.run();
    }
  }
}

/** Everything that is already decided happens. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
}

test('host lists need exactly one of a name and a static list, with ports', async (t) => {
  for (const config of [
    {},
    { static: [] },
    { dns: 'a:1', static: ['b:1'] },
    { static: ['a'] },
    { static: ['::1:5'] },
    { dns: 'a:x' },
    { static: ['a:99999'] },
    { static: ['a b:1'] },
  ]) {
    t.true(isKrakenError(await t.throwsAsync(HostList.open(config)), 'config-invalid'), JSON.stringify(config));
  }
  const list = await HostList.open({ static: ['a:1', '[::1]:2', 'a:1'] });
  t.deepEqual(list.hosts(), ['a:1', '[::1]:2']);
  list.close();
  t.deepEqual(checkHostPort('[fe80::1]:80'), { host: '[fe80::1]', port: '80' });
});

test('a name is resolved again in the background; the last good answer stays; IPv6 gets brackets', async (t) => {
  const clock = new ManualClock();
  let answer: () => Promise<readonly string[]> = () => Promise.resolve(['10.0.0.2', 'fd00::1', '10.0.0.1', '10.0.0.1']);
  const asked: string[] = [];
  const list = await HostList.open(
    { dns: 'origin.example:15002', ttlMs: 5000 },
    { clock, resolve: (name) => (asked.push(name), answer()) },
  );
  let changes = 0;
  const stop = list.onChange(() => changes++);
  t.deepEqual(list.hosts(), ['10.0.0.1:15002', '10.0.0.2:15002', '[fd00::1]:15002']);
  const ask = async (next: () => Promise<readonly string[]>): Promise<void> => {
    answer = next;
    clock.advance(5000);
    await settle();
  };
  await ask(() => Promise.reject(new Error('SERVFAIL')));
  await ask(() => Promise.resolve([]));
  t.is(list.hosts().length, 3);
  await ask(() => new Promise(() => undefined));
  clock.advance(10_000);
  await settle();
  t.is(list.hosts().length, 3, 'a resolver that hangs has failed');
  t.is(changes, 0);
  await ask(() => Promise.resolve(['10.0.0.9']));
  t.deepEqual(list.hosts(), ['10.0.0.9:15002']);
  t.is(changes, 1);
  stop();
  await ask(() => Promise.resolve(['10.0.0.8']));
  t.is(changes, 1);
  const before = asked.length;
  list.close();
  clock.advance(100_000);
  await settle();
  t.is(asked.length, before);
  t.deepEqual([...new Set(asked)], ['origin.example']);
  t.is(clock.timers.size, 0, 'nothing is left running');
});

test('a name that does not resolve at the start is not fatal', async (t) => {
  const clock = new ManualClock();
  let up = false;
  const list = await HostList.open(
    { dns: 'late:1' },
    { clock, resolve: () => (up ? Promise.resolve(['10.0.0.1']) : Promise.reject(new Error('NXDOMAIN'))) },
  );
  t.deepEqual(list.hosts(), []);
  up = true;
  clock.advance(5000);
  await settle();
  t.deepEqual(list.hosts(), ['10.0.0.1:1']);
  list.close();
});

test('the monitor drops hosts that fail three times and takes them back after two; all are used when none is left', async (t) => {
  const http = createHttpClient({ connectTimeoutMs: 500 });
  t.teardown(() => http.close());
  const broken = new Set<string>();
  const paths: string[] = [];
  const servers = await Promise.all(
    [0, 1, 2].map((index) =>
      serve(t, (req, res) => {
        paths.push(req.url ?? '');
        res.statusCode = broken.has(hosts[index] ?? '') ? 503 : 200;
        res.end('OK\n');
      }),
    ),
  );
  const hosts = servers.map(({ address }) => address);
  const [bad = ''] = hosts;
  const clock = new ManualClock();
  const monitor = new ActiveMonitor({ source: { hosts: () => hosts }, http, clock, intervalMs: 10_000 });
  t.teardown(() => monitor.close());
  let changes = 0;
  monitor.onChange(() => changes++);
  monitor.start();
  const ring = new HashRing({ members: monitor, self: hosts[1] ?? '', maxReplica: 3, clock });
  const digest = digestOf('x');
  t.deepEqual([...ring.locations(digest)].sort(), [...hosts].sort());
  broken.add(bad);
  for (const expected of [3, 3, 2]) {
    await monitor.check();
    t.is(monitor.hosts().length, expected);
  }
  t.is(changes, 1);
  t.false(ring.locations(digest).includes(bad), 'takes effect at once');
  t.true(ring.owners(digest).includes(bad), 'still an owner');
  broken.clear();
  await monitor.check();
  t.false(monitor.isHealthy(bad));
  await monitor.check();
  t.true(monitor.isHealthy(bad));
  for (const host of hosts) broken.add(host);
  for (let i = 0; i < 3; i++) await monitor.check();
  t.is(monitor.hosts().length, 3, 'falls back to all');
  t.deepEqual(ring.locations(digest), [hosts[1]], 'an origin believes in itself');
  const rounds = paths.length;
  clock.advance(10_000);
  await until(() => paths.length === rounds + 3);
  t.true(paths.every((path) => path === '/health'));
});

test('a single host is never asked; a host that hangs fails the check', async (t) => {
  const http = createHttpClient();
  t.teardown(() => http.close());
  let asked = 0;
  const hanging = await serve(t, () => asked++);
  const answered = new Set<string>();
  const healthy = await serve(t, (_req, res) => {
    res.end('OK\n');
  });
  const watched: typeof http = {
    ...http,
    async request(host, path, options) {
      const response = await http.request(host, path, options);
      return {
        ...response,
        discard: async () => (await response.discard(), void answered.add(host)),
      };
    },
  };
  const one = new ActiveMonitor({ source: { hosts: () => [hanging.address] }, http });
  await one.check();
  t.is(asked, 0);
  await one.close();
  const clock = new ManualClock();
  const two = new ActiveMonitor({
    source: { hosts: () => [hanging.address, healthy.address] },
    http: watched,
    clock,
    timeoutMs: 3000,
    health: { fails: 1 },
  });
  const round = two.check();
  await until(() => asked === 1 && answered.has(healthy.address));
  clock.advance(3000);
  await round;
  t.deepEqual(two.hosts(), [healthy.address]);
  const last = two.check();
  await two.close();
  await last;
});

test('the ring follows its members, tells who watches, and waits for itself', async (t) => {
  const clock = new ManualClock();
  let hosts: readonly string[] = ['a:1', 'b:1'];
  let notify = (): void => undefined;
  const members: RingMembers = {
    members: () => hosts,
    isHealthy: () => true,
    onChange: (listener) => {
      notify = listener;
      return () => undefined;
    },
  };
  const ring = new HashRing({ members, self: 'c:1', clock });
  const seen: (readonly string[])[] = [];
  ring.onChange((now) => seen.push(now));
  notify();
  t.deepEqual(seen, [], 'the same members are no change');
  const waited = ring.waitForSelf(60_000, 500);
  await settle();
  hosts = ['a:1', 'b:1', 'c:1'];
  notify();
  clock.advance(500);
  await waited;
  t.is(seen.length, 1);
  hosts = ['a:1'];
  notify();
  const failed = t.throwsAsync(ring.waitForSelf(1000, 500));
  for (let i = 0; i < 3; i++) {
    await settle();
    clock.advance(500);
  }
  t.true(isKrakenError(await failed, 'not-ready'));
  ring.close();
});

test('passive hosts are left out after failures and come back with time', (t) => {
  const clock = new ManualClock();
  const hosts = new PassiveHosts({
    source: { hosts: () => ['a:1', 'b:1'] },
    health: { fails: 2, failTimeoutMs: 1000 },
    clock,
  });
  hosts.failed('a:1');
  t.deepEqual(hosts.hosts(), ['a:1', 'b:1']);
  hosts.failed('a:1');
  t.deepEqual(hosts.hosts(), ['b:1']);
  hosts.failed('b:1');
  hosts.failed('b:1');
  t.deepEqual(hosts.hosts(), ['a:1', 'b:1'], 'all, when none is left');
  clock.advance(1001);
  t.deepEqual(hosts.hosts(), ['a:1', 'b:1']);
  hosts.close();
});

test('this machine is known by name and by address', (t) => {
  const local = localAddresses(15004);
  t.true(local.has('127.0.0.1:15004') && local.has('localhost:15004'));
  t.deepEqual(withoutLocal({ hosts: () => ['127.0.0.1:15004', 'elsewhere:15004', '127.0.0.1:1'] }, local).hosts(), [
    'elsewhere:15004',
    '127.0.0.1:1',
  ]);
});

/** An origin that answers by a script, as Go's does: no ranges, no length for large bodies. */
function goOrigin(
  blobs: ReadonlyMap<Digest, Buffer>,
  owners: () => readonly string[],
  seen: string[],
  script: (url: string) => number | 'drop' | undefined = () => undefined,
): Parameters<typeof serve>[1] {
  return (req, res) => {
    const url = req.url ?? '';
    seen.push(`${req.method ?? ''} ${url}`);
    const status = script(url);
    const digest = /sha256:[0-9a-f]{64}/.exec(url)?.[0] as Digest;
    const blob = blobs.get(digest);
    if (url.endsWith('/locations')) res.setHeader('origin-locations', owners().join());
    else if (status === 'drop') {
      res.write(blob?.subarray(0, 5000));
      setTimeout(() => res.destroy(), 5);
      return;
    } else if (status !== undefined) res.statusCode = status;
    else if (blob === undefined) res.statusCode = 404;
    else if (req.method === 'HEAD') res.setHeader('content-length', blob.length);
    else {
      res.write(blob);
    }
    res.end();
  };
}

test('Go origins: no length, no ranges, 202 while they fetch, a break in the middle', async (t) => {
  const http = createHttpClient();
  t.teardown(() => http.close());
  const bytes = Buffer.alloc(20_000, 'kraken');
  const digest = digestOf(bytes);
  const blobs = new Map([[digest, bytes]]);
  const seen: string[] = [];
  const addresses: string[] = [];
  let pending = 3;
  const first = await serve(
    t,
    goOrigin(
      blobs,
      () => addresses,
      seen,
      (url) => (url.startsWith('/namespace') ? (pending-- > 0 ? 202 : 'drop') : undefined),
    ),
  );
  const second = await serve(
    t,
    goOrigin(blobs, () => addresses, seen),
  );
  addresses.push(first.address, second.address);
  const client = new OriginClusterClient({
    source: { hosts: () => [second.address] },
    http,
    poll: { initialMs: 1, factor: 1, maxMs: 1, jitter: 0, elapsedMaxMs: 10_000 },
  });
  const blob = await client.download('ns', digest);
  t.is(blob.length, 20_000);
  t.deepEqual(await collect(blob.stream), bytes);
  t.is(seen.filter((line) => line.endsWith('/locations')).length, 1, 'locations are remembered');
  const part = await client.download('ns', digest, { range: { start: 19_990, end: 20_000 } });
  t.deepEqual(await collect(part.stream), bytes.subarray(19_990));
});

test('an origin that fetches for ever is given up, one that is busy is passed over, one that refuses is final', async (t) => {
  const http = createHttpClient();
  t.teardown(() => http.close());
  const bytes = Buffer.from('content');
  const digest = digestOf(bytes);
  const blobs = new Map([[digest, bytes]]);
  const addresses: string[] = [];
  const seen: string[] = [];
  let answer = 202;
  const first = await serve(
    t,
    goOrigin(
      blobs,
      () => addresses,
      [],
      (url) => (url.includes('/namespace') ? answer : undefined),
    ),
  );
  const second = await serve(
    t,
    goOrigin(blobs, () => addresses, seen),
  );
  addresses.push(first.address, second.address);
  const client = new OriginClusterClient({
    source: { hosts: () => addresses },
    http,
    poll: { initialMs: 1, factor: 1, maxMs: 1, jitter: 0, attemptsMax: 4 },
  });
  t.deepEqual(await collect((await client.download('ns', digest)).stream), bytes);
  answer = 503;
  t.deepEqual(await collect((await client.download('ns', digest)).stream), bytes);
  t.deepEqual(await client.stat('ns', digest), { length: 7 });
  seen.length = 0;
  answer = 403;
  await t.throwsAsync(client.download('ns', digest), { message: /403/ });
  t.deepEqual(
    seen.filter((line) => line.startsWith('GET /namespace')),
    [],
  );
  const cancelled = new AbortController();
  answer = 202;
  const waiting = new OriginClusterClient({ source: { hosts: () => addresses }, http });
  setTimeout(() => cancelled.abort(), 20);
  t.true(isKrakenError(await t.throwsAsync(waiting.download('ns', digest, { signal: cancelled.signal })), 'cancelled'));
  const empty = new OriginClusterClient({ source: { hosts: () => [] }, http });
  t.true(isKrakenError(await t.throwsAsync(empty.stat('ns', digest)), 'origin-unavailable'));
  t.true(isKrakenError(await t.throwsAsync(empty.checkReady()), 'not-ready'));
  t.is(new KrakenError('origin-unavailable').httpStatus, 503);
});
