/**
 * A pull as the embedding program waits for it: opened (the length is known), then finished. Owns the two
 * promises and the readers that fail with it. Never talks to the machine.
 */
import type { Digest, MetaInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { Failure } from '@kraken/core/swarm';

export class Pull {
  readonly id: number;
  readonly digest: Digest;
  /** The metainfo; rejects when the pull fails before. */
  readonly opened: Promise<MetaInfo>;
  /** Resolves when the content is there; rejects with the pull's failure. */
  readonly finished: Promise<void>;
  #open!: (metainfo: MetaInfo) => void;
  #finish!: () => void;
  #reject: ((error: KrakenError) => void)[] = [];
  #failure: KrakenError | undefined;
  #over = false;
  readonly #onOver = new Set<(failure: KrakenError | undefined) => void>();

  constructor(id: number, digest: Digest) {
    this.id = id;
    this.digest = digest;
    this.opened = new Promise((resolve, reject) => {
      this.#open = resolve;
      this.#reject.push(reject);
    });
    this.finished = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#reject.push(reject);
    });
    // Not everybody waits for both.
    this.opened.catch(() => undefined);
    this.finished.catch(() => undefined);
  }

  /** Finished, well or not. */
  get over(): boolean {
    return this.#over;
  }

  get failure(): KrakenError | undefined {
    return this.#failure;
  }

  /** Call `listener` once when the pull is over; at once if it is. @returns how to stop listening */
  whenOver(listener: (failure: KrakenError | undefined) => void): () => void {
    if (this.#over) {
      listener(this.#failure);
      return () => undefined;
    }
    this.#onOver.add(listener);
    return () => void this.#onOver.delete(listener);
  }

  noteOpened(metainfo: MetaInfo): void {
    this.#open(metainfo);
  }

  noteFinished(failure: Failure | undefined): void {
    if (this.#over) return;
    this.#over = true;
    if (failure === undefined) {
      this.#finish();
    } else {
      this.#failure = new KrakenError(failure.code, failure.says);
      for (const reject of this.#reject) reject(this.#failure);
    }
    for (const listener of this.#onOver) listener(this.#failure);
    this.#onOver.clear();
  }
}
