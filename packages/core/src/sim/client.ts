/**
 * The embedding program of one agent: asks for blobs, reads them in order when the workload streams, asks
 * again when a pull fails, and notes when what happened.
 */
import { pieceCount, type Digest, type MetaInfo } from '../content/index.js';
import type { Failure } from '../swarm/index.js';
import type { PullListener, SimHost } from './host.js';
import type { Millis } from '../machine/index.js';

/** One blob that one agent wants, over all its lives. */
export interface Want {
  readonly node: number;
  readonly metainfo: MetaInfo;
  /** When the agent asked first. */
  askedAt: Millis;
  openedAt: Millis | undefined;
  /** First piece at the in-order reader. */
  firstByteAt: Millis | undefined;
  /** All pieces are on the host's disk. */
  piecesAt: Millis | undefined;
  finishedAt: Millis | undefined;
  failures: Failure[];
}

interface ActivePull {
  readonly want: Want;
  readonly number: number;
  /** Next piece of the in-order reader. */
  reader: number;
  opened: boolean;
}

export class SimClient implements PullListener {
  readonly #host: SimHost;
  readonly #streaming: boolean;
  readonly #retryMs: number;
  readonly #onFinished: (want: Want) => void;
  readonly #later: (delayMs: number, task: () => void) => void;
  readonly #byNumber = new Map<number, ActivePull>();
  readonly #byDigest = new Map<Digest, ActivePull>();
  #pulls = 0;

  constructor(
    host: SimHost,
    options: {
      streaming: boolean;
      /** Wait before a failed pull is asked for again; 0: a failure is final. */
      retryMs: number;
      onFinished: (want: Want) => void;
      later: (delayMs: number, task: () => void) => void;
    },
  ) {
    this.#host = host;
    this.#streaming = options.streaming;
    this.#retryMs = options.retryMs;
    this.#onFinished = options.onFinished;
    this.#later = options.later;
    host.listener = this;
  }

  pull(want: Want): void {
    const number = ++this.#pulls;
    const active: ActivePull = { want, number, reader: 0, opened: false };
    this.#byNumber.set(number, active);
    this.#byDigest.set(want.metainfo.digest, active);
    this.#host.post({
      type: 'pull-requested',
      pull: number,
      namespace: 'sim',
      digest: want.metainfo.digest,
      streaming: this.#streaming,
    });
  }

  pullOpened(pull: number): void {
    const active = this.#byNumber.get(pull);
    if (active === undefined) return;
    active.opened = true;
    active.want.openedAt ??= this.#host.now();
    this.#read(active);
  }

  pullFinished(pull: number, failure: Failure | undefined): void {
    const active = this.#byNumber.get(pull);
    if (active === undefined) return;
    this.#byNumber.delete(pull);
    const { want } = active;
    if (this.#byDigest.get(want.metainfo.digest) === active) this.#byDigest.delete(want.metainfo.digest);
    if (failure === undefined) {
      want.firstByteAt ??= this.#host.now();
      want.piecesAt ??= this.#host.now();
      want.finishedAt ??= this.#host.now();
      this.#onFinished(want);
      return;
    }
    want.failures.push(failure);
    if (this.#retryMs === 0) {
      this.#onFinished(want);
      return;
    }
    this.#later(this.#retryMs, () => {
      if (!this.#host.isDown) this.pull(want);
    });
  }

  pieceStored(digest: Digest): void {
    const active = this.#byDigest.get(digest);
    if (active?.opened === true) this.#read(active);
  }

  /** Read on over what is verified. */
  #read(active: ActivePull): void {
    const { want } = active;
    const file = this.#host.nodeState.disk.file(want.metainfo.digest);
    if (file === undefined) return;
    if (file.have.isComplete) want.piecesAt ??= this.#host.now();
    const before = active.reader;
    while (file.have.has(active.reader)) active.reader++;
    if (active.reader === before) return;
    want.firstByteAt ??= this.#host.now();
    if (this.#streaming && active.reader < pieceCount(want.metainfo)) {
      this.#host.post({ type: 'reader-moved', pull: active.number, piece: active.reader });
    }
  }
}
