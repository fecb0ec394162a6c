/**
 * Peers of the last announce that one torrent may dial, in the order of the tracker.
 *
 * After the first answer only one of many is dialled; the rest after the next announce, which follows soon. Who fills
 * all slots at once connects with those that came at the same moment and have nothing either, and pieces leave the origins
 * late. Simulated, 400 agents within 100 ms, 600 MB at 300 MB/s: median 3.8 s when dialling at once, 2.7 s this way.
 */
import type { PeerId, PeerInfo } from '../content/index.js';
import type { Random } from '../random/index.js';

/** Candidates kept from the last announce. Guess: twice what a Go tracker hands out. */
const CANDIDATES_MAX = 100;

export class DialCandidates {
  #peers: readonly PeerInfo[] = [];
  #next = 0;
  #answers = 0;
  #allComplete = false;

  get size(): number {
    return this.#peers.length;
  }

  /** An announce was answered. @param self Go trackers name us too */
  replace(peers: readonly PeerInfo[], self: PeerId): void {
    this.#peers = peers.slice(0, CANDIDATES_MAX);
    this.#next = 0;
    this.#answers++;
    this.#allComplete = peers.every((peer) => peer.complete || peer.origin || peer.peerId === self);
  }

  /** True when there was an answer and all others in the last one had everything. */
  get allComplete(): boolean {
    return this.#allComplete;
  }

  /** Forget everything, also that there were answers. */
  clear(): void {
    this.#peers = [];
    this.#next = 0;
    this.#answers = 0;
    this.#allComplete = false;
  }

  /**
   * How many dials of ours the answers so far allow, at most `slots`.
   * @param first how many after the first answer, when it names more peers than there are slots
   */
  dialsMax(slots: number, first: number): number {
    return this.#answers <= 1 && this.#peers.length > slots ? Math.min(slots, first) : slots;
  }

  /** The next peer in order; each is named once per answer. */
  take(): PeerInfo | undefined {
    return this.#peers[this.#next++];
  }

  /** The origins of the answer. */
  origins(): readonly PeerInfo[] {
    return this.#peers.filter((peer) => peer.origin);
  }

  /** Any peer of the answer that will do, from a random one on. */
  any(random: Random, willDo: (peer: PeerId) => boolean): PeerInfo | undefined {
    if (this.#peers.length === 0) return undefined;
    const first = random.below(this.#peers.length);
    for (let i = 0; i < this.#peers.length; i++) {
      const peer = this.#peers[(first + i) % this.#peers.length];
      if (peer !== undefined && willDo(peer.peerId)) return peer;
    }
    return undefined;
  }
}
