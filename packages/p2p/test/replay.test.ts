/**
 * Sessions recorded between Go nodes, played against a node of ours in each of the two roles: the player sends what one
 * Go side sent, frame by frame, and answers requests; ours must send the bytes that the protocol fixes. The order of
 * our requests is our own choice. Payload bytes were not recorded, so the content is made up and the sums fit it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { crc32 } from 'node:zlib';
import type { Bitfield } from '@kraken/core/content';
import { createMetaInfo, pieceLengthAt, type MetaInfo } from '@kraken/core/content';
import { Random } from '@kraken/core/random';
import {
  decodeHandshake,
  decodeMessage,
  encodeHandshake,
  encodeMessage,
  encodePayloadHeader,
  type Handshake,
  type PeerMessage,
} from '@kraken/core/wire';
import { createPeerNode, type PeerNode, type PeerNodeOptions } from '@kraken/p2p';
import { MemoryTracker } from './client-kit.js';
import { FakeFile, FakeStore, MIB, RawPeer, rawServer } from './host-kit.js';

const CAPTURES = new URL('../test/fixtures/captures/', import.meta.url);

/** One frame of a recording: as sent, with its 4 length bytes, without payload. */
interface Frame {
  readonly opener: boolean;
  readonly bytes: Buffer;
  /** Absent for a frame that was cut off, and for the handshake. */
  readonly message?: ReturnType<typeof decodeMessage>;
}

interface Session {
  readonly name: string;
  readonly opener: Handshake;
  readonly acceptor: Handshake;
  readonly acceptorIsOrigin: boolean;
  readonly frames: readonly Frame[];
}

function loadSession(name: string): Session {
  const [head] = readFileSync(new URL(`${name}.txt`, CAPTURES), 'utf8').split('\n');
  const handshakes: Handshake[] = [];
  const frames: Frame[] = [];
  for (const line of readFileSync(new URL(`${name}.hex`, CAPTURES), 'utf8').split('\n')) {
    if (line === '') continue;
    const opener = line.startsWith('>');
    const all = Buffer.from((line.slice(2).split('+')[0] as string).trim(), 'hex');
    const length = all.readUInt32BE(0);
    const bytes = all.subarray(0, 4 + length);
    if (bytes.length < 4 + length) frames.push({ opener, bytes });
    else if (handshakes.length < 2) {
      handshakes.push(decodeHandshake(bytes.subarray(4)));
      frames.push({ opener, bytes });
    } else frames.push({ opener, bytes, message: decodeMessage(bytes.subarray(4)) });
  }
  const [opener, acceptor] = handshakes as [Handshake, Handshake];
  return { name, opener, acceptor, acceptorIsOrigin: (head as string).includes('originpeer'), frames };
}

const NAMES = readdirSync(CAPTURES)
  .filter((file) => /^p2p-.*\.hex$/.test(file) && !file.includes('.raw.'))
  .map((file) => file.replace(/\.hex$/, ''))
  .sort();
const SESSIONS = NAMES.map(loadSession);

/** Content and metainfo that fit the lengths of a session and carry its recorded names. */
function contentOf(session: Session): { data: Buffer; metainfo: MetaInfo } {
  const pieces = session.acceptor.bitfield.length;
  const lengths = new Map<number, number>();
  for (const other of SESSIONS) {
    if (other.acceptor.infoHash !== session.acceptor.infoHash) continue;
    for (const { message } of other.frames) {
      if (message?.type === 'piece-request') lengths.set(message.piece, message.length);
    }
  }
  const pieceLength = Math.max(...lengths.values());
  const length = pieceLength * (pieces - 1) + (lengths.get(pieces - 1) ?? pieceLength);
  const random = new Random(1);
  const data =
    length === 10
      ? Buffer.from('0123456789')
      : Buffer.from(Uint32Array.from({ length: length / 4 }, () => random.uint32()).buffer);
  const pieceSums = Array.from({ length: pieces }, (_, n) =>
    crc32(data.subarray(n * pieceLength, (n + 1) * pieceLength)),
  );
  const made = createMetaInfo({ digest: session.acceptor.digest, length, pieceLength, pieceSums });
  return { data, metainfo: { ...made, infoHash: session.acceptor.infoHash } };
}

