import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import {
  idToJson,
  parseDigest,
  parseInfoHash,
  peerInfoFromJson,
  parseGoJson,
  type InfoHash,
  type PeerInfo,
} from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { encodeAnnounceRequest, decodeAnnounceResponse } from '@kraken/core/tracker';
import type { PeerOrderName } from '@kraken/core/policy';
import { createTrackerHandler, type PeerDirectory, type TrackerHandlerOptions } from '../dist/tracker/index.js';
import { SingleFlightCache } from '../dist/tracker/single-flight-cache.js';
import { Host, originDirectory, peer, rawExchange, readCapture, Unshuffled } from './tracker-kit.js';

interface Case {
  kind: string;
  id: string;
  policy: PeerOrderName;
  store_peers: object[] | null;
  store_get_error: string | null;
  store_update_error: string | null;
  origins: object[] | null;
  origins_error: string | null;
  method: string;
  uri: string;
  request_body: string;
  response: { status: number; content_type?: string; body?: string };
  stored_peer?: { peer_id: number[] };
  stored_info_hash?: string;
  requested_peers_limit?: number;
  origin_error: string | null;
  origin_calls: { namespace: string; digest: string }[];
}
const vectors = JSON.parse(
  readFileSync(new URL('../test/fixtures/vectors/announce.json', import.meta.url), 'utf8'),
) as { cases: Case[] };

const hashOf = (n: number): InfoHash => parseInfoHash(n.toString(16).padStart(40, '0'));
const fromVector = (peers: object[] | null): PeerInfo[] =>
  (peers ?? []).map((one) => peerInfoFromJson(parseGoJson(JSON.stringify(one))));
async function serve(t: ExecutionContext, options: Partial<TrackerHandlerOptions>): Promise<Host> {
  const host = await Host.start(
    createTrackerHandler({ origins: originDirectory(), random: new Unshuffled(), ...options }),
  );
  t.teardown(() => host.close());
  return host;
}

/** Same status, another body or another status than Go's, each for a reason. */
const DIFFERS: Record<string, { status: number; body: string; why: string }> = {
  nobody: { status: 200, body: '{"peers":[],"interval":3000000000}\n', why: 'no lookup failed: nobody is there yet' },
  'self-returned': { status: 200, body: '{"peers":[],"interval":3000000000}\n', why: 'nobody is handed themselves' },
  'v2-empty-peer': { status: 400, body: 'json decode request: peer expected ip of', why: 'cannot be dialled' },
  'v2-port-negative': { status: 400, body: 'json decode request: peer expected ip of', why: 'cannot be dialled' },
  'v2-missing-peer': { status: 400, body: 'json decode request: peer is required', why: 'Go drops the connection' },
  'v2-null-peer': { status: 400, body: 'json decode request: peer is required', why: 'Go drops the connection' },
};
/** Texts of Go's JSON and hex libraries: only what comes before them is compared. */
const LIBRARY_TEXT =
  /^json decode request: (?:json: |EOF|unexpected EOF|invalid character)|^parse infohash: invalid hex: /;
const beforeLibraryText = (body: string): string => /^[a-z ]+: /.exec(body)?.[0] ?? body;

