import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import test, { type ExecutionContext } from 'ava';
import { addrHashPeerId, digestFromHex, parseDigest, parseInfoHash } from '@kraken/core/content';
import { isKrakenError, type ErrorCode } from '@kraken/core/errors';
import type { HostRing } from '@kraken/core/ports';
import { Ring } from '@kraken/core/ring';
import { decodeAnnounceRequest, encodeAnnounceRequest } from '@kraken/core/tracker';
import {
  createPassiveRing,
  createTrackerClient,
  createTrackerHandler,
  type ClosableTrackerClient,
  type TrackerClientOptions,
} from '../dist/tracker/index.js';
import { deadAddress, Host, originDirectory, peer, readCapture } from './tracker-kit.js';

interface Case {
  kind: string;
  id: string;
  version: 1 | 2;
  digest: string;
  info_hash: string;
  ip: string;
  port: number;
  origin: boolean;
  complete: boolean;
  request: { method: string; request_uri: string; headers: Record<string, string>; body: string };
  requests: { method: string; request_uri: string; body: string }[];
  namespace: string;
  body: string;
  error: string | null;
  peers: ({ ip: string; port: number } | null)[] | null;
  interval_ns: number;
  status: number;
}
const vectors = JSON.parse(
  readFileSync(new URL('../test/fixtures/vectors/announce.json', import.meta.url), 'utf8'),
) as { cases: Case[] };
const casesOf = (kind: string): Case[] => vectors.cases.filter((c) => c.kind === kind);

const digest = parseDigest('sha256:289314c356bc2a19802c3e31505506db30ea81a0bcaea4ec3e079524c8ac3cf5');
const infoHash = parseInfoHash('85b978c4377625b3963df406d0dd3a1da5a7d9c3');
const request = { namespace: 'ns', digest, infoHash, peer: peer(1) };
const metainfoText =
  '{"Info":{"PieceLength":4194304,"PieceSums":[2131691452],' +
  '"Name":"289314c356bc2a19802c3e31505506db30ea81a0bcaea4ec3e079524c8ac3cf5","Length":236}}';
const emptyAnswer = '{"peers":null,"interval":3000000000}\n';

interface Recorded {
  readonly method: string;
  readonly uri: string;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}
/** A tracker that answers as told and remembers what it was asked. */
async function scripted(
  t: ExecutionContext,
  answer: (asked: Recorded) => { status?: number; body?: string } | undefined,
): Promise<{ address: string; asked: Recorded[] }> {
  const asked: Recorded[] = [];
  const listener: RequestListener = (req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.once('end', () => {
      const { method = '', url = '', headers } = req;
      asked.push({ method, uri: url, headers, body: Buffer.concat(chunks).toString() });
      const scriptedAnswer = answer(asked.at(-1)!);
      if (scriptedAnswer === undefined) return; // stays silent
      res.writeHead(scriptedAnswer.status ?? 200).end(scriptedAnswer.body ?? '');
    });
  };
  const host = await Host.start(listener);
  t.teardown(() => host.close());
  return { address: host.address, asked };
}

interface FixedRing extends HostRing {
  readonly failures: string[];
}
function fixedRing(...hosts: string[]): FixedRing {
  const failures: string[] = [];
  return { failures, locations: () => hosts, failed: (host) => failures.push(host) };
}
function client(t: ExecutionContext, ring: HostRing, more: Partial<TrackerClientOptions> = {}): ClosableTrackerClient {
  const created = createTrackerClient({ ring, ...more });
  t.teardown(() => created.close());
  return created;
}
async function rejects(t: ExecutionContext, promise: Promise<unknown>, code: ErrorCode): Promise<string> {
  const error = await t.throwsAsync(promise);
  t.true(isKrakenError(error, code), `expected ${code}, got ${String(error)}`);
  return error.message;
}
const noWait = { initialMs: 1, factor: 1, maxMs: 1, jitter: 0 };

test('vectors: announce requests, v1 and v2', async (t) => {
  const tracker = await scripted(t, () => ({ body: emptyAnswer }));
  let used = 0;
  for (const c of casesOf('client_request')) {
    const tc = client(t, fixedRing(tracker.address), { announceVersion: c.version });
    const { ip, port, origin, complete } = c;
    const announcer = { peerId: addrHashPeerId(ip, port), ip, port, origin, complete };
    const answer = await tc.announce({
      namespace: 'not sent',
      digest: parseDigest(c.digest),
      infoHash: parseInfoHash(c.info_hash),
      peer: announcer,
    });
    t.deepEqual(answer, { peers: [], intervalMs: 3000 });
    const sent = tracker.asked.at(-1)!;
    t.deepEqual([sent.method, sent.uri, sent.body], [c.request.method, c.request.request_uri, c.request.body], c.id);
    // Not compared: Accept-Encoding and User-Agent, which nobody acts on.
    t.is(sent.headers['content-length'], c.request.headers['Content-Length'], c.id);
    t.is(sent.headers['content-type'], undefined, c.id);
    used++;
  }
  t.is(used, 12);
});

