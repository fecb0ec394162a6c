/** Fakes for tests of the swarm host: a scripted machine, files in memory, a peer made of raw bytes. */
import { createHash, randomBytes } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { Bitfield, createMetaInfo, parseDigest, parsePeerId, type Digest, type MetaInfo } from '@kraken/core/content';
import type { KrakenError } from '@kraken/core/errors';
import type { Machine } from '@kraken/core/machine';
import { silentLogger, silentMetrics, type TrackerClient } from '@kraken/core/ports';
import type { SwarmEffect, SwarmEvent } from '@kraken/core/swarm';
import type { Handshake } from '@kraken/core/wire';
import { BufferPool } from '../dist/host/buffer-pool.js';
import { systemClock, type Clock } from '../dist/host/clock.js';
import { HostCounters } from '../dist/host/counters.js';
import { PeerListener } from '../dist/host/listener.js';
import { Lingering } from '../dist/host/lingering.js';
import type { PeerSocketShared } from '../dist/host/peer-socket.js';
import { SwarmHost } from '../dist/host/swarm-host.js';
import { SwarmStats } from '../dist/host/swarm-stats.js';
import { TokenBucket } from '../dist/host/token-bucket.js';
import type { PieceStore, TorrentFile } from '../dist/store/piece-store.js';

export const MIB = 1024 * 1024;

/** Content of a blob with its metainfo. */
export interface TestBlob {
  readonly data: Buffer;
  readonly digest: Digest;
  readonly metainfo: MetaInfo;
}

export function testBlob(length: number, pieceLength: number, data: Buffer = randomBytes(length)): TestBlob {
  const digest = parseDigest(`sha256:${createHash('sha256').update(data).digest('hex')}`);
  const pieceSums: number[] = [];
  for (let at = 0; at < length; at += pieceLength) pieceSums.push(crc32(data.subarray(at, at + pieceLength)));
  return { data, digest, metainfo: createMetaInfo({ digest, length, pieceLength, pieceSums }) };
}

export function testPeerId(n: number): ReturnType<typeof parsePeerId> {
  return parsePeerId(n.toString(16).padStart(40, '0'));
}

export function handshakeOf(blob: TestBlob, peer: number, have: Bitfield, namespace = ''): Handshake {
  return {
    peerId: testPeerId(peer),
    digest: blob.digest,
    infoHash: blob.metainfo.infoHash,
    namespace,
    bitfield: have,
    neighbours: [],
    version: '',
  };
}

/** A torrent file in memory whose disk can be made slow or broken. */
export class FakeFile implements TorrentFile {
  readonly metainfo: MetaInfo;
  readonly have: Bitfield;
  data: Buffer;
  committed: boolean;
  writesInFlight = 0;
  writesInFlightMax = 0;
  holds = 1;
  /** Set: writes end with this. */
  writeError: KrakenError | undefined;
  /** True: writes wait for `resumeWrites`. */
  #stalled: (() => void)[] | undefined;

  constructor(metainfo: MetaInfo, content?: Buffer) {
    this.metainfo = metainfo;
    this.data = content === undefined ? Buffer.alloc(metainfo.length) : Buffer.from(content);
    this.committed = content !== undefined;
    this.have =
      content === undefined ? new Bitfield(metainfo.pieceSums.length) : Bitfield.full(metainfo.pieceSums.length);
  }

  stallWrites(): void {
    this.#stalled ??= [];
  }

  resumeWrites(): void {
    const stalled = this.#stalled ?? [];
    this.#stalled = undefined;
    for (const write of stalled) write();
  }

