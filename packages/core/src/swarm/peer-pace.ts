/**
 * How fast one peer answers: the round trip, the time that a payload takes, and the time between payloads. Decides how many
 * pieces are asked ahead of the peer and how long an answer may take. Source: ours; Go asks 3 (agents) or 5 (origins) ahead
 * of everybody and gives everybody the same time (spec p2p.md §5.2).
 *
 * A deeper pipeline than the round trip needs only fixes early who will send what: simulated, 260 hosts, 2 × 1.5 GB,
 * max-min links: median 11.05 s at depth 3, 10.80 at 2, 10.52 at 1.
 */

/** Deepest pipeline of one peer. Guess: 32; covers 100 ms of round trip at 1 GB/s with pieces of 4 MiB. */
export const PIPELINE_MAX = 32;
/** An answer may take so many times what answers of this peer took lately. Guess. */
const PATIENCE = 4;
/** So many times what the measured pace needs is asked ahead. Guess: a pipeline that is too short grows by a quarter at a time. */
const GAIN = 1.25;
/** Weight of the newest sample in the averages. */
const NEWEST = 1 / 4;

/** Not measured yet. With its sign it is stored as a fraction is: what follows then changes no shape. */
const UNKNOWN = -0;

export class PeerPace {
  /**
   * Round trip, ms: half of what dialling took (connection and handshake), or the least known of the torrent for a peer that
   * came in. Never the wait for a payload: that is mostly the queue of a busy peer, and a queue that makes everybody ask
   * further ahead grows without end.
   */
  #roundTripMs = UNKNOWN;
  /** Time that a payload takes once it has begun, ms. */
  #transferMs = UNKNOWN;
  /** Time from one payload's end (or a request on an empty pipeline) to the next one's end, ms; 0 until known. */
  #intervalMs = UNKNOWN;
  #startedAt = -Infinity;
  #startedPiece = -1;
  /** The payload before that: with requests ahead, the next one begins while it is being stored. */
  #earlierAt = -Infinity;
  #earlierPiece = -1;
  #fromAt = -Infinity;
  #depth = 1;

  /** Pieces to keep asked so that the peer never waits for our next request. */
  get depth(): number {
    return this.#depth;
  }

  get roundTripMs(): number {
    return this.#roundTripMs;
  }

  set roundTripMs(roundTripMs: number) {
    this.#roundTripMs = roundTripMs;
    this.#setDepth();
  }

  /** A request goes out. @param alone nothing else is asked of the peer */
  requested(now: number, alone: boolean): void {
    if (alone) this.#fromAt = now;
  }

  /** The payload of `piece` begins. */
  started(now: number, piece: number): void {
    this.#earlierAt = this.#startedAt;
    this.#earlierPiece = this.#startedPiece;
    this.#startedAt = now;
    this.#startedPiece = piece;
  }

  /** The payload of `piece` is stored. */
  ended(now: number, piece: number): void {
    const isLatest = piece === this.#startedPiece;
    if (isLatest || piece === this.#earlierPiece)
      this.#transferMs = average(this.#transferMs, now - (isLatest ? this.#startedAt : this.#earlierAt));
    if (this.#fromAt > -Infinity) this.#intervalMs = average(this.#intervalMs, now - this.#fromAt);
    this.#fromAt = now;
    this.#setDepth();
  }

  #setDepth(): void {
    if (this.#transferMs <= 0) return;
    // A busy peer sends a piece in one go and then others' pieces: the time from piece to piece counts, and a gain above
    // 1 finds out whether more comes when more is asked. Eleven processes under a limit of 20 MB/s: 10 % sooner than by
    // the time of the payload alone.
    const eachMs = Math.max(this.#transferMs, this.#intervalMs);
    this.#depth = Math.min(PIPELINE_MAX, 1 + Math.round((GAIN * this.#roundTripMs) / eachMs));
  }

  /**
   * How long an answer may take when `ahead` others come first.
   * @param minMs never less
   * @param startMs for a peer that has sent nothing yet, a request; also bounds how slow a peer may be: four times that
   */
  timeoutMs(ahead: number, minMs: number, startMs: number): number {
    if (this.#intervalMs === 0) return startMs * (ahead + 1);
    const eachMs = Math.min(PATIENCE * this.#intervalMs, PATIENCE * startMs);
    return Math.max(minMs, eachMs * (ahead + 1));
  }
}

function average(old: number, sample: number): number {
  return old === 0 ? sample : old + (sample - old) * NEWEST;
}
