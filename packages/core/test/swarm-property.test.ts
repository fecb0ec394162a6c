/** Any order of events is survived, and the invariants hold after each. */
import test from 'ava';
import fc from 'fast-check';
import { Bitfield, pieceCount, pieceLengthAt } from '@kraken/core/content';
import { Random } from '@kraken/core/random';
import {
  DEFAULT_SWARM_CONFIG,
  SwarmMachine,
  type SwarmConfig,
  type SwarmEffect,
  type SwarmEvent,
} from '@kraken/core/swarm';
import { SwarmInvariants } from './support/swarm-invariants.js';
import { metainfoOf, peerInfo, peerOf, SELF } from './support/swarm-scenario.js';

const BLOBS = [metainfoOf(1, 5), metainfoOf(2, 70), metainfoOf(3, 0)];
const blob = fc.constantFrom(...BLOBS);
const conn = fc.integer({ min: 1, max: 24 });
const peer = fc.integer({ min: 0x7c, max: 0x84 }).map(peerOf);
const pieceIndex = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 72 }));
const failure = fc
  .constantFrom('io-error', 'blob-unknown', 'peer-unreachable', 'digest-mismatch', 'too-many-connections')
  .map((code) => ({ code: code as 'io-error', says: 'drawn' }));
const bitsOf = (length: number): fc.Arbitrary<Bitfield> =>
  fc.oneof(
    fc.constant(Bitfield.full(length)),
    fc
      .uniqueArray(fc.nat(Math.max(0, length - 1)), { maxLength: length })
      .map((set) => Bitfield.of(length, length === 0 ? [] : set)),
  );
const handshake = blob.chain((metainfo) =>
  fc.record({
    peerId: peer,
    digest: fc.constant(metainfo.digest),
    infoHash: fc.oneof(
      { weight: 9, arbitrary: fc.constant(metainfo.infoHash) },
      { weight: 1, arbitrary: fc.constant(BLOBS[0]!.infoHash) },
    ),
    namespace: fc.constant('ns'),
    bitfield: fc.oneof({ weight: 9, arbitrary: bitsOf(pieceCount(metainfo)) }, { weight: 1, arbitrary: bitsOf(7) }),
    neighbours: fc.array(peer, { maxLength: 4 }),
    version: fc.constantFrom('', 'kraken-ts/1'),
  }),
);
const message = fc.oneof(
  fc.record({ type: fc.constant('announce-piece' as const), piece: pieceIndex }),
  fc.record({
    type: fc.constant('piece-request' as const),
    piece: pieceIndex,
    offset: fc.constantFrom(0, 0, 0, 5),
    length: fc.constantFrom(1000, 1000, 500, 0, 7),
  }),
  fc.record({
    type: fc.constant('error' as const),
    piece: pieceIndex,
    code: fc.constantFrom(0, 0, 1),
    text: fc.constant('no'),
  }),
  fc.constantFrom(
    { type: 'complete' as const },
    { type: 'cancel-piece' as const, piece: 1 },
    { type: 'ignored' as const, says: 'x' },
  ),
);
const reason = fc.constantFrom('remote-closed', 'remote-reset', 'protocol-error', 'io-error', 'idle');
const verdict = fc.constantFrom('ok', 'ok', 'ok', 'ok', 'bad-sum', 'aborted', 'io-error', 'disk-full');
const digest = blob.map((metainfo) => metainfo.digest);
const namespace = fc.constant('ns');