test('vectors: announces, health, unknown paths and methods', async (t) => {
  let exact = 0;
  let refused = 0;
  let differs = 0;
  for (const c of vectors.cases.filter(({ kind }) => kind === 'server')) {
    const stored: { infoHash: string; peer: PeerInfo }[] = [];
    const limits: number[] = [];
    const peerDirectory: PeerDirectory = {
      announce: (infoHash, announcer) => {
        stored.push({ infoHash, peer: announcer });
        return c.store_update_error === null ? Promise.resolve() : Promise.reject(new Error(c.store_update_error));
      },
      leave: () => Promise.reject(new Error('not expected')),
      sample: (_infoHash, count) => {
        limits.push(count);
        return c.store_get_error === null
          ? Promise.resolve(fromVector(c.store_peers))
          : Promise.reject(new Error(c.store_get_error));
      },
    };
    const origins = originDirectory({
      originPeers: () =>
        c.origins_error === null ? Promise.resolve(fromVector(c.origins)) : Promise.reject(new Error(c.origins_error)),
    });
    const host = await serve(t, { origins, peerDirectory, peerOrder: c.policy });
    const answer = await host.ask(c.method, c.uri, c.request_body);
    const label = `${c.id} ${c.policy}`;
    const expected = c.response;
    const difference = DIFFERS[c.id];
    if (difference !== undefined) {
      t.is(answer.status, difference.status, label);
      t.true(answer.body.startsWith(difference.body), `${label}: ${answer.body}`);
      differs++;
      continue;
    }
    t.is(answer.headers['content-type'] ?? '', expected.content_type ?? '', label);
    if (
      expected.status === 500 &&
      /^(json decode request|get request digest|parse infohash): /.test(expected.body ?? '')
    ) {
      // What the caller got wrong is a 400 here.
      t.is(answer.status, 400, label);
      const body = expected.body ?? '';
      if (LIBRARY_TEXT.test(body)) t.true(answer.body.startsWith(beforeLibraryText(body)), `${label}: ${answer.body}`);
      else t.is(answer.body, body, label);
      t.deepEqual(stored, [], label);
      refused++;
      continue;
    }
    t.is(answer.status, expected.status, label);
    t.is(answer.body, expected.body ?? '', label);
    if (c.stored_peer !== undefined) {
      t.is(stored[0]?.infoHash, c.stored_info_hash, label);
      t.deepEqual(
        { ...stored[0]?.peer, peerId: undefined, peer_id: idToJson(stored[0]!.peer.peerId) },
        {
          ...c.stored_peer,
          peerId: undefined,
        } as never,
        label,
      );
      t.deepEqual(limits, c.requested_peers_limit === 0 ? [] : [c.requested_peers_limit ?? -1], label);
    }
    if (answer.status === 405) t.truthy(answer.headers.allow, label);
    exact++;
  }
  t.deepEqual({ exact, refused, differs }, { exact: 31, refused: 15, differs: 6 });
});

test('vectors: metainfo', async (t) => {
  const metainfo = vectors.cases.find(({ kind }) => kind === 'server_metainfo')!.response.body!;
  let used = 0;
  for (const c of vectors.cases.filter(({ kind }) => kind === 'server_metainfo')) {
    const calls: { namespace: string; digest: string }[] = [];
    const origins = originDirectory({
      metaInfoResponse: (namespace, digest) => {
        calls.push({ namespace, digest });
        const status = /^GET http:\/\/o (\d+)(?:: (.*))?$/.exec(c.origin_error ?? '');
        if (status !== null) return Promise.resolve({ status: Number(status[1]), body: status[2] ?? '' });
        if (c.origin_error !== null) return Promise.reject(new Error(c.origin_error));
        return Promise.resolve({ status: 200, body: metainfo });
      },
    });
    const answer = await (await serve(t, { origins })).ask('GET', c.uri);
    t.is(answer.status, c.response.status, c.id);
    t.is(answer.headers['content-type'], c.response.content_type, c.id);
    // Go's HTTP library answers a bad escape itself, with a text of its own.
    if (c.id === 'bad-escape') t.is(answer.body, 'path unescape namespace: invalid URL escape "%zz"');
    else t.is(answer.body, c.response.body ?? '', c.id);
    t.deepEqual(
      calls,
      // Digests are normalised: one blob has one name.
      c.origin_calls.map(({ namespace, digest }) => ({ namespace, digest: digest.toLowerCase() })),
      c.id,
    );
    used++;
  }
  t.is(used, 16);
});

test('replay: the requests that a Go agent sent get the answers that it got', async (t) => {
  const recorded = readCapture('agent-to-tracker_announce_metainfo.http').filter(({ to }) => to === 'tracker0');
  t.is(recorded.length, 6);
  const answers = recorded.map(({ response }) => response.body);
  const origins = originDirectory({
    originPeers: (digest) => {
      const index = recorded.findIndex(({ request }) => request.body.includes(digest));
      return Promise.resolve(decodeAnnounceResponse(answers[index]!).peers.filter(({ origin }) => origin));
    },
    metaInfoResponse: (_namespace, digest) => {
      const index = recorded.findIndex(({ request }) => request.head.includes(digest));
      return Promise.resolve({ status: 200, body: answers[index]! });
    },
  });
  const host = await serve(t, { origins });
  for (const { request, response } of recorded) {
    const bytes = `${request.head.replaceAll('\n', '\r\n')}\r\nConnection: close\r\n\r\n${request.body}`;
    const [head = '', body = ''] = (await rawExchange(host.port, bytes)).split('\r\n\r\n');
    t.true(head.startsWith('HTTP/1.1 200 OK\r\n'));
    t.regex(head, /\r\ncontent-length: \d+\r\n/i);
    t.is(/content-type: (.*)/i.exec(head)?.[1]?.trim(), /Content-Type: (.*)/.exec(response.head)?.[1]);
    // Go hands the agent itself as well, last because it is the only incomplete one.
    const own = /"peer":(\{.*\})\}$/.exec(request.body)?.[1] ?? 'none';
    t.is(body, response.body.replace(`,${own}`, ''));
  }
});