test('vectors: announce answers', async (t) => {
  let body = '';
  const tracker = await scripted(t, () => ({ body }));
  const tc = client(t, fixedRing(tracker.address));
  let used = 0;
  for (const c of casesOf('client_response_decode')) {
    used++;
    body = c.body;
    if (c.error !== null) {
      await rejects(t, tc.announce(request), 'tracker-unavailable');
      continue;
    }
    const answer = await tc.announce(request);
    t.is(Math.round(answer.intervalMs * 1e6), c.interval_ns, c.body);
    // What cannot be dialled is left out.
    const usable = (c.peers ?? []).filter((one) => one !== null && one.ip !== '' && one.port >= 1 && one.port <= 65535);
    t.deepEqual(
      answer.peers.map(({ ip, port }) => ({ ip, port })),
      usable.map((one) => ({ ip: one!.ip, port: one!.port })),
      c.body,
    );
  }
  t.is(used, 26);
});

test('vectors: announce statuses', async (t) => {
  let used = 0;
  for (const c of casesOf('client_status')) {
    const tracker = await scripted(t, () => ({ status: c.status, body: c.body }));
    const ring = fixedRing(tracker.address);
    const code = c.status >= 500 ? 'tracker-unavailable' : 'upstream-failed';
    const message = await rejects(t, client(t, ring).announce(request), code);
    t.is(message.replace(tracker.address, 'TRACKER'), c.error ?? '');
    t.is(ring.failures.length, c.status === 502 ? 1 : 0);
    t.is(tracker.asked.length, 1); // no redirect is followed
    used++;
  }
  t.is(used, 6);
});

test('vectors: metainfo requests', async (t) => {
  const tracker = await scripted(t, () => ({ body: metainfoText }));
  const tc = client(t, fixedRing(tracker.address));
  let used = 0;
  for (const c of casesOf('metainfo_client_request')) {
    const metainfo = await tc.metaInfo(c.namespace, digest);
    t.deepEqual([metainfo.infoHash, metainfo.length], [infoHash, 236]);
    const { method, uri, body } = tracker.asked.at(-1)!;
    t.deepEqual({ method, request_uri: uri, body }, pick(c.requests[0]!), c.namespace);
    used++;
  }
  t.is(used, 9);
});
const pick = ({ method, request_uri, body }: Case['requests'][number]): object => ({ method, request_uri, body });

test('replay: what a Go tracker answered is understood, and the requests are those of a Go agent', async (t) => {
  const recorded = readCapture('agent-to-tracker_announce_metainfo.http').filter(({ to }) => to === 'tracker0');
  t.is(recorded.length, 6);
  for (const { request: sent, response } of recorded) {
    const requests: string[] = [];
    const sockets = new Set<Socket>();
    const tracker = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined); // the client may be gone already
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString();
        if (!text.includes('\r\n\r\n') || !text.endsWith(sent.body)) return;
        requests.push(text);
        socket.write(`${response.head.replaceAll('\n', '\r\n')}\r\n\r\n${response.body}`);
      });
    }).listen(0, '127.0.0.1');
    await once(tracker, 'listening');
    const tc = client(t, fixedRing(`127.0.0.1:${(tracker.address() as AddressInfo).port}`));
    const path = sent.head.split(' ')[1] ?? '';
    if (sent.body === '') {
      const [, namespace = '', hex = ''] = /^\/namespace\/(.*)\/blobs\/sha256:(.*)\/metainfo$/.exec(path) ?? [];
      const metainfo = await tc.metaInfo(decodeURIComponent(namespace), digestFromHex(hex));
      t.is(metainfo.digest, digestFromHex(hex));
    } else {
      const announced = decodeAnnounceRequest(sent.body);
      t.is(encodeAnnounceRequest(announced), sent.body);
      const answer = await tc.announce({ namespace: 'test/alpine', ...announced });
      t.is(answer.intervalMs, 3000);
      t.is(answer.peers.length, announced.peer.complete ? 0 : 3);
    }
    const [head = '', body = ''] = requests[0]!.split('\r\n\r\n');
    t.is(head.split('\r\n')[0], sent.head.split('\n')[0]);
    t.is(body, sent.body);
    for (const socket of sockets) socket.destroy();
    tracker.close();
  }
});