const cache = new Map<string, ReturnType<typeof contentOf>>();
function cachedContent(session: Session): ReturnType<typeof contentOf> {
  const key = session.acceptor.infoHash;
  const content = cache.get(key) ?? contentOf(session);
  cache.set(key, content);
  return content;
}

/** A file that has `pieces` of `content`. */
function fileWith(content: { data: Buffer; metainfo: MetaInfo }, pieces: Bitfield): FakeFile {
  const { data, metainfo } = content;
  if (pieces.isComplete) return new FakeFile(metainfo, data);
  const file = new FakeFile(metainfo);
  for (const piece of pieces) {
    const start = piece * metainfo.pieceLength;
    file.data.set(data.subarray(start, start + pieceLengthAt(metainfo, piece)), start);
    file.have.set(piece);
  }
  return file;
}

async function startNode(
  t: ExecutionContext,
  options: { me: Handshake; file: FakeFile; origin: boolean; tracker?: MemoryTracker },
): Promise<PeerNode> {
  const store = new FakeStore();
  store.files.set(options.me.digest, options.file);
  const rest: Partial<PeerNodeOptions> = options.tracker === undefined ? {} : { tracker: options.tracker };
  const node = await createPeerNode({
    store,
    peer: { ip: '127.0.0.1', peerId: options.me.peerId, origin: options.origin },
    listen: { host: '127.0.0.1', port: 0 },
    swarm: { protocolVersion: '' },
    seed: 3,
    ...rest,
  });
  t.teardown(() => node.close());
  return node;
}

/** One side of a recorded session. */
class Player {
  /** Our node's messages, by kind, for the assertions. */
  readonly got: PeerMessage['type'][] = [];
  readonly payloads = new Set<number>();
  requestsAnswered = 0;
  /** Pieces that the node said it has. */
  readonly #nodeHas: Bitfield;
  readonly #frames: readonly Frame[];

  constructor(
    readonly t: ExecutionContext,
    readonly raw: RawPeer,
    readonly content: { data: Buffer; metainfo: MetaInfo },
    frames: readonly Frame[],
    nodeHas: Bitfield,
  ) {
    this.#frames = frames;
    this.#nodeHas = nodeHas.clone();
  }

  /** Play to the end of the recording, with every request answered; then hang up. */
  async play(): Promise<void> {
    const reading = this.#read();
    // Looked at in the end; a stream that breaks before is told by `play`.
    reading.catch(() => undefined);
    const asked: number[] = [];
    const answered = (): Promise<void> =>
      this.#until(() => asked.every((piece) => this.payloads.has(piece)), `payloads of ${asked.join()}`);
    for (const { bytes, message } of this.#frames) {
      if (message?.type === 'piece-payload') continue;
      if (message?.type === 'piece-request') {
        await this.#until(() => this.#nodeHas.has(message.piece), `piece ${message.piece} is announced`);
        asked.push(message.piece);
      }
      // Whoever is complete has got what it asked for.
      if (message?.type === 'complete') await answered();
      this.raw.write(bytes);
    }
    await answered();
    await this.done();
    this.raw.socket.end();
    await reading;
  }

  /** What must have happened before the player hangs up. */
  done: () => Promise<unknown> = () => Promise.resolve();

