/**
 * Gets the piece layer of a torrent whose metainfo has a root: from the tracker first, then from attached peers that hand
 * layers out, one after the other, then all over again with longer pauses. Owns what is under way and the pause.
 *
 * A torrent with a root asks for no piece before the layer is here: an unproved piece would be served on. A peer whose
 * layer does not fit the root is banned.
 */
import type { PeerId } from '../content/index.js';
import type { Connection } from './connection.js';
import type { SwarmContext } from './context.js';
import type { Due } from './due.js';
import type { Failure } from './events.js';
import type { Timer } from './timers.js';
import type { Torrent } from './torrent.js';

/** Pause after everybody was asked in vain; doubles up to the longest. Guess. */
const PAUSE_MS = 1000;
const PAUSE_MAX_MS = 30_000;

export class LayerFetch {
  /** The layer is not here. */
  isMissing = false;
  readonly #context: SwarmContext;
  readonly #torrent: Torrent;
  readonly #timer: Timer<Due>;
  /** Who is being asked: a connection, or the tracker. */
  #asked: number | 'tracker' | undefined;
  readonly #tried = new Set<PeerId>();
  #rounds = 0;

  constructor(context: SwarmContext, torrent: Torrent) {
    this.#context = context;
    this.#torrent = torrent;
    this.#timer = context.timers.create({ kind: 'layer', digest: torrent.digest });
  }

  /** Somebody wants pieces. */
  begin(): void {
    if (!this.isMissing || this.#asked !== undefined || this.#timer.slot >= 0) return;
    this.#tried.clear();
    this.#ask('tracker');
  }

  /** A peer has been attached: during a pause it is asked at once. */
  attached(connection: Connection): void {
    if (!this.isMissing || this.#timer.slot < 0 || !connection.layers || this.#tried.has(connection.peer)) return;
    this.stop();
    this.#tried.add(connection.peer);
    this.#ask(connection.conn);
  }

  /** The pause is over. */
  turn(): void {
    if (this.#torrent.state === 'leeching' && this.#torrent.pulls.size > 0) this.begin();
  }

  /** Nobody wants pieces any more. What is under way ends by itself. */
  stop(): void {
    this.#context.timers.clear(this.#timer);
  }

  /** The layer is here: ask for pieces. @param conn who gave it; absent: the tracker */
  fetched(conn: number | undefined): void {
    this.#settle(conn);
    if (!this.isMissing) return;
    this.isMissing = false;
    this.#rounds = 0;
    this.stop();
    const from = conn === undefined ? undefined : this.#context.byConn.get(conn)?.peer;
    const { digest, dispatcher, state } = this.#torrent;
    this.#context.observe({ kind: 'layer-fetched', digest, ...(from === undefined ? {} : { from }) });
    if (dispatcher === undefined) return;
    dispatcher.held = false;
    if (state === 'leeching') dispatcher.fillAll();
  }

  failed(conn: number | undefined, failure: Failure): void {
    const { byConn, connections } = this.#context;
    const connection = conn === undefined ? undefined : byConn.get(conn);
    if (connection !== undefined && failure.code === 'layer-invalid') connections.blame(connection);
    if (!this.#settle(conn) || !this.isMissing || this.#torrent.state !== 'leeching') return;
    const next = this.#nextPeer();
    if (next !== undefined) {
      this.#tried.add(next.peer);
      return this.#ask(next.conn);
    }
    const { timers, now } = this.#context;
    timers.set(this.#timer, now + Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(this.#rounds++, 10)));
  }

  #nextPeer(): Connection | undefined {
    for (const connection of this.#torrent.dispatcher?.attached ?? []) {
      if (connection.layers && connection.phase === 'active' && !this.#tried.has(connection.peer)) return connection;
    }
    return undefined;
  }

  #ask(whom: number | 'tracker'): void {
    this.#asked = whom;
    const { digest, namespace } = this.#torrent;
    const conn = whom === 'tracker' ? {} : { conn: whom };
    this.#context.out.push({ type: 'fetch-layer', namespace, digest, ...conn });
  }

  /** @returns true when this is the answer that is waited for */
  #settle(conn: number | undefined): boolean {
    if (this.#asked !== (conn ?? 'tracker')) return false;
    this.#asked = undefined;
    return true;
  }
}