test('failover: dead host, silent host and 5xx go to the next tracker; only no answer and 502, 503, 504 count as failures', async (t) => {
  const dead = await deadAddress();
  const silent = await scripted(t, () => undefined);
  const broken = await scripted(t, () => ({ status: 500, body: 'oops' }));
  const gateway = await scripted(t, () => ({ status: 504 }));
  const garbage = await scripted(t, () => ({ body: 'hello' }));
  const good = await scripted(t, ({ uri }) => ({ body: uri.startsWith('/announce') ? emptyAnswer : metainfoText }));
  const all = [dead, silent.address, broken.address, gateway.address, garbage.address, good.address];
  const ring = fixedRing(...all);
  const timeouts = { announceMs: 1500, metaInfoMs: 1500 };
  const tc = client(t, ring, { timeouts });
  t.is((await tc.announce(request)).intervalMs, 3000);
  t.deepEqual(ring.failures, [dead, silent.address, gateway.address]);
  t.is((await tc.metaInfo('ns', digest)).length, 236);
  t.is(ring.failures.length, 6);

  const none = client(t, fixedRing(dead, broken.address), { timeouts });
  t.regex(await rejects(t, none.announce(request), 'tracker-unavailable'), /^POST http:\S+ 500: oops$/);
  const only = client(t, fixedRing(dead), { timeouts });
  t.regex(await rejects(t, only.metaInfo('ns', digest), 'tracker-unavailable'), /^network error: GET .*ECONNREFUSED/);
  await rejects(t, client(t, fixedRing()).announce(request), 'tracker-unavailable');
});

test("metainfo: 404 is final, an origin's failure is reported as such and not held against the tracker", async (t) => {
  const unknown = await scripted(t, () => ({ status: 404, body: 'origin: gone' }));
  const next = await scripted(t, () => ({ body: metainfoText }));
  await rejects(t, client(t, fixedRing(unknown.address, next.address)).metaInfo('ns', digest), 'blob-unknown');
  t.is(next.asked.length, 0);

  for (const status of [500, 503]) {
    const storage = await scripted(t, () => ({ status, body: 'origin: fetch blob: bucket is on fire' }));
    const ring = fixedRing(storage.address);
    const says = await rejects(t, client(t, ring).metaInfo('ns', digest), 'storage-unavailable');
    t.is(says, 'fetch blob: bucket is on fire');
    t.deepEqual(ring.failures, []);
  }
});

test('metainfo must name the blob and be of a sensible size', async (t) => {
  const tracker = await scripted(t, () => ({ body: metainfoText }));
  const tc = client(t, fixedRing(tracker.address));
  const other = parseDigest(`sha256:${'00'.repeat(32)}`);
  t.regex(await rejects(t, tc.metaInfo('ns', other), 'metainfo-invalid'), /names sha256:2893/);
  const small = client(t, fixedRing(tracker.address), { maxBodyBytes: { metaInfo: 100, announce: 10 } });
  t.is(
    await rejects(t, small.metaInfo('ns', digest), 'tracker-unavailable'),
    'expected a response of at most 100 bytes',
  );
  await rejects(t, small.announce(request), 'tracker-unavailable');
});

test('a blob that an origin still fetches is polled until it is there, for a limited time, and again at the next tracker', async (t) => {
  const slow = await scripted(t, () =>
    slow.asked.length < 4 ? { status: 202, body: 'origin: ' } : { body: metainfoText },
  );
  t.is((await client(t, fixedRing(slow.address), { pollBackoff: noWait }).metaInfo('ns', digest)).length, 236);
  t.is(slow.asked.length, 4);

  const never = await scripted(t, () => ({ status: 202 }));
  const impatient = client(t, fixedRing(never.address), { pollBackoff: { ...noWait, elapsedMaxMs: 20 } });
  t.regex(await rejects(t, impatient.metaInfo('ns', digest), 'pull-timeout'), /^backoff timed out on 202 responses/);

  const dies = await scripted(t, () => (dies.asked.length < 3 ? { status: 202 } : { status: 500 }));
  const good = await scripted(t, () => ({ body: metainfoText }));
  const tc = client(t, fixedRing(dies.address, good.address), { pollBackoff: noWait });
  t.is((await tc.metaInfo('ns', digest)).length, 236);
  t.is(dies.asked.length, 3);
});

