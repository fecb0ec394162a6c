/** The limiter: rates, the order of payloads, shares of namespaces, and what connections make of it. */
import test from 'ava';
import fc from 'fast-check';
import { Bitfield } from '@kraken/core/content';
import { decodeHandshake, decodeMessage, encodeHandshake } from '@kraken/core/wire';
import { bandwidthLimits, limitBandwidth } from '../dist/host/bandwidth.js';
import type { NamespaceWeight } from '../dist/host/namespace-classes.js';
import type { Flow } from '../dist/host/share-line.js';
import { TokenBucket } from '../dist/host/token-bucket.js';
import { eventually, FakeFile, handshakeOf, ManualClock, MIB, RawPeer, startHost, testBlob } from './host-kit.js';

/** A bucket on a clock of its own, without savings. */
function emptied(rate: number, weights?: NamespaceWeight[]): { clock: ManualClock; bucket: TokenBucket } {
  const clock = new ManualClock();
  const bucket = new TokenBucket(rate, clock, weights);
  bucket.tryTake(bucket.flow(''), rate);
  return { clock, bucket };
}

/** A payload that asks for its next chunk whenever the last was granted. */
class Payload {
  readonly flow: Flow;
  readonly #bucket: TokenBucket;
  readonly #onGrant: (payload: Payload, bytes: number) => void;
  left: number;

  constructor(bucket: TokenBucket, namespace: string, bytes: number, onGrant: (payload: Payload, n: number) => void) {
    this.#bucket = bucket;
    this.flow = bucket.flow(namespace);
    this.left = bytes;
    this.#onGrant = onGrant;
  }

  ask(chunk: number): void {
    const bytes = Math.min(chunk, this.left);
    if (bytes === 0) return;
    const granted = (): void => {
      this.left -= bytes;
      this.#onGrant(this, bytes);
    };
    if (this.#bucket.tryTake(this.flow, bytes)) granted();
    else this.#bucket.wait(this.flow, bytes, granted);
  }
}

test('a bucket starts full, then grants at its rate, to payloads in the order in which they joined', (t) => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(1000, clock);
  const [a, b, c] = [bucket.flow(''), bucket.flow(''), bucket.flow('')] as const;
  t.true(bucket.tryTake(bucket.flow(''), 1000));
  t.false(bucket.tryTake(a, 1));
  const granted: string[] = [];
  bucket.wait(c, 250, () => granted.push('c'));
  bucket.wait(a, 500, () => granted.push('a'));
  bucket.wait(b, 250, () => granted.push('b'));
  t.false(bucket.tryTake(a, 1), 'nobody overtakes the line');
  clock.advance(499);
  t.deepEqual(granted, []);
  clock.advance(2);
  t.deepEqual(granted, ['a']);
  clock.advance(250);
  t.deepEqual(granted, ['a', 'b']);
  clock.advance(250);
  t.deepEqual(granted, ['a', 'b', 'c']);
  t.is(bucket.waiting, 0);
  clock.advance(10_000);
  t.true(bucket.tryTake(a, 1000), 'no more than a burst is saved up');
  t.false(bucket.tryTake(a, 1));
});

test('more than a burst passes as debt; what is given back or left can be taken by others', (t) => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(100, clock);
  const flow = bucket.flow('');
  t.true(bucket.tryTake(flow, 350), 'a full bucket grants any size');
  const granted: string[] = [];
  const first = bucket.wait(bucket.flow(''), 50, () => granted.push('first'));
  bucket.wait(bucket.flow(''), 10, () => granted.push('second'));
  clock.advance(2000);
  t.deepEqual(granted, []);
  first.cancel();
  first.cancel();
  clock.advance(620);
  t.deepEqual(granted, ['second']);
  bucket.giveBack(flow, 60);
  t.true(bucket.tryTake(flow, 60));
});

test('a rate can be changed while somebody waits, also to none and back', (t) => {
  const { clock, bucket } = emptied(10);
  const flow = bucket.flow('');
  const granted: string[] = [];
  bucket.wait(flow, 10, () => granted.push('a'));
  bucket.setRate(1000);
  clock.advance(11);
  t.deepEqual(granted, ['a']);
  bucket.wait(flow, 1000, () => granted.push('b'));
  bucket.setRate(undefined);
  clock.advance(0);
  t.deepEqual(granted, ['a', 'b']);
  t.true(bucket.tryTake(flow, 1e12));
  clock.advance(5000);
  bucket.setRate(100);
  t.false(bucket.tryTake(flow, 1), 'a first limit counts at once, without a burst');
  clock.advance(1000);
  t.true(bucket.tryTake(flow, 100));
  t.throws(() => bucket.setRate(0), { instanceOf: RangeError });
  t.throws(() => new TokenBucket(-1), { instanceOf: RangeError });
  t.throws(() => bucket.setWeights([{ namespace: '', weight: 0 }]), { instanceOf: RangeError });
  t.throws(() => bucket.setWeights([{ namespace: '(', weight: 1 }]), { instanceOf: SyntaxError });
});

