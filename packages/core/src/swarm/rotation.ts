/**
 * Keeps the graph of a large swarm random, and slots moving, for peers that arrive late (spec p2p.md §10.9): now and then one
 * random connection that we dialled is swapped for a random other peer. It is asked for nothing more, and closed when
 * nothing is on its way in either direction: swapping must not waste payload. Go peers are never swapped away: each close
 * puts us on their blacklist. A torrent that nobody dials dials more itself instead.
 */
import type { Connection } from './connection.js';
import type { SwarmContext } from './context.js';
import type { Torrent } from './torrent.js';

/** A connection that does not come to rest within so many intervals stays. Guess. */
const PATIENCE = 5;

export class Rotation {
  readonly #context: SwarmContext;
  readonly #torrent: Torrent;
  #retiring: Connection | undefined;
  #retiringSince = 0;

  constructor(context: SwarmContext, torrent: Torrent) {
    this.#context = context;
    this.#torrent = torrent;
  }

  /** An interval has passed. */
  turn(): void {
    const { config, connections, now, random } = this.#context;
    if (this.#retiring?.phase === 'active') {
      if (now - this.#retiringSince < PATIENCE * (config.rotationIntervalMs ?? 0)) return;
      // It stays, and is of use for an interval at least before it may be chosen again.
      this.#retiring.retiring = false;
      this.#torrent.dispatcher?.fill(this.#retiring);
      this.#retiring = undefined;
      return;
    }
    this.#retiring = undefined;
    const torrent = this.#torrent;
    if (connections.mayDial(torrent) || connections.mayDialLonely(torrent)) return this.#dialFresh();
    if (this.#fresh() === undefined) return;
    const swappable = [...torrent.connections.values()].filter((connection) => this.#isSwappable(connection));
    const old = swappable[random.below(Math.max(1, swappable.length))];
    if (old === undefined) return;
    old.retiring = true;
    this.#retiring = old;
    this.#retiringSince = now;
    this.transferEnded(old);
  }

  /** Something that was on its way over the connection has arrived, or left. */
  transferEnded(connection: Connection): void {
    if (!connection.retiring || connection.phase !== 'active' || connection.sending > 0) return;
    if (this.#torrent.dispatcher === undefined || connection.asked.length > 0 || connection.writing > 0) return;
    const { connections } = this.#context;
    this.#retiring = undefined;
    connections.close(connection, 'rotated');
    if (connections.mayDial(this.#torrent)) this.#dialFresh();
  }

  #dialFresh(): void {
    const fresh = this.#fresh();
    if (fresh !== undefined) this.#context.connections.dial(this.#torrent, fresh);
  }

  #fresh(): ReturnType<Torrent['candidates']['any']> {
    const { config, connections, random, now } = this.#context;
    const { digest, candidates } = this.#torrent;
    return candidates.any(
      random,
      (peer) =>
        peer !== config.peerId &&
        !this.#torrent.connections.has(peer) &&
        !connections.blacklist.blocks(digest, peer, now),
    );
  }

  /** Ours to close, and not younger than an interval. */
  #isSwappable(connection: Connection): boolean {
    const { config, now } = this.#context;
    if (connection.inbound || connection.phase !== 'active' || !connection.ours) return false;
    return now - connection.activeAt >= (config.rotationIntervalMs ?? 0);
  }
}
