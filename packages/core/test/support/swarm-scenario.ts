/**
 * A driver for one swarm machine in tests: steps it, keeps the effects of the last step, plays the host on demand. Time
 * is a number that the test moves. Not a simulator: nothing happens unless the test says so.
 */
import {
  Bitfield,
  createMetaInfo,
  digestFromHex,
  parsePeerId,
  pieceCount,
  pieceLengthAt,
  type Digest,
  type MetaInfo,
  type PeerId,
  type PeerInfo,
} from '@kraken/core/content';
import type { PieceChoices } from '@kraken/core/policy';
import { Random } from '@kraken/core/random';
import {
  DEFAULT_SWARM_CONFIG,
  SwarmMachine,
  type SwarmConfig,
  type SwarmEffect,
  type SwarmEvent,
  type SwarmObservation,
} from '@kraken/core/swarm';
import type { Handshake, PeerMessage } from '@kraken/core/wire';

type EffectOf<Type extends SwarmEffect['type']> = Extract<SwarmEffect, { type: Type }>;

export const PIECE = 1000;

/** Digest number `n`. */
export const digestOf = (n: number): Digest => digestFromHex(n.toString(16).padStart(64, '0'));
/** Peer id number `n`; ids order like their numbers. */
export const peerOf = (n: number): PeerId => parsePeerId(n.toString(16).padStart(40, '0'));
/** Us in every scenario: in the middle, so that there are lower and higher ids. */
export const SELF = peerOf(0x80);

export function metainfoOf(n: number, pieces: number, pieceLength = PIECE): MetaInfo {
  const length = pieces === 0 ? 0 : pieceLength * (pieces - 1) + Math.ceil(pieceLength / 2);
  return createMetaInfo({
    digest: digestOf(n),
    length,
    pieceLength,
    pieceSums: Array.from({ length: pieces }, (_, i) => i),
  });
}

export function peerInfo(n: number, more: Partial<PeerInfo> = {}): PeerInfo {
  return { peerId: peerOf(n), ip: '10.0.0.1', port: 1000 + n, origin: false, complete: false, ...more };
}

export class Scenario {
  readonly machine: SwarmMachine;
  readonly config: SwarmConfig;
  readonly metainfo: MetaInfo;
  readonly digest: Digest;
  now = 1000;
  /** Effects of the last step, without observations. */
  effects: SwarmEffect[] = [];
  /** Observations of the last step. */
  observations: SwarmObservation[] = [];
  #nextInbound = 1;

  constructor(config: Partial<SwarmConfig> = {}, pieces = 4, seed = 1, pieceChoices?: PieceChoices) {
    this.config = { ...DEFAULT_SWARM_CONFIG, peerId: SELF, ...config };
    this.machine = new SwarmMachine(this.config, new Random(seed), pieceChoices);
    this.metainfo = metainfoOf(1, pieces);
    this.digest = this.metainfo.digest;
  }

  step(event: SwarmEvent): this {
    const all = this.machine.step(this.now, event);
    this.effects = all.filter((effect) => effect.type !== 'observe');
    this.observations = all.flatMap((effect) => (effect.type === 'observe' ? [effect.observation] : []));
    return this;
  }

  /** Effects of one kind from the last step. */
  of<Type extends SwarmEffect['type']>(type: Type): EffectOf<Type>[] {
    return this.effects.filter((effect): effect is EffectOf<Type> => effect.type === type);
  }

  /** The only effect of this kind in the last step. */
  one<Type extends SwarmEffect['type']>(type: Type): EffectOf<Type> {
    const found = this.of(type);
    if (found.length !== 1)
      throw new Error(`expected one ${type}, got ${JSON.stringify(this.effects.map((e) => e.type))}`);
    return found[0]!;
  }

  get types(): string[] {
    return this.effects.map((effect) => effect.type);
  }

  /** Names of the observations of the last step. */
  get seen(): string[] {
    return this.observations.map((observation) => observation.kind);
  }

  /** Move to the next wish for a wake-up, at most to `limit`, and wake. */
  wake(limit = Infinity): this {
    const at = this.machine.nextWakeup();
    if (at === undefined || at > limit) throw new Error(`no wake-up by ${limit}: ${at}`);
    this.now = Math.max(this.now, at);
    return this.step({ type: 'woke' });
  }

  /** Move the clock by `ms` through all wake-ups on the way; effects are those of all wake-ups. */
  pass(ms: number): this {
    const until = this.now + ms;
    const effects: SwarmEffect[] = [];
    const observations: SwarmObservation[] = [];
    for (let at = this.machine.nextWakeup(); at !== undefined && at <= until; at = this.machine.nextWakeup()) {
      this.wake();
      effects.push(...this.effects);
      observations.push(...this.observations);
    }
    this.now = until;
    this.effects = effects;
    this.observations = observations;
    return this;
  }

  // Shorthands for events of the main torrent.