const digest = parseDigest(`sha256:${'ab'.repeat(32)}`);
const infoHash = peer(0xee).peerId as never;
const announceBody = (one: PeerInfo, event?: 'stopped'): string =>
  encodeAnnounceRequest({ digest, infoHash, peer: one, ...(event === undefined ? {} : { event }) });
const announce = async (host: Host, one: PeerInfo, event?: 'stopped'): Promise<string[]> => {
  const answer = await host.ask('POST', `/announce/${infoHash as string}`, announceBody(one, event));
  return decodeAnnounceResponse(answer.body).peers.map(({ ip }) => ip);
};

test('peers find each other, seeders first; those that stop or expire are gone', async (t) => {
  let now = 0;
  const host = await serve(t, { now: () => now, peers: { ttlMs: 1000 } });
  t.deepEqual(await announce(host, peer(1)), []);
  t.deepEqual(await announce(host, peer(2)), ['10.0.0.1']);
  t.deepEqual(await announce(host, peer(3, { complete: true })), []);
  t.deepEqual(await announce(host, peer(4)), ['10.0.0.3', '10.0.0.1', '10.0.0.2']);
  t.deepEqual(await announce(host, peer(3, { complete: true }), 'stopped'), []);
  t.deepEqual(await announce(host, peer(4)), ['10.0.0.1', '10.0.0.2']);
  now = 900;
  t.deepEqual(await announce(host, peer(1)), ['10.0.0.2', '10.0.0.4']);
  now = 1001;
  t.deepEqual(await announce(host, peer(5)), ['10.0.0.1']);
});

