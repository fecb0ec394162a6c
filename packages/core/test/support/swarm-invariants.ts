/** What must hold for a swarm machine between any two steps, and along its effects. */
import type { Bitfield } from '@kraken/core/content';
import {
  PIPELINE_MAX,
  type SwarmConfig,
  type SwarmEffect,
  type SwarmEvent,
  type SwarmMachine,
  type TorrentView,
} from '@kraken/core/swarm';

/** Follows one machine; throws an Error that names what broke. */
export class SwarmInvariants {
  readonly #config: SwarmConfig;
  readonly #answered = new Set<number>();
  readonly #asked = new Set<number>();
  readonly #live = new Set<number>();
  readonly #dialling = new Set<number>();
  readonly #busy = new Map<string, number>();
  #down = false;

  constructor(config: SwarmConfig) {
    this.#config = config;
  }

  check(machine: SwarmMachine, event: SwarmEvent, effects: readonly SwarmEffect[]): void {
    this.#before(event);
    for (const effect of effects) this.#effect(machine, event, effect);
    if (event.type === 'payload-started') {
      const answers = effects.filter(
        (effect) =>
          ['receive-piece', 'discard-payload', 'close'].includes(effect.type) &&
          'conn' in effect &&
          effect.conn === event.conn,
      );
      if (answers.length !== 1) throw new Error(`payload-started was answered ${answers.length} times`);
    }
    if (event.type === 'shutdown-requested') this.#down = true;
    const view = machine.inspect();
    if (view.pulls.length > this.#config.pullsMax) throw new Error('too many pulls');
    if (view.torrents.length > this.#config.torrentsMax + REMOVALS) throw new Error('too many torrents');
    if (view.connections > this.#config.connectionsMax) throw new Error('too many connections');
    for (const torrent of view.torrents) this.#torrent(torrent);
  }

  #before(event: SwarmEvent): void {
    const done = COMPLETES[event.type];
    if (event.type === 'pull-requested') {
      this.#asked.add(event.pull);
      // A number that was answered may be used again.
      this.#answered.delete(event.pull);
    }
    if (done !== undefined) this.#busy.delete(`${done} ${'digest' in event ? event.digest : ''}`);
    if (event.type === 'connection-closed') this.#live.delete(event.conn);
    // A dial that succeeded cannot fail any more; the machine ignores such a completion.
    if (event.type === 'dial-failed' && this.#dialling.delete(event.conn)) this.#live.delete(event.conn);
    if (event.type === 'dial-succeeded') this.#dialling.delete(event.conn);
    if (event.type === 'handshake-received') this.#live.add(event.conn);
  }

  #effect(machine: SwarmMachine, event: SwarmEvent, effect: SwarmEffect): void {
    if (this.#down && !['pull-finished', 'removal-finished', 'close', 'discard-payload'].includes(effect.type)) {
      throw new Error(`${effect.type} after shutdown`);
    }
    switch (effect.type) {
      case 'pull-finished':
        if (!this.#asked.has(effect.pull)) throw new Error(`pull ${effect.pull} was never requested`);
        if (this.#answered.has(effect.pull)) throw new Error(`pull ${effect.pull} was answered twice`);
        this.#answered.add(effect.pull);
        return;
      case 'pull-opened':
        if (this.#answered.has(effect.pull)) throw new Error(`pull ${effect.pull} was opened after its answer`);
        return;
      case 'fetch-metainfo':
      case 'open-blob':
      case 'announce':
      case 'commit-blob':
      case 'delete-blob': {
        const key = `${effect.type} ${effect.digest}`;
        if (this.#busy.has(key)) throw new Error(`${effect.type} while the last one is under way`);
        this.#busy.set(key, 1);
        return;
      }
      case 'dial':
        this.#live.add(effect.conn);
        this.#dialling.add(effect.conn);
        return;
      case 'send':
        if (!this.#live.has(effect.conn)) throw new Error(`send on connection ${effect.conn}, which is not live`);
        if (effect.message.type === 'piece-request') this.#request(machine, effect.conn, effect.message.piece);
        return;
      case 'accept':
      case 'send-piece':
      case 'receive-piece':
        if (!this.#live.has(effect.conn))
          throw new Error(`${effect.type} on connection ${effect.conn}, which is not live`);
        return;
      case 'close':
        if (!this.#live.has(effect.conn))
          throw new Error(`${effect.type} on connection ${effect.conn} after ${event.type}`);
        return;
      default:
        return;
    }
  }

  #request(machine: SwarmMachine, conn: number, piece: number): void {
    for (const torrent of machine.inspect().torrents) {
      const connection = torrent.connections.find((c) => c.conn === conn);
      if (connection === undefined) continue;
      if (connection.bits?.has(piece) !== true) throw new Error(`piece ${piece} asked of a peer that lacks it`);
    }
  }

  #torrent(torrent: TorrentView): void {
    const { connections, pieces, rarity, haveBits } = torrent;
    if (connections.length > this.#config.connectionsPerTorrentMax)
      throw new Error('too many connections of a torrent');
    if (
      connections.filter((c) => !c.inbound).length >
      Math.max(this.#config.dialsPerTorrentMax, this.#config.lonelyDialsMax)
    )
      throw new Error('too many dials');
    const counts = new Array<number>(pieces).fill(0);
    const partial = new Array<number>(pieces).fill(0);
    for (const { bits } of connections) {
      if (bits === undefined) continue;
      for (const piece of bits) {
        counts[piece] = (counts[piece] ?? 0) + 1;
        if (!bits.isComplete) partial[piece] = (partial[piece] ?? 0) + 1;
      }
    }
    if (counts.join() !== rarity.join()) throw new Error(`rarity ${rarity.join()}, bitfields say ${counts.join()}`);
    if (haveBits === undefined) return;
    this.#groups(torrent, partial, haveBits);
    const asked = new Set(connections.flatMap((c) => c.asked));
    const writing = new Set(torrent.writers.map(([piece]) => piece));
    for (const { conn, asked: pieces, origin } of connections) {
      const limit = (origin ? this.#config.originPipelineLimit : this.#config.pipelineLimit) || PIPELINE_MAX;
      const late = torrent.writers.filter(([, writer]) => writer === conn).length;
      if (pieces.length > limit + late) throw new Error(`${pieces.length} requests at connection ${conn}`);
      if (new Set(pieces).size !== pieces.length) throw new Error(`a piece is asked twice of connection ${conn}`);
    }
    for (const piece of asked) {
      if (haveBits.has(piece)) throw new Error(`piece ${piece} is in flight and there`);
      const copies = connections.filter((c) => c.asked.includes(piece)).length;
      if (copies > this.#config.endgameCopiesMax + 1) throw new Error(`${copies} copies of piece ${piece}`);
    }
    if (torrent.inFlight !== asked.size) throw new Error(`${torrent.inFlight} pieces in flight, asked ${asked.size}`);
    for (const piece of torrent.open) {
      if (haveBits.has(piece) || asked.has(piece) || writing.has(piece)) throw new Error(`piece ${piece} is not open`);
    }
    if (torrent.state === 'leeching' && torrent.wantedMissing === pieces - torrent.have) {
      const free = pieces - torrent.have - new Set([...asked, ...writing]).size;
      if (torrent.open.length !== free) throw new Error(`${torrent.open.length} open pieces, expected ${free}`);
    }
  }

  #groups({ groups }: TorrentView, partial: readonly number[], have: Bitfield): void {
    const expected = new Map<number, number>();
    partial.forEach((count, piece) => {
      if (!have.has(piece)) expected.set(piece, count);
    });
    groups.forEach((group, g) => {
      for (const piece of group) {
        if (expected.get(piece) !== g)
          throw new Error(`piece ${piece} in rarity group ${g}, expected ${expected.get(piece)}`);
        expected.delete(piece);
      }
    });
    if (expected.size > 0) throw new Error(`pieces ${[...expected.keys()].join()} in no rarity group`);
  }
}

/** A removal takes a torrent in above the limit, until its files are gone. */
const REMOVALS = 3;

const COMPLETES: Partial<Record<SwarmEvent['type'], SwarmEffect['type']>> = {
  'metainfo-fetched': 'fetch-metainfo',
  'metainfo-fetch-failed': 'fetch-metainfo',
  'blob-opened': 'open-blob',
  'blob-open-failed': 'open-blob',
  'announce-answered': 'announce',
  'announce-failed': 'announce',
  'blob-committed': 'commit-blob',
  'blob-commit-failed': 'commit-blob',
  'blob-deleted': 'delete-blob',
  'blob-delete-failed': 'delete-blob',
};