test('the caller can give up: before, during a request, during a pause; no tracker is blamed', async (t) => {
  const during = new AbortController();
  const silent = await scripted(t, () => {
    during.abort();
    return undefined;
  });
  const ring = fixedRing(silent.address);
  await rejects(t, client(t, ring).announce(request, AbortSignal.abort()), 'cancelled');
  t.is(silent.asked.length, 0);
  await rejects(t, client(t, ring).announce(request, during.signal), 'cancelled');
  t.is(silent.asked.length, 1);

  const pause = new AbortController();
  const pending = await scripted(t, () => {
    setTimeout(() => pause.abort(), 50);
    return { status: 202 };
  });
  const hour = { initialMs: 3_600_000, factor: 1, maxMs: 3_600_000, jitter: 0 };
  const polling = client(t, fixedRing(pending.address), { pollBackoff: hour });
  await rejects(t, polling.metaInfo('ns', digest, pause.signal), 'cancelled');
  t.is(pending.asked.length, 1);
  t.deepEqual(ring.failures, []);
});

test('readiness: any tracker of a random shard will do', async (t) => {
  const ready = await scripted(t, () => ({ body: 'OK\n' }));
  const notReady = await scripted(t, () => ({ status: 503, body: 'not ready to serve traffic: x' }));
  await client(t, fixedRing(notReady.address, ready.address)).checkReady();
  const says = await rejects(t, client(t, fixedRing(notReady.address)).checkReady(), 'not-ready');
  t.is(says, `tracker not ready: GET http://${notReady.address}/readiness 503: not ready to serve traffic: x`);
});

test('client and handler together', async (t) => {
  const origins = originDirectory({
    originPeers: () => Promise.resolve([peer(100, { origin: true, complete: true })]),
    metaInfoResponse: (namespace, asked) =>
      Promise.resolve(
        namespace === 'a/b' && asked === digest ? { status: 200, body: metainfoText } : { status: 404, body: '' },
      ),
  });
  const host = await Host.start(createTrackerHandler({ origins }));
  t.teardown(() => host.close());
  for (const announceVersion of [1, 2] as const) {
    const tc = client(t, fixedRing(host.address), { announceVersion });
    const first = peer(10 + announceVersion);
    await tc.announce({ ...request, peer: first });
    const { peers } = await tc.announce({ ...request, peer: peer(50) });
    t.true(peers.some(({ ip }) => ip === first.ip));
    t.true(peers.some(({ origin }) => origin));
    await tc.announce({ ...request, peer: first, event: 'stopped' });
    t.false((await tc.announce({ ...request, peer: peer(50) })).peers.some(({ ip }) => ip === first.ip));
    t.is((await tc.metaInfo('a/b', digest)).length, 236);
    await rejects(t, tc.metaInfo('other', digest), 'blob-unknown');
    await tc.checkReady();
  }
});

test('passive ring: a host that failed three times is left out at once and comes back; membership follows the list', (t) => {
  let now = 0;
  let hosts: readonly string[] = ['a:1', 'b:1', 'c:1', 'd:1', 'e:1'];
  const ring = createPassiveRing({ hosts: () => hosts, maxReplica: 2, fails: 3, failTimeoutMs: 1000, now: () => now });
  const plain = new Ring(hosts, 2).order(digest);
  t.deepEqual(ring.locations(digest), plain.slice(0, 2));
  for (let i = 0; i < 3; i++) ring.failed(plain[0]!);
  t.deepEqual(ring.locations(digest), [plain[1]]);
  for (let i = 0; i < 3; i++) ring.failed(plain[1]!);
  t.deepEqual(ring.locations(digest), [plain[2]]);
  now = 1001;
  t.deepEqual(ring.locations(digest), plain.slice(0, 2));
  hosts = hosts.filter((host) => host !== plain[0]);
  t.deepEqual(ring.locations(digest), plain.slice(1, 3));
  ring.failed('stranger:1');
  hosts = [];
  t.deepEqual(ring.locations(digest), []);
});

test('readiness asks about another shard each time', async (t) => {
  const seen = new Set<string>();
  const ring: HostRing = {
    locations: (one) => {
      seen.add(one);
      return [];
    },
    failed: () => undefined,
  };
  const tc = client(t, ring);
  for (let i = 0; i < 5; i++) await rejects(t, tc.checkReady(), 'not-ready');
  t.is(seen.size, 5);
});