  pull(pull: number, more: Partial<Extract<SwarmEvent, { type: 'pull-requested' }>> = {}): this {
    return this.step({ type: 'pull-requested', pull, namespace: 'ns', digest: this.digest, streaming: false, ...more });
  }

  fetched(metainfo = this.metainfo): this {
    return this.step({ type: 'metainfo-fetched', digest: this.digest, metainfo });
  }

  opened(have: readonly number[] = [], committed = false): this {
    const count = pieceCount(this.metainfo);
    const bits = committed ? Bitfield.full(count) : Bitfield.of(count, have);
    return this.step({ type: 'blob-opened', digest: this.digest, metainfo: this.metainfo, have: bits, committed });
  }

  /** Pull 1 up to leeching; the announce is in the effects. */
  leech(have: readonly number[] = [], more: Partial<Extract<SwarmEvent, { type: 'pull-requested' }>> = {}): this {
    return this.pull(1, more).fetched().opened(have);
  }

  /** A committed blob that is seeded. */
  seed(): this {
    return this.step({ type: 'seed-requested', namespace: 'ns', digest: this.digest }).opened([], true);
  }

  answered(peers: readonly PeerInfo[], intervalMs = 3000): this {
    return this.step({ type: 'announce-answered', digest: this.digest, peers, intervalMs });
  }

  handshake(n: number, have: readonly number[] | 'all', more: Partial<Handshake> = {}): Handshake {
    const count = pieceCount(this.metainfo);
    return {
      peerId: peerOf(n),
      digest: this.digest,
      infoHash: this.metainfo.infoHash,
      namespace: 'ns',
      bitfield: have === 'all' ? Bitfield.full(count) : Bitfield.of(count, have),
      neighbours: [],
      version: 'kraken-ts/1',
      ...more,
    };
  }

  /** Peer `n` dials us. @returns its connection number */
  incoming(n: number, have: readonly number[] | 'all', more: Partial<Handshake> = {}): number {
    const conn = this.#nextInbound;
    this.#nextInbound += 2;
    this.step({ type: 'handshake-received', conn, handshake: this.handshake(n, have, more), ip: '10.0.0.2' });
    return conn;
  }

  /** The connection of peer `n`, pending or active. */
  connOf(n: number): number {
    const found = this.machine
      .inspect()
      .torrents.flatMap((torrent) => torrent.connections)
      .find((c) => c.peer === peerOf(n));
    if (found === undefined) throw new Error(`no connection to peer ${n}`);
    return found.conn;
  }

  /** Our dial to peer `n` succeeds. @returns the connection number */
  dialled(n: number, have: readonly number[] | 'all', more: Partial<Handshake> = {}): number {
    const conn = this.connOf(n);
    this.step({ type: 'dial-succeeded', conn, handshake: this.handshake(n, have, { namespace: '', ...more }) });
    return conn;
  }

  dialFailed(n: number, code: 'peer-unreachable' | 'too-many-connections' = 'peer-unreachable'): this {
    return this.step({ type: 'dial-failed', conn: this.connOf(n), failure: { code, says: 'no' } });
  }

  message(conn: number, message: PeerMessage): this {
    return this.step({ type: 'message-received', conn, message });
  }

  announces(conn: number, piece: number): this {
    return this.message(conn, { type: 'announce-piece', piece });
  }

  /** The header of `piece` arrives with the right length. */
  payload(conn: number, piece: number, more: { offset?: number; length?: number } = {}): this {
    const length = pieceLengthAt(this.metainfo, piece);
    return this.step({ type: 'payload-started', conn, piece, offset: 0, length, ...more });
  }

  stored(conn: number, piece: number, verdict: Extract<SwarmEvent, { type: 'piece-stored' }>['verdict'] = 'ok'): this {
    return this.step({ type: 'piece-stored', conn, digest: this.digest, piece, verdict });
  }

  /** Header and verdict of a piece. */
  delivers(conn: number, piece: number): this {
    return this.payload(conn, piece).stored(conn, piece);
  }

  closed(conn: number, reason: Extract<SwarmEvent, { type: 'connection-closed' }>['reason'] = 'remote-closed'): this {
    return this.step({ type: 'connection-closed', conn, reason });
  }

  /** Pieces asked for in the last step, as `conn:piece`. */
  get requests(): string[] {
    return this.of('send').flatMap(({ conn, message }) =>
      message.type === 'piece-request' ? [`${conn}:${message.piece}`] : [],
    );
  }

  /** Pieces in flight at a connection. */
  asked(conn: number): readonly number[] {
    return this.torrent().connections.find((c) => c.conn === conn)?.asked ?? [];
  }

  torrent(digest = this.digest): ReturnType<SwarmMachine['inspect']>['torrents'][number] {
    const found = this.machine.inspect().torrents.find((torrent) => torrent.digest === digest);
    if (found === undefined) throw new Error('the torrent is not in memory');
    return found;
  }

  get isForgotten(): boolean {
    return this.machine.status(this.digest) === undefined;
  }
}