/** A wish, a completion that nobody may be waiting for, or a message: anything a host could post. */
const wild = fc.oneof(
  fc.record({
    type: fc.constant('pull-requested' as const),
    pull: fc.nat(40),
    namespace,
    digest,
    streaming: fc.boolean(),
    range: fc.option(fc.record({ start: fc.nat(6000), end: fc.nat(6000) }), { nil: undefined }),
    deadlineAt: fc.option(fc.nat(600_000), { nil: undefined }),
  }),
  fc.record({ type: fc.constant('pull-cancelled' as const), pull: fc.nat(40) }),
  fc.record({ type: fc.constant('reader-moved' as const), pull: fc.nat(40), piece: pieceIndex }),
  fc.record({ type: fc.constant('seed-requested' as const), namespace, digest }),
  fc.record({ type: fc.constant('remove-requested' as const), request: fc.nat(9), digest }),
  fc.record({ type: fc.constant('blob-evicted' as const), digest }),
  fc.record({ type: fc.constant('metainfo-fetch-failed' as const), digest, failure }),
  fc.record({ type: fc.constant('blob-open-failed' as const), digest, failure }),
  fc.record({ type: fc.constant('announce-failed' as const), digest, failure }),
  fc.record({ type: fc.constant('dial-failed' as const), conn, failure }),
  fc.record({ type: fc.constant('dial-succeeded' as const), conn, handshake }),
  fc.record({ type: fc.constant('piece-stored' as const), conn, digest, piece: pieceIndex, verdict }),
  fc.record({ type: fc.constant('piece-sent' as const), conn, digest, piece: pieceIndex }),
  fc.record({ type: fc.constant('piece-send-failed' as const), conn, digest, piece: pieceIndex, failure }),
  fc.record({ type: fc.constant('blob-commit-failed' as const), digest, failure }),
  fc.record({ type: fc.constant('blob-committed' as const), digest }),
  fc.record({ type: fc.constant('blob-deleted' as const), digest }),
  fc.record({ type: fc.constant('blob-delete-failed' as const), digest, failure }),
  fc.record({
    type: fc.constant('handshake-received' as const),
    conn: conn.map((n) => 2 * n + 1),
    handshake,
    ip: fc.constant('10.0.0.9'),
  }),
  fc.record({ type: fc.constant('message-received' as const), conn, message }),
  fc.record({
    type: fc.constant('payload-started' as const),
    conn,
    piece: pieceIndex,
    offset: fc.constantFrom(0, 0, 0, 3),
    length: fc.constantFrom(1000, 1000, 500, 0),
  }),
  fc.record({ type: fc.constant('connection-closed' as const), conn, reason }),
  fc.constant({ type: 'woke' as const }),
) as fc.Arbitrary<SwarmEvent>;

/** Mostly the host finishes what the machine asked for; sometimes something else happens. */
const move = fc.oneof(
  { weight: 5, arbitrary: fc.record({ finish: fc.nat(1000), well: fc.nat(9), draw: fc.nat(1000) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      passMs: fc.oneof(
        fc.constantFrom(0.1, 1, 33.3, 100, 999.7, 3000, 40_000, 400_000),
        fc.constant('to-wakeup' as const),
      ),
    }),
  },
  { weight: 4, arbitrary: fc.record({ event: wild }) },
  { weight: 2, arbitrary: fc.record({ talk: message, at: fc.nat(100) }) },
);

const setting = fc.record({
  connectionsPerTorrentMax: fc.constantFrom(2, 4, 10),
  dialsPerTorrentMax: fc.constantFrom(1, 3, 5),
  connectionsMax: fc.constantFrom(3, 2000),
  torrentsMax: fc.constantFrom(1, 2, 100),
  pullsMax: fc.constantFrom(2, 100),
  mutualConnectionsMax: fc.constantFrom(1, 10),
  pieceChoice: fc.constantFrom('default', 'rarest_first'),
  role: fc.constantFrom('agent', 'agent', 'agent', 'origin'),
  originSparing: fc.boolean(),
  blacklistDisabled: fc.boolean(),
  preemptionDisabled: fc.constantFrom(false, false, true),
}) as fc.Arbitrary<Partial<SwarmConfig>>;

/** A host that keeps what it was asked for until a move finishes it. */
class DrawnHost {
  readonly machine: SwarmMachine;
  readonly invariants: SwarmInvariants;
  readonly #tasks: SwarmEffect[] = [];
  #now = 0;

