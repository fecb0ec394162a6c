/**
 * Peers that are not dialled for a while, per torrent. Three kinds: a *pause* after a clean close (not an offence), a
 * *failure* whose time doubles with each repetition, and a *ban* for bad data, which also refuses incoming connections.
 * Entries are purged. Source: spec p2p.md §3.5; differs as §10.8 and §10.15 ask for.
 */
import type { Digest, PeerId } from '../content/index.js';

/** Longest time a failed peer is left alone. Guess: 5 min. */
const FAILURE_MAX_MS = 300_000;
/** Redial pause after a clean close. Guess: 3 s, one announce interval of a Go tracker. */
export const PAUSE_MS = 3000;
/** First ban for bad data; doubles. Guess: 10 min. */
const BAN_MS = 600_000;

/** Peers remembered of one torrent; pauses are forgotten first, then the oldest. Guess: far above what a node meets in minutes. */
const PEERS_MAX = 1000;

export type BlacklistKind = 'pause' | 'failure' | 'ban';

interface Entry {
  kind: BlacklistKind;
  /** When the last offence or pause was added. */
  addedAt: number;
  until: number;
  failures: number;
  bans: number;
}

export class Blacklist {
  readonly #torrents = new Map<Digest, Map<PeerId, Entry>>();

  /**
   * Add an offence or a pause. A shorter time never replaces a longer one.
   * @param firstMs time of a first failure; not used by the other kinds
   * @param jitter factor near 1 that keeps peers that failed together from coming back together
   * @returns how long the peer is left alone from `now`, ms
   */
  add(digest: Digest, peer: PeerId, kind: BlacklistKind, now: number, firstMs: number, jitter: number): number {
    let peers = this.#torrents.get(digest);
    if (peers === undefined) this.#torrents.set(digest, (peers = new Map<PeerId, Entry>()));
    const known = peers.get(peer);
    if (known === undefined && peers.size >= PEERS_MAX) makeRoom(peers);
    const entry = known ?? { kind: 'pause', addedAt: now, until: -Infinity, failures: 0, bans: 0 };
    peers.set(peer, entry);
    entry.addedAt = now;
    let forMs = PAUSE_MS;
    if (kind === 'failure') {
      const capMs = Math.max(firstMs, FAILURE_MAX_MS);
      forMs = Math.min(capMs, firstMs * 2 ** Math.min(entry.failures++, 30)) * jitter;
    }
    if (kind === 'ban') forMs = BAN_MS * 2 ** Math.min(entry.bans++, 10);
    if (now + forMs > entry.until) {
      if (entry.until <= now || entry.kind === 'pause' || kind === 'ban') entry.kind = kind;
      entry.until = now + forMs;
    }
    return forMs;
  }

  /** The peer proved itself: failures and pauses are forgotten, a ban stays. */
  forgive(digest: Digest, peer: PeerId): void {
    const peers = this.#torrents.get(digest);
    if (peers?.get(peer)?.kind === 'ban') return;
    peers?.delete(peer);
    if (peers?.size === 0) this.#torrents.delete(digest);
  }

  /** True while the peer must not be dialled. */
  blocks(digest: Digest, peer: PeerId, now: number): boolean {
    return (this.#torrents.get(digest)?.get(peer)?.until ?? -Infinity) > now;
  }

  /**
   * True for a peer that is blocked but may be tried by a torrent that has nobody else: no ban, and a pause has passed since
   * it last failed. A sole source that was away for a while must not stay lost for minutes.
   */
  isLastResort(digest: Digest, peer: PeerId, now: number): boolean {
    const entry = this.#torrents.get(digest)?.get(peer);
    return entry !== undefined && entry.kind !== 'ban' && now - entry.addedAt >= PAUSE_MS;
  }

  /** True while the peer must not even come in. */
  bans(digest: Digest, peer: PeerId, now: number): boolean {
    const entry = this.#torrents.get(digest)?.get(peer);
    return entry?.kind === 'ban' && entry.until > now;
  }

  /** Peers of a torrent that are remembered. */
  size(digest: Digest): number {
    return this.#torrents.get(digest)?.size ?? 0;
  }

  /** Forget all but bans: a forger is no better once the torrent is done. */
  clear(digest: Digest): void {
    const peers = this.#torrents.get(digest);
    if (peers === undefined) return;
    for (const [peer, entry] of peers) if (entry.kind !== 'ban') peers.delete(peer);
    if (peers.size === 0) this.#torrents.delete(digest);
  }

  /** Drop entries that ended long enough ago that they no longer count as repetitions. */
  purge(now: number): void {
    for (const [digest, peers] of this.#torrents) {
      for (const [peer, entry] of peers) if (entry.until + FAILURE_MAX_MS <= now) peers.delete(peer);
      if (peers.size === 0) this.#torrents.delete(digest);
    }
  }

  /** Entries in force, pauses left out. */
  *entries(now: number): Generator<{ digest: Digest; peerId: PeerId; remainingMs: number }, void> {
    for (const [digest, peers] of this.#torrents) {
      for (const [peerId, entry] of peers) {
        if (entry.kind !== 'pause' && entry.until > now) yield { digest, peerId, remainingMs: entry.until - now };
      }
    }
  }
}

/** Forget all pauses, or the oldest entry when nothing is a mere pause: a forgotten pause costs one early dial. */
function makeRoom(peers: Map<PeerId, Entry>): void {
  for (const [peer, entry] of peers) if (entry.failures === 0 && entry.bans === 0) peers.delete(peer);
  if (peers.size < PEERS_MAX) return;
  for (const peer of peers.keys()) return void peers.delete(peer);
}