test('what is asked for at a time follows the rate', (t) => {
  const bucket = new TokenBucket(undefined, new ManualClock());
  t.is(bucket.grainBytes, Infinity);
  bucket.setRate(50e6);
  t.is(bucket.grainBytes, 2.5e6);
  bucket.setRate(1000);
  t.is(bucket.grainBytes, 16 * 1024);
});

test('a started payload is finished before the next one starts, and one that pauses blocks nobody', (t) => {
  const { clock, bucket } = emptied(1000);
  const log: number[] = [];
  let paused = 0;
  const payloads = [300, 300, 300].map((bytes) => {
    const payload: Payload = new Payload(bucket, '', bytes, (self) => {
      log.push(self.flow.number - first);
      // The first one cannot use bandwidth for a while after its first chunk.
      if (self === payloads[0] && paused++ === 0) clock.after(250, () => self.ask(100));
      else self.ask(100);
    });
    return payload;
  });
  const first = payloads[0]?.flow.number ?? 0;
  for (const payload of payloads.toReversed()) payload.ask(100);
  clock.advance(900);
  // While the oldest pauses the second one starts; once it is back it goes first; the third waits for both.
  t.deepEqual(log, [0, 1, 1, 0, 0, 1, 2, 2, 2]);
});

test('property: order inside a class, never more than the rate, nothing lost', (t) => {
  const payload = fc.record({
    bytes: fc.integer({ min: 1, max: 5000 }),
    joinsAt: fc.nat(3000),
    cancelled: fc.boolean(),
  });
  t.notThrows(() =>
    fc.assert(
      fc.property(
        fc.array(payload, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 50, max: 3000 }),
        (drawn, rate) => {
          const { clock, bucket } = emptied(rate);
          const waiting = new Set<Payload>();
          let granted = 0;
          let startsSeen = 0;
          const onGrant = (self: Payload, bytes: number): void => {
            granted += bytes;
            waiting.delete(self);
            const own = self.flow.started;
            const fresh = own > startsSeen;
            startsSeen = Math.max(startsSeen, own);
            for (const { flow } of waiting) {
              // Those in line are started later or, if both have just started, joined later.
              const before = fresh ? flow.started < Infinity || flow.number < self.flow.number : flow.started < own;
              if (before) throw new Error(`payload ${self.flow.number} overtook payload ${flow.number}`);
            }
            if (granted > rate + (rate * clock.now()) / 1000 + 1e-6) throw new Error('more than the rate');
            ask(self);
          };
          const ask = (self: Payload): void => {
            if (self.left === 0) return;
            waiting.add(self);
            self.ask(Math.ceil(rate / 10));
          };
          for (const { bytes, joinsAt } of drawn) {
            clock.after(joinsAt, () => ask(new Payload(bucket, '', bytes, onGrant)));
          }
          // Others come and go without taking anything, or give everything back.
          for (const { joinsAt, bytes, cancelled } of drawn) {
            clock.after(joinsAt + 1, () => {
              const flow = bucket.flow('');
              const wait = bucket.wait(flow, Math.min(bytes, rate), () => bucket.giveBack(flow, Math.min(bytes, rate)));
              if (cancelled) clock.after(10, () => wait.cancel());
            });
          }
          const total = drawn.reduce((sum, { bytes }) => sum + bytes, 0);
          clock.advance(3000 + (total / rate) * 1000 + 200 * drawn.length + 2000);
          if (granted !== total) throw new Error(`${granted} of ${total} bytes were granted`);
        },
      ),
      { numRuns: 200, includeErrorInReport: true },
    ),
  );
});

test('property: namespaces share by weight while the bucket is short, whatever their payloads look like', (t) => {
  const kind = fc.record({
    weight: fc.integer({ min: 1, max: 8 }),
    connections: fc.integer({ min: 1, max: 4 }),
    piece: fc.integer({ min: 5, max: 200 }),
    chunk: fc.integer({ min: 5, max: 50 }),
  });
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.array(kind, { minLength: 2, maxLength: 4 }), (kinds) => {
        const rate = 10_000;
        const weights = kinds.slice(1).map(({ weight }, n) => ({ namespace: `^ns${n + 1}/`, weight }));
        const { clock, bucket } = emptied(rate, weights);
        const got = kinds.map(() => 0);
        for (const [n, { connections, piece, chunk }] of kinds.entries()) {
          const connection = (): void => {
            const payload: Payload = new Payload(bucket, `ns${n}/x`, piece, (self, bytes) => {
              got[n] = (got[n] ?? 0) + bytes;
              if (self.left > 0) self.ask(chunk);
              else connection();
            });
            payload.ask(chunk);
          };
          for (let c = 0; c < connections; c++) connection();
        }
        clock.advance(5000);
        const weightOf = (n: number): number => (n === 0 ? 1 : (kinds[n]?.weight ?? 0));
        const all = kinds.reduce((sum, _, n) => sum + weightOf(n), 0);
        for (const [n, bytes] of got.entries()) {
          const share = (50_000 * weightOf(n)) / all;
          if (Math.abs(bytes - share) > 200) throw new Error(`class ${n}: ${bytes} bytes, its share is ${share}`);
        }
      }),
      { numRuns: 50, includeErrorInReport: true },
    ),
  );
});

