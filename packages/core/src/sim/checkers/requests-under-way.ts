/**
 * The piece requests of one life of one node, as an observer of its events and effects counts them. A request is under
 * way from its message until the first of: its piece was stored or given up, its payload was discarded, the peer refused it,
 * the connection ended or was closed, the machine declared it expired, or the piece came from somebody else. A permitted
 * payload is under way until it is stored, whatever became of its request.
 *
 * Knows nothing of the machine's own tables.
 */
import type { Digest } from '../../content/index.js';
import type { Millis } from '../../machine/index.js';
import type { SwarmEffect, SwarmEvent } from '../../swarm/index.js';
import type { SimHost } from '../host.js';

/** One request. */
export interface Asked {
  readonly conn: number;
  readonly at: Millis;
  /** Its payload was permitted and is being received. */
  receiving: boolean;
}

interface Conn {
  readonly digest: Digest;
  /** By piece. */
  readonly asked: Map<number, Asked>;
}

export class RequestsUnderWay {
  readonly #conns = new Map<number, Conn>();
  readonly #pieces = new Map<Digest, Map<number, Asked[]>>();

  /** Requests at one connection. */
  at(conn: number): number {
    return this.#conns.get(conn)?.asked.size ?? 0;
  }

  /** Requests for one piece. */
  of(digest: Digest, piece: number): readonly Asked[] {
    return this.#pieces.get(digest)?.get(piece) ?? [];
  }

  digestOf(conn: number): Digest | undefined {
    return this.#conns.get(conn)?.digest;
  }

  /** Take an event in, before the effects of its step. */
  happened(event: SwarmEvent): void {
    switch (event.type) {
      case 'handshake-received':
        return this.#began(event.conn, event.handshake.digest);
      case 'piece-stored':
        if (event.verdict === 'ok') return this.#arrived(event.digest, event.piece);
        return this.#ended(event.digest, event.conn, event.piece, true);
      case 'message-received': {
        const { message } = event;
        if (message.type === 'error' && message.code === 0)
          this.#ended(this.digestOf(event.conn), event.conn, message.piece, false);
        return;
      }
      case 'dial-failed':
      case 'connection-closed':
        return this.#gone(event.conn);
      default:
    }
  }

  /** Take an effect in, in the order of its step. Requests are added by the caller, with {@link add}. */
  asked(host: SimHost, event: SwarmEvent, effect: SwarmEffect, now: Millis): void {
    switch (effect.type) {
      case 'dial':
        return this.#began(effect.conn, effect.handshake.digest);
      case 'close':
        return this.#gone(effect.conn);
      case 'receive-piece':
        this.add(effect.conn, effect.piece, now);
        for (const request of this.of(effect.digest, effect.piece))
          if (request.conn === effect.conn) request.receiving = true;
        return;
      case 'discard-payload':
        if (event.type === 'payload-started') this.#ended(this.digestOf(event.conn), event.conn, event.piece, false);
        return;
      case 'observe': {
        const { observation } = effect;
        if (observation.kind !== 'request-expired') return;
        const { digest, piece, peer } = observation;
        const isPeers = ({ conn }: Asked): boolean => host.endpoints.get(conn)?.remote === peer;
        const expired = this.of(digest, piece).find(isPeers);
        if (expired !== undefined) this.#ended(digest, expired.conn, piece, false);
        return;
      }
      default:
    }
  }

  /** `piece` is asked of `conn`; once. */
  add(conn: number, piece: number, now: Millis): void {
    const known = this.#conns.get(conn);
    if (known === undefined || known.asked.has(piece)) return;
    const request: Asked = { conn, at: now, receiving: false };
    known.asked.set(piece, request);
    let pieces = this.#pieces.get(known.digest);
    if (pieces === undefined) this.#pieces.set(known.digest, (pieces = new Map<number, Asked[]>()));
    const others = pieces.get(piece);
    if (others === undefined) pieces.set(piece, [request]);
    else others.push(request);
  }

  #began(conn: number, digest: Digest): void {
    this.#conns.set(conn, { digest, asked: new Map() });
  }

  /** @param received whether the payload itself ended */
  #ended(digest: Digest | undefined, conn: number, piece: number, received: boolean): void {
    if (digest === undefined) return;
    const request = this.of(digest, piece).find((other) => other.conn === conn);
    if (request === undefined || (request.receiving && !received)) return;
    this.#conns.get(conn)?.asked.delete(piece);
    this.#forget(digest, piece, request);
  }

  #arrived(digest: Digest, piece: number): void {
    for (const { conn } of this.of(digest, piece)) this.#conns.get(conn)?.asked.delete(piece);
    this.#pieces.get(digest)?.delete(piece);
  }

  /** The connection takes its requests along, but for payloads whose last bytes are being written. */
  #gone(conn: number): void {
    const known = this.#conns.get(conn);
    if (known === undefined) return;
    this.#conns.delete(conn);
    for (const [piece, request] of known.asked) if (!request.receiving) this.#forget(known.digest, piece, request);
  }

  #forget(digest: Digest, piece: number, request: Asked): void {
    const pieces = this.#pieces.get(digest);
    const others = pieces?.get(piece);
    if (pieces === undefined || others === undefined) return;
    if (others.length === 1) pieces.delete(piece);
    else others.splice(others.indexOf(request), 1);
  }
}