test('many announces at once: each gets its own answer, and clients that go away meanwhile take nobody with them', async (t) => {
  const host = await serve(t, {});
  const announced = (swarm: number, n: number): string =>
    encodeAnnounceRequest({ digest: parseDigest(`sha256:${'a'.repeat(64)}`), infoHash: hashOf(swarm), peer: peer(n) });
  const path = (swarm: number): string => `/announce/${hashOf(swarm)}`;
  for (let swarm = 1; swarm <= 60; swarm++) await host.ask('POST', path(swarm), announced(swarm, swarm));
  const gone = Array.from({ length: 20 }, async () => {
    const body = announced(1, 99);
    const socket = connect(host.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`POST ${path(1)} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    socket.resetAndDestroy();
    await once(socket, 'close');
  });
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) => host.ask('POST', path(n + 1), announced(n + 1, 200))),
  );
  for (const [n, { status, body }] of answers.entries()) {
    t.is(status, 200);
    const others = decodeAnnounceResponse(body).peers.filter(({ peerId }) => peerId !== peer(99).peerId);
    t.deepEqual(others, [peer(n + 1)]);
  }
  await Promise.all(gone);
});

test('limits: announce_limit, interval, body size', async (t) => {
  const host = await serve(t, {
    announceLimit: 2,
    announceIntervalMs: 1500,
    origins: originDirectory({ originPeers: () => Promise.resolve([peer(100, { origin: true, complete: true })]) }),
  });
  for (let n = 1; n <= 5; n++) await announce(host, peer(n));
  t.is((await announce(host, peer(9))).length, 3);
  const answer = await host.ask('GET', '/announce', announceBody(peer(1)));
  t.is(decodeAnnounceResponse(answer.body).intervalMs, 1500);

  const padded = `${announceBody(peer(7))}${' '.repeat(64 * 1024)}`;
  t.is((await host.ask('POST', `/announce/${infoHash as string}`, padded)).status, 413);
  const chunked = { 'transfer-encoding': 'chunked' };
  const refused = await host.ask('POST', `/announce/${infoHash as string}`, padded, chunked);
  t.is(refused.status, 413);
  t.is(refused.body, 'expected a body of at most 65536 bytes');
  t.false((await announce(host, peer(1))).includes('10.0.0.7'));
});

test('readiness is that of the origins', async (t) => {
  const ready = await (await serve(t, {})).ask('GET', '/readiness');
  t.deepEqual([ready.status, ready.body], [200, 'OK\n']);
  const origins = originDirectory({
    checkReady: () => Promise.reject(new KrakenError('not-ready', 'origin not ready: x')),
  });
  const not = await (await serve(t, { origins })).ask('GET', '/readiness');
  t.deepEqual([not.status, not.body], [503, 'not ready to serve traffic: origin not ready: x']);
});

test('metainfo: one lookup for concurrent requests; 200 kept for minutes, the rest for a second', async (t) => {
  let now = 0;
  let calls = 0;
  let status = 200;
  const pending: (() => void)[] = [];
  const host = await serve(t, {
    now: () => now,
    origins: originDirectory({
      metaInfoResponse: async () => {
        calls++;
        if (calls === 1) await new Promise<void>((resolve) => pending.push(resolve));
        return { status, body: `answer ${calls}` };
      },
    }),
  });
  const path = `/namespace/a%2Fb/blobs/${digest}/metainfo`;
  const first = Promise.all(Array.from({ length: 20 }, () => host.ask('GET', path)));
  while (pending.length === 0) await new Promise((resolve) => setImmediate(resolve));
  // Requests that are still on their way find either the lookup or its outcome.
  pending[0]!();
  t.deepEqual([...new Set((await first).map(({ body }) => body))], ['answer 1']);
  now = 300_000;
  t.is((await host.ask('GET', path)).body, 'answer 1');
  now = 300_001;
  status = 202;
  const pendingAnswer = await host.ask('GET', path);
  t.deepEqual([pendingAnswer.status, pendingAnswer.body], [202, 'origin: answer 2']);
  now += 1000;
  t.is((await host.ask('GET', path)).body, 'origin: answer 2');
  now += 1;
  status = 200;
  t.is((await host.ask('GET', path)).body, 'answer 3');
  t.is((await host.ask('GET', `/namespace/other/blobs/${digest}/metainfo`)).body, 'answer 4');
  t.is(calls, 4);
});

test('a dead origin: peers are served without it, nobody at all is an error, the lookup goes on', async (t) => {
  let calls = 0;
  const answers: ((peers: PeerInfo[]) => void)[] = [];
  const host = await serve(t, {
    originWaitMs: 20,
    origins: originDirectory({
      originPeers: () => {
        calls++;
        return new Promise((resolve) => answers.push(resolve));
      },
    }),
  });
  const alone = await host.ask('POST', `/announce/${infoHash as string}`, announceBody(peer(1)));
  t.is(alone.status, 500);
  t.is(alone.body, 'no peers available: origin store: no answer within 20 ms');
  t.deepEqual(await announce(host, peer(2)), ['10.0.0.1']);
  answers[0]!([peer(100, { origin: true, complete: true })]);
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(await announce(host, peer(2)), ['10.0.0.100', '10.0.0.1']);
  t.is(calls, 1);
});

test('origins are looked up once in 10 s, errors once in 1 s, and known ones outlive a failing lookup', async (t) => {
  let now = 0;
  let calls = 0;
  let dead = true;
  const host = await serve(t, {
    now: () => now,
    origins: originDirectory({
      originPeers: () => {
        calls++;
        return dead
          ? Promise.reject(new KrakenError('origin-unavailable', 'all origins unavailable: x'))
          : Promise.resolve([peer(100, { origin: true, complete: true })]);
      },
    }),
  });
  const alone = await host.ask('POST', `/announce/${infoHash as string}`, announceBody(peer(1)));
  t.is(alone.body, 'no peers available: origin store: all origins unavailable: x');
  t.deepEqual(await announce(host, peer(2)), ['10.0.0.1']);
  t.is(calls, 1);
  now = 1001;
  dead = false;
  t.deepEqual(await announce(host, peer(1)), ['10.0.0.100', '10.0.0.2']);
  now += 10_000;
  await announce(host, peer(1));
  t.is(calls, 2);
  dead = true;
  now += 1; // stale: served as it is, looked up in the background
  t.deepEqual(await announce(host, peer(1)), ['10.0.0.100', '10.0.0.2']);
  t.is(calls, 3);
  now += 60_000;
  await announce(host, peer(1)); // too old by now
  t.deepEqual(await announce(host, peer(1)), ['10.0.0.2']);
});

test('a client that goes away aborts the lookup nobody else waits for', async (t) => {
  let aborted: Promise<void> | undefined;
  let arrived: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (arrived = resolve));
  const host = await serve(t, {
    origins: originDirectory({
      metaInfoResponse: (_namespace, _digest, signal) => {
        aborted = new Promise((resolve) => signal?.addEventListener('abort', resolve, { once: true }));
        arrived();
        return aborted.then(() => Promise.reject(new KrakenError('cancelled')));
      },
    }),
  });
  const socket = connect(host.port, '127.0.0.1');
  socket.write(`GET /namespace/ns/blobs/${digest}/metainfo HTTP/1.1\r\nHost: x\r\n\r\n`);
  await asked;
  socket.destroy();
  await aborted;
  t.is((await host.ask('GET', '/health')).status, 200);
});

test('half a request does no harm', async (t) => {
  const host = await serve(t, {});
  const socket = connect(host.port, '127.0.0.1');
  socket.write(`POST /announce/${infoHash as string} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"name"`);
  await once(socket, 'connect');
  socket.resume().end();
  await once(socket, 'close');
  t.is((await host.ask('GET', '/health')).status, 200);
});

test('single flight cache: errors are remembered for a while, and counted with the words that they carry', async (t) => {
  let now = 0;
  let loads = 0;
  const options = { entriesMax: 1000, flightsMax: 2, ttlMs: () => 100, errorTtlMs: 5, now: () => now };
  const cache = new SingleFlightCache<string>({ ...options, bytesMax: 20_000 });
  const failing = (): Promise<string> => Promise.reject(new Error(`failure ${++loads}`));
  const message = (await t.throwsAsync(cache.get('bad', failing))).message;
  await t.throwsAsync(cache.get('bad', failing), { message });
  now = 6;
  t.not((await t.throwsAsync(cache.get('bad', failing))).message, message);

  const page = (key: string): Promise<Error> => {
    const detail = { body: 'x'.repeat(5000) };
    const refused = (): Promise<string> => Promise.reject(new KrakenError('upstream-failed', 'a page', { detail }));
    return t.throwsAsync(cache.get(key, refused));
  };
  for (let n = 0; n < 10; n++) await page(`page ${n}`);
  t.true(cache.size <= 3, `${cache.size} pages of 5 kB in 20 kB`);
});

test('single flight cache: bounded entries, bytes and lookups; callers may leave', async (t) => {
  const now = 0;
  const cache = new SingleFlightCache<string>({
    entriesMax: 3,
    bytesMax: 20,
    flightsMax: 2,
    ttlMs: () => 10,
    errorTtlMs: 5,
    sizeOf: (value) => value.length,
    now: () => now,
  });
  let loads = 0;
  const get = (key: string, value = key): Promise<string> =>
    cache.get(key, () => {
      loads++;
      return Promise.resolve(value);
    });
  for (const key of ['a', 'b', 'c', 'a', 'd']) await get(key); // b was used longest ago
  t.is(cache.size, 3);
  t.is(loads, 4);
  await get('a');
  await get('b');
  t.is(loads, 5);
  await get('long', 'x'.repeat(14)); // 18 bytes: one other fits beside it
  t.is(cache.size, 2);
  await get('huge', 'x'.repeat(30)); // not kept
  t.is(cache.size, 2);

  const never = (signal: AbortSignal): Promise<string> =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
  const first = new AbortController();
  const second = new AbortController();
  let flightSignal: AbortSignal | undefined;
  const slow = (signal: AbortSignal): Promise<string> => never((flightSignal = signal));
  const waiters = [cache.get('slow', slow, first.signal), cache.get('slow', slow, second.signal)];
  const other = cache.get('other', never, second.signal);
  await t.throwsAsync(cache.get('third', never), { message: /already running/ });
  first.abort();
  await t.throwsAsync(waiters[0]!, { message: 'the caller gave up' });
  t.false(flightSignal?.aborted);
  second.abort();
  await t.throwsAsync(waiters[1]!);
  await t.throwsAsync(other);
  t.true(flightSignal?.aborted);
  t.is(await get('slow'), 'slow'); // the abort was not remembered
  await t.throwsAsync(cache.get('late', never, second.signal), { message: 'the caller gave up' });
});

test('what is remembered no longer goes as others come, not only when there is no room', async (t) => {
  let now = 0;
  const cache = new SingleFlightCache<string>({
    entriesMax: 1000,
    flightsMax: 10,
    ttlMs: () => 100,
    errorTtlMs: 10,
    staleMs: 50,
    now: () => now,
  });
  let lookups = 0;
  const ask = (key: string): Promise<string> => cache.get(key, () => Promise.resolve(`${key} ${++lookups}`));
  for (let n = 0; n < 100; n++) await ask(`old ${n}`);
  now = 150;
  await ask('old 0');
  t.is(cache.size, 100, 'the stale are still of use');
  now = 151;
  for (let n = 0; n < 60; n++) await ask(`new ${n}`);
  t.true(cache.size <= 62, `${cache.size} entries`);
  t.is(await ask('new 0'), 'new 0 102', 'a fresh one stays');
});