test('weights can be changed while payloads wait; idle time earns nothing', (t) => {
  const { clock, bucket } = emptied(1000, [{ namespace: '^a', weight: 3 }]);
  const got = { a: 0, b: 0 };
  const busy = { a: true, b: false };
  const run = (name: 'a' | 'b'): void => {
    new Payload(bucket, name, 10, (_, bytes) => {
      got[name] += bytes;
      if (busy[name]) run(name);
    }).ask(10);
  };
  const spent = (ms: number): [number, number] => {
    [got.a, got.b] = [0, 0];
    clock.advance(ms);
    return [got.a, got.b];
  };
  run('a');
  t.deepEqual(spent(1000), [1000, 0], 'a lone class has everything');
  busy.b = true;
  run('b');
  const [a, b] = spent(2000);
  t.true(Math.abs(a - 1500) <= 20 && Math.abs(b - 500) <= 20, `${a} and ${b}`);
  bucket.setWeights([{ namespace: 'b', weight: 4 }]);
  const [a2, b2] = spent(2000);
  t.true(Math.abs(a2 - 400) <= 20 && Math.abs(b2 - 1600) <= 20, `${a2} and ${b2}`);
});

test('a node uses 99 % of its limits', (t) => {
  const clock = new ManualClock();
  const limits = bandwidthLimits({ egressBytesPerSec: 100e6 }, clock);
  t.is(limits.egress.bytesPerSec, 99e6);
  t.is(limits.ingress.bytesPerSec, Infinity);
  limitBandwidth(limits, { ingressBytesPerSec: 1000, namespaceWeights: [{ namespace: 'x', weight: 2 }] });
  t.is(limits.ingress.bytesPerSec, 990);
  t.is(limits.egress.bytesPerSec, Infinity);
});

test('pieces of many connections leave one after the other, and a peer that does not read holds up nobody', async (t) => {
  const blob = testBlob(8 * MIB, 4 * MIB);
  const clock = new ManualClock();
  const under = await startHost({ egress: 32 * MIB, bandwidthClock: clock });
  t.teardown(() => under.close());
  const file = new FakeFile(blob.metainfo, blob.data);
  under.host.torrents.add(blob.digest, file, 'ns');
  under.machine.answer = (event) =>
    event.type === 'handshake-received'
      ? [{ type: 'accept', conn: event.conn, handshake: handshakeOf(blob, 1, file.have) }]
      : [];
  t.true(under.shared.egress.tryTake(under.shared.egress.flow(''), 32 * MIB));
  const peers: RawPeer[] = [];
  for (let n = 0; n < 3; n++) {
    const peer = await RawPeer.dial(under.port);
    t.teardown(() => void peer.socket.destroy());
    peer.write(encodeHandshake(handshakeOf(blob, 2 + n, new Bitfield(2), 'ns')));
    decodeHandshake(await peer.frame());
    peers.push(peer);
  }
  const conns = under.machine.all('handshake-received').map(({ conn }) => conn);
  for (const conn of conns) {
    under.host.perform({ type: 'send-piece', conn, digest: blob.digest, piece: 0, length: 4 * MIB });
  }
  const pieceBytes = 4 * MIB;
  const enough = async (): Promise<void> => {
    // Until everybody who can use bandwidth stands in line.
    t.true(await eventually(() => under.shared.egress.waiting === 3));
  };
  await enough();
  for (let chunk = 1; chunk <= 4; chunk++) {
    clock.advance(32);
    const expected = chunk * MIB;
    t.true(await eventually(() => (peers[0]?.buffered ?? 0) >= expected), `chunk ${chunk}`);
    t.is(peers[1]?.buffered, 0);
    if (chunk < 4) await enough();
  }
  t.is(decodeMessage((await peers[0]?.frame()) ?? new Uint8Array()).type, 'piece-payload');
  t.is((await peers[0]?.read(pieceBytes))?.length, pieceBytes);
  t.is(under.machine.all('piece-sent').length, 1);
  // The second stops reading: the third gets what it does not use.
  peers[1]?.socket.pause();
  for (let n = 0; n < 40 && (peers[2]?.buffered ?? 0) < pieceBytes; n++) {
    clock.advance(200);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.true((peers[2]?.buffered ?? 0) >= pieceBytes);
  peers[1]?.socket.resume();
  t.true(await eventually(() => (peers[1]?.buffered ?? 0) >= pieceBytes || (clock.advance(100), false)));
});