  constructor(config: Partial<SwarmConfig>, seed: number) {
    const whole: SwarmConfig = { ...DEFAULT_SWARM_CONFIG, peerId: SELF, ...config };
    this.machine = new SwarmMachine(whole, new Random(seed));
    this.invariants = new SwarmInvariants(whole);
  }

  post(event: SwarmEvent): void {
    const effects = this.machine.step(this.#now, event);
    this.invariants.check(this.machine, event, effects);
    this.#tasks.push(...effects.filter((effect) => TASKS.has(effect.type)));
  }

  untilWakeup(): number {
    return Math.max(0, (this.machine.nextWakeup() ?? this.#now) - this.#now);
  }

  pass(ms: number): void {
    this.#now += ms;
    // A wish for now that a wake-up does not settle would keep a real host spinning.
    let wakes = 0;
    do this.post({ type: 'woke' });
    while ((this.machine.nextWakeup() ?? Infinity) <= this.#now && ++wakes < WAKES_MAX);
    if (wakes === WAKES_MAX) throw new Error(`${wakes} wake-ups at ${this.#now} change nothing`);
  }

  /** A message on some live connection, or its payload. */
  talk(what: Extract<SwarmEvent, { type: 'message-received' }>['message'], at: number): void {
    const live = this.machine
      .inspect()
      .torrents.flatMap((torrent) => torrent.connections.filter((c) => c.phase === 'active'));
    const connection = live[at % Math.max(1, live.length)];
    if (connection !== undefined) this.post({ type: 'message-received', conn: connection.conn, message: what });
  }

  finish(at: number, well: boolean, draw: number): void {
    const [task] = this.#tasks.splice(at % Math.max(1, this.#tasks.length), 1);
    const event = task === undefined ? undefined : completion(task, well, draw);
    if (event !== undefined) this.post(event);
  }
}

const WAKES_MAX = 20;
const TASKS = new Set([
  'fetch-metainfo',
  'open-blob',
  'announce',
  'dial',
  'receive-piece',
  'send-piece',
  'commit-blob',
  'delete-blob',
  'close',
  'send',
]);
const FAILED = { code: 'io-error' as const, says: 'drawn' };

function completion(task: SwarmEffect, well: boolean, draw: number): SwarmEvent | undefined {
  const metainfo = BLOBS.find((candidate) => 'digest' in task && candidate.digest === task.digest) ?? BLOBS[0]!;
  const count = pieceCount(metainfo);
  const { digest } = metainfo;
  switch (task.type) {
    case 'fetch-metainfo':
      return well
        ? { type: 'metainfo-fetched', digest, metainfo }
        : { type: 'metainfo-fetch-failed', digest, failure: FAILED };
    case 'open-blob':
      if (!well) return { type: 'blob-open-failed', digest, failure: FAILED };
      return {
        type: 'blob-opened',
        digest,
        metainfo,
        have: Bitfield.of(
          count,
          [...Array(count).keys()].filter((i) => ((draw >> (i % 7)) & 1) === 1),
        ),
        committed: draw % 5 === 0,
      };
    case 'announce':
      if (!well) return { type: 'announce-failed', digest, failure: FAILED };
      return {
        type: 'announce-answered',
        digest,
        intervalMs: (draw * 1000) % 70_000,
        peers: [0, 1, 2, 3].map((i) => peerInfo(0x7c + ((draw + i) % 9), { origin: (draw + i) % 3 === 0 })),
      };
    case 'dial':
      if (!well) return { type: 'dial-failed', conn: task.conn, failure: FAILED };
      return {
        type: 'dial-succeeded',
        conn: task.conn,
        handshake: {
          ...task.handshake,
          peerId: task.peer,
          bitfield:
            draw % 2 === 0
              ? Bitfield.full(task.handshake.bitfield.length)
              : Bitfield.of(
                  task.handshake.bitfield.length,
                  task.handshake.bitfield.length > 0 ? [draw % task.handshake.bitfield.length] : [],
                ),
        },
      };
    case 'send':
      if (task.message.type !== 'piece-request') return undefined;
      if (!well)
        return {
          type: 'message-received',
          conn: task.conn,
          message: { type: 'error', piece: task.message.piece, code: 0, text: 'no' },
        };
      return {
        type: 'payload-started',
        conn: task.conn,
        piece: task.message.piece,
        offset: 0,
        length: task.message.length,
      };
    case 'receive-piece':
      return {
        type: 'piece-stored',
        conn: task.conn,
        digest,
        piece: task.piece,
        verdict: well ? 'ok' : draw % 2 === 0 ? 'bad-sum' : 'aborted',
      };
    case 'send-piece':
      return { type: 'piece-sent', conn: task.conn, digest, piece: task.piece };
    case 'commit-blob':
      return well
        ? { type: 'blob-committed', digest }
        : { type: 'blob-commit-failed', digest, failure: { code: 'digest-mismatch', says: 'drawn' } };
    case 'delete-blob':
      return { type: 'blob-deleted', digest };
    case 'close':
      return { type: 'connection-closed', conn: task.conn, reason: task.reason };
    default:
      return undefined;
  }
}

test('any order of events is survived and the invariants hold', (t) => {
  let steps = 0;
  fc.assert(
    fc.property(
      setting,
      fc.nat(),
      fc.array(move, { minLength: 20, maxLength: 120 }),
      fc.boolean(),
      (config, seed, moves, endsWell) => {
        const host = new DrawnHost(config, seed);
        host.post({
          type: 'pull-requested',
          pull: 1000,
          namespace: 'ns',
          digest: BLOBS[seed % 2]!.digest,
          streaming: seed % 3 === 0,
        });
        for (const drawn of moves) {
          steps++;
          if ('finish' in drawn) host.finish(drawn.finish, drawn.well > 0, drawn.draw);
          else if ('passMs' in drawn) host.pass(drawn.passMs === 'to-wakeup' ? host.untilWakeup() : drawn.passMs);
          else if ('talk' in drawn) host.talk(drawn.talk, drawn.at);
          else host.post(drawn.event);
        }
        if (endsWell) return;
        host.post({ type: 'shutdown-requested' });
        for (const drawn of moves.slice(0, 10)) if ('event' in drawn) host.post(drawn.event);
      },
    ),
    { numRuns: 400, includeErrorInReport: true },
  );
  t.true(steps > 5000);
});

test('the same seed and events give the same effects', (t) => {
  const record = (): string => {
    const host = new SwarmMachine({ ...DEFAULT_SWARM_CONFIG, peerId: SELF }, new Random(5));
    const metainfo = BLOBS[1]!;
    const { digest } = metainfo;
    const lines: SwarmEffect[][] = [
      host.step(0, { type: 'pull-requested', pull: 1, namespace: 'ns', digest, streaming: true }),
      host.step(1, { type: 'metainfo-fetched', digest, metainfo }),
      host.step(2, { type: 'blob-opened', digest, metainfo, have: new Bitfield(70), committed: false }),
      host.step(3, { type: 'announce-answered', digest, peers: [peerInfo(1), peerInfo(2)], intervalMs: 3000 }),
    ];
    for (const id of [2, 4]) {
      lines.push(
        host.step(5, {
          type: 'dial-succeeded',
          conn: id,
          handshake: {
            peerId: peerOf(id / 2),
            digest,
            infoHash: metainfo.infoHash,
            namespace: '',
            bitfield: Bitfield.full(70),
            neighbours: [],
            version: '',
          },
        }),
      );
    }
    return JSON.stringify(lines);
  };
  t.is(record(), record());
  t.true(record().includes('piece-request'));
  t.is(pieceLengthAt(BLOBS[1]!, 69), 500);
});