  async #until(condition: () => boolean, what: string): Promise<void> {
    while (!condition()) {
      if (this.raw.ended) throw new Error(`the node hung up before ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #read(): Promise<void> {
    const { t, raw, content } = this;
    for (;;) {
      let body: Buffer;
      try {
        body = await raw.frame();
      } catch {
        return; // The node hung up; whether it might, `play` says.
      }
      const message = decodeMessage(body);
      const { metainfo, data } = content;
      const sent = Buffer.concat([lengthOf(body), body]);
      if (message.type === 'piece-payload') {
        const start = message.piece * metainfo.pieceLength;
        const length = pieceLengthAt(metainfo, message.piece);
        t.true(sent.equals(recordedOr('piece-payload', metainfo, message.piece)), `payload header ${message.piece}`);
        t.is(message.length, length);
        t.true((await raw.read(length)).equals(data.subarray(start, start + length)), `payload ${message.piece}`);
        this.payloads.add(message.piece);
        continue;
      }
      if (message.type === 'layer-request' || message.type === 'layer-hashes') {
        throw new Error('a Go peer was sent a message that it does not know');
      }
      this.got.push(message.type);
      switch (message.type) {
        case 'piece-request': {
          const length = pieceLengthAt(metainfo, message.piece);
          t.true(sent.equals(recordedOr('piece-request', metainfo, message.piece)), `request ${message.piece}`);
          const start = message.piece * metainfo.pieceLength;
          this.requestsAnswered++;
          raw.write(encodePayloadHeader({ piece: message.piece, length }), data.subarray(start, start + length));
          break;
        }
        case 'announce-piece':
          t.true(sent.equals(encodeMessage(message)));
          this.#nodeHas.set(message.piece);
          break;
        case 'complete':
          t.is(sent.toString('hex'), '000000021006');
          for (let piece = 0; piece < this.#nodeHas.length; piece++) this.#nodeHas.set(piece);
          break;
        default:
          t.fail(`unexpected ${JSON.stringify(message)}`);
      }
    }
  }
}

function lengthOf(body: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(body.length);
  return header;
}

/** The frame for a piece as Go sent it, in whichever session of the blob; else as the vectors have it. */
function recordedOr(type: 'piece-request' | 'piece-payload', metainfo: MetaInfo, piece: number): Uint8Array {
  for (const session of SESSIONS) {
    if (session.acceptor.infoHash !== metainfo.infoHash) continue;
    const frame = session.frames.find(({ message }) => message?.type === type && message.piece === piece);
    if (frame !== undefined) return frame.bytes;
  }
  const length = pieceLengthAt(metainfo, piece);
  return type === 'piece-request'
    ? encodeMessage({ type, piece, offset: 0, length })
    : encodePayloadHeader({ piece, length });
}

/** Our handshake against the recorded one: the same bytes but for the neighbours, which are those of the moment. */
function sameHandshake(t: ExecutionContext, ours: Buffer, recorded: Handshake, raw: Buffer): void {
  const decoded = decodeHandshake(ours);
  const sent = Buffer.concat([lengthOf(ours), ours]);
  t.true(sent.equals(encodeHandshake({ ...recorded, neighbours: decoded.neighbours })));
  if (recorded.neighbours.length === 0 && decoded.neighbours.length === 0) t.true(sent.equals(raw), 'byte for byte');
}

test('all recorded sessions are here', (t) => {
  t.is(SESSIONS.length, 13);
  t.is(SESSIONS.filter(({ acceptorIsOrigin }) => acceptorIsOrigin).length, 10);
  t.is(new Set(SESSIONS.map(({ acceptor }) => acceptor.infoHash)).size, 3);
});

for (const session of SESSIONS) {
  const { opener, acceptor, frames, acceptorIsOrigin } = session;

  test.serial(`our acceptor completes ${session.name}`, async (t) => {
    const content = cachedContent(session);
    const tracker = new MemoryTracker();
    tracker.metainfos.set(acceptor.digest, content.metainfo);
    const file = fileWith(content, acceptor.bitfield);
    const node = await startNode(t, {
      me: acceptor,
      file,
      origin: acceptorIsOrigin,
      ...(acceptorIsOrigin ? {} : { tracker }),
    });
    const raw = await RawPeer.dial(node.port);
    t.teardown(() => void raw.socket.destroy());
    const [first, second, ...rest] = frames as [Frame, Frame, ...Frame[]];
    raw.write(first.bytes);
    const reply = await raw.frame();
    sameHandshake(t, reply, acceptor, second.bytes);
    t.is(decodeHandshake(reply).namespace, '');

    const player = new Player(
      t,
      raw,
      content,
      rest.filter((frame) => frame.opener),
      acceptor.bitfield,
    );
    if (!acceptorIsOrigin) {
      // What the recorded acceptor got from elsewhere comes from elsewhere here too.
      await helper(t, tracker, content, acceptor);
      const download = node.download(acceptor.digest, { namespace: opener.namespace });
      player.done = () => download;
    }
    await player.play();
    const asked = rest.filter(({ opener: own, message }) => own && message?.type === 'piece-request').length;
    t.is(player.payloads.size, asked);
    t.true(file.have.isComplete);
    node.probe();
  });

  test.serial(`our opener completes ${session.name}`, async (t) => {
    const content = cachedContent(session);
    const tracker = new MemoryTracker();
    tracker.metainfos.set(opener.digest, content.metainfo);
    const file = fileWith(content, opener.bitfield);
    const node = await startNode(t, { me: opener, file, origin: false, tracker });
    const [first, second, ...rest] = frames as [Frame, Frame, ...Frame[]];
    let played: ((result: Promise<Player>) => void) | undefined;
    const playing = new Promise<Player>((resolve) => (played = resolve));
    const server = await rawServer((raw) => {
      const run = async (): Promise<Player> => {
        sameHandshake(t, await raw.frame(), opener, first.bytes);
        raw.write(second.bytes);
        const player = new Player(
          t,
          raw,
          content,
          rest.filter((frame) => !frame.opener),
          opener.bitfield,
        );
        player.done = () => download;
        if (!acceptorIsOrigin) await helper(t, tracker, content, opener);
        await player.play();
        return player;
      };
      played?.(run());
    });
    t.teardown(() => server.close());
    const player = { peerId: acceptor.peerId, ip: '127.0.0.1', port: server.port };
    tracker.add(opener.digest, { ...player, origin: acceptorIsOrigin, complete: acceptorIsOrigin });
    const download = node.download(opener.digest, { namespace: opener.namespace });
    await download;
    const ended = await playing;
    t.true(ended.requestsAnswered > 0);
    if (acceptorIsOrigin) t.is(ended.requestsAnswered, content.metainfo.pieceSums.length - opener.bitfield.count);
    t.true(file.have.isComplete);
    t.true(file.data.equals(content.data));
  });
}

/** An origin with everything, for pieces that the two sides of a session do not have. */
async function helper(
  t: ExecutionContext,
  tracker: MemoryTracker,
  content: { data: Buffer; metainfo: MetaInfo },
  like: Handshake,
): Promise<void> {
  const me: Handshake = { ...like, peerId: 'f0'.repeat(20) as Handshake['peerId'] };
  const node = await startNode(t, { me, file: new FakeFile(content.metainfo, content.data), origin: true });
  const { peerId, ip, port } = node.context;
  tracker.add(like.digest, { peerId, ip, port, origin: true, complete: true });
}

for (const name of ['p2p-10byte-s0', 'p2p-10byte-s1']) {
  test.serial(`the byte streams of ${name}: what Go sent goes in, what Go answered comes out`, async (t) => {
    const session = SESSIONS.find((one) => one.name === name) as Session;
    const stream = (side: string): Buffer =>
      Buffer.from(readFileSync(new URL(`${name}-${side}.raw.hex`, CAPTURES), 'utf8').trim(), 'hex');
    const content = cachedContent(session);
    const node = await startNode(t, {
      me: session.acceptor,
      file: new FakeFile(content.metainfo, content.data),
      origin: true,
    });
    const raw = await RawPeer.dial(node.port);
    raw.write(stream('opener'));
    const answer = stream('acceptor');
    t.true((await raw.read(answer.length)).equals(answer));
    raw.socket.end();
    t.is((await raw.end()).length, 0);
    t.true(content.data.length < MIB);
  });
}