  write(buffer: Uint8Array, length: number, position: number, done: (error?: Error) => void): void {
    this.writesInFlight++;
    this.writesInFlightMax = Math.max(this.writesInFlightMax, this.writesInFlight);
    const finish = (): void => {
      setImmediate(() => {
        this.writesInFlight--;
        if (this.writeError === undefined) this.data.set(buffer.subarray(0, length), position);
        // The buffer is ours until now: whoever recycles it early spoils the data.
        done(this.writeError);
      });
    };
    if (this.#stalled === undefined) finish();
    else this.#stalled.push(finish);
  }

  markVerified(piece: number, done: (error?: Error) => void): void {
    setImmediate(() => {
      this.have.set(piece);
      done();
    });
  }

  read(
    buffer: Uint8Array,
    length: number,
    position: number,
    done: (error: Error | null, bytesRead: number) => void,
  ): void {
    setImmediate(() => {
      const end = Math.min(this.data.length, position + length);
      const bytes = Math.max(0, end - position);
      if (bytes > 0) buffer.set(this.data.subarray(position, end), 0);
      done(null, bytes);
    });
  }

  commit(): Promise<void> {
    this.committed = true;
    return Promise.resolve();
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the interface is asynchronous
  async *stream(): AsyncIterable<Uint8Array> {
    yield this.data;
  }

  failReaders(): void {
    // No waiting readers here.
  }

  release(): void {
    this.holds--;
  }
}

export class FakeStore implements PieceStore {
  readonly files = new Map<Digest, FakeFile>();

  lookup(digest: Digest): Promise<TorrentFile | undefined> {
    return Promise.resolve(this.files.get(digest));
  }

  create(metainfo: MetaInfo): Promise<TorrentFile> {
    const file = this.files.get(metainfo.digest) ?? new FakeFile(metainfo);
    this.files.set(metainfo.digest, file);
    return Promise.resolve(file);
  }

  remove(digest: Digest): Promise<boolean> {
    return Promise.resolve(this.files.delete(digest));
  }
}

/** Time that stands still until it is moved. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ at: number; run: () => void }>();

  now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Move on by `ms`, firing what falls due in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
    this.#now = end;
  }
}

/** A machine that records what it sees and answers as the test says. */
export class ScriptMachine implements Machine<SwarmEvent, SwarmEffect> {
  readonly seen: SwarmEvent[] = [];
  answer: (event: SwarmEvent) => SwarmEffect[] = () => [];
  readonly #waiting = new Set<() => void>();

  step(_now: number, event: SwarmEvent): SwarmEffect[] {
    this.seen.push(event);
    for (const check of this.#waiting) check();
    return this.answer(event);
  }

  nextWakeup(): undefined {
    return undefined;
  }

  all<T extends SwarmEvent['type']>(type: T): Extract<SwarmEvent, { type: T }>[] {
    return this.seen.filter((event) => event.type === type) as Extract<SwarmEvent, { type: T }>[];
  }

  /** Resolves when `count` events of `type` have been seen, with the last of them. */
  until<T extends SwarmEvent['type']>(type: T, count = 1): Promise<Extract<SwarmEvent, { type: T }>> {
    return new Promise((resolve) => {
      const check = (): void => {
        const event = this.all(type)[count - 1];
        if (event === undefined) return;
        this.#waiting.delete(check);
        // After the step, so that its effects have been performed.
        setImmediate(() => resolve(event));
      };
      this.#waiting.add(check);
      check();
    });
  }
}

/** A host on a scripted machine, listening on a free port. */
export interface HostUnderTest {
  readonly host: SwarmHost;
  readonly machine: ScriptMachine;
  readonly store: FakeStore;
  readonly shared: PeerSocketShared;
  readonly port: number;
  close(): Promise<void>;
}

export async function startHost(
  options: {
    peer?: number;
    tracker?: TrackerClient;
    egress?: number;
    ingress?: number;
    /** Time of the two limits; default: the real one. */
    bandwidthClock?: Clock;
    direct?: boolean;
    turnBudgetBytes?: number;
    handshakesMax?: number;
    handshakeTimeoutMs?: number;
    receiveBuffers?: number;
  } = {},
): Promise<HostUnderTest> {
  const machine = new ScriptMachine();
  const store = new FakeStore();
  const shared: PeerSocketShared = {
    pools: {
      receive: new BufferPool(512 * 1024, (options.receiveBuffers ?? 16) * 512 * 1024),
      send: new BufferPool(MIB, 8 * MIB),
    },
    ingress: new TokenBucket(options.ingress, options.bandwidthClock),
    egress: new TokenBucket(options.egress, options.bandwidthClock),
    counters: new HostCounters(),
    lingering: new Lingering(systemClock),
    clock: systemClock,
    turnBudgetBytes: options.turnBudgetBytes ?? 512 * 1024,
  };
  const listener = new PeerListener({
    host: '127.0.0.1',
    port: 0,
    limits: { handshakesMax: options.handshakesMax ?? 64, socketsMax: 128 },
    shared,
    direct: options.direct ?? true,
    handshakeTimeoutMs: () => options.handshakeTimeoutMs ?? 5000,
    failed: (error) => {
      throw error;
    },
  });
  const port = await listener.listen();
  const host = new SwarmHost({
    machine,
    store,
    tracker: options.tracker,
    context: { ip: '127.0.0.1', port, peerId: testPeerId(options.peer ?? 1), zone: '', cluster: '', origin: false },
    shared,
    stats: new SwarmStats(silentLogger, silentMetrics),
    logger: silentLogger,
  });
  listener.serve((peer) => host.accepted(peer));
  return {
    host,
    machine,
    store,
    shared,
    port,
    close: async () => {
      listener.close();
      await host.stop();
    },
  };
}

/** The other end of a connection, as bytes. */
export class RawPeer {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#wake();
    });
    const ended = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('end', ended);
    socket.on('close', ended);
    socket.on('error', ended);
  }

  static async dial(port: number): Promise<RawPeer> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const peer = new RawPeer(socket);
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return peer;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get buffered(): number {
    return this.#bytes;
  }

  write(...parts: Uint8Array[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts));
  }

  /** Exactly `length` bytes. Rejects when the stream ends before. */
  async read(length: number): Promise<Buffer> {
    while (this.#bytes < length) {
      if (this.#ended) throw new Error(`the stream ended after ${this.#bytes} of ${length} bytes`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(length)];
    this.#bytes = all.length - length;
    return all.subarray(0, length);
  }

  /** The body of the next frame. */
  async frame(): Promise<Buffer> {
    const header = await this.read(4);
    return this.read(header.readUInt32BE(0));
  }

  /** Resolves when the other side has closed; with what came before. */
  async end(): Promise<Buffer> {
    while (!this.#ended) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    return Buffer.concat(this.#chunks);
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

/** A server of raw peers. */
export async function rawServer(
  onPeer: (peer: RawPeer) => void,
): Promise<{ port: number; server: Server; close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    onPeer(new RawPeer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    server,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** `true` once `condition` holds; gives up after 10 s. */
export async function eventually(condition: () => boolean): Promise<boolean> {
  for (const until = performance.now() + 10_000; performance.now() < until;) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return condition();
}
