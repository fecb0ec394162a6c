/**
 * A blob as a reader sees it while the swarm delivers it: length at once, verified bytes in order as they arrive.
 * Owns the streams and their hold on the file; cancels the pull when its reader gives up. Never reads a byte
 * itself: the torrent file does.
 */
import type { MetaInfo } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { ByteRange, CancelSignal, OpenedBlob } from '@kraken/core/ports';
import type { Pull } from './pull.js';
import type { HeldFile } from './torrent-table.js';

/** An {@link OpenedBlob} out of the swarm. */
export interface SwarmBlob extends OpenedBlob {
  /** Digest, length and piece sums. */
  readonly metainfo: MetaInfo;
  /** Resolves when the content is here: the whole blob is committed, or the range verified. Rejects with the pull's failure. */
  readonly finished: Promise<void>;
}

/** Where a stream gets its file from, and whom it tells what it needs. */
export interface BlobFeed {
  /** The file, once it is there; the hold is the caller's. @throws when the pull fails or `signal` is aborted */
  file(signal: AbortSignal): Promise<HeldFile>;
  /** The reader waits for `piece`. */
  needs(piece: number): void;
  /** Nobody reads any more. */
  gaveUp(): void;
}

/** A blob whose content comes through `feed`; `pull` absent = all of it is local. */
export class FedBlob implements SwarmBlob {
  readonly metainfo: MetaInfo;
  readonly finished: Promise<void>;
  readonly #feed: BlobFeed;
  readonly #range: ByteRange | undefined;
  readonly #signal: CancelSignal | undefined;
  readonly #abort = new AbortController();
  readonly #stopListening: () => void;
  #streamed = false;
  #closed = false;

  constructor(
    metainfo: MetaInfo,
    feed: BlobFeed,
    options: { pull?: Pull | undefined; range?: ByteRange | undefined; signal?: CancelSignal | undefined },
  ) {
    this.metainfo = metainfo;
    this.finished = options.pull?.finished ?? Promise.resolve();
    this.#feed = feed;
    this.#range = options.range;
    this.#signal = options.signal;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#stopListening =
      options.pull?.whenOver((failure) => {
        if (failure !== undefined) this.#abort.abort(failure);
      }) ?? (() => undefined);
  }

  get length(): number {
    return this.metainfo.length;
  }

  stream(range: ByteRange | undefined = this.#range): AsyncIterable<Uint8Array> {
    if (this.#streamed) throw new KrakenError('internal', 'a blob was streamed twice');
    this.#streamed = true;
    if (range !== undefined && (range.start < 0 || range.start > range.end || range.end > this.length)) {
      throw new KrakenError('range-invalid', `range ${range.start}–${range.end} is not within ${this.length} bytes`);
    }
    const reader = new FeedReader(this.#feed, range, this.#abort.signal, (complete) => this.#end(complete));
    return { [Symbol.asyncIterator]: () => reader };
  }

  close(): void {
    this.#abort.abort(new KrakenError('cancelled', 'the reader closed the blob'));
    this.#end(false);
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#signal?.reason;
    this.#abort.abort(isKrakenError(reason) ? reason : new KrakenError('cancelled', undefined, { cause: reason }));
    this.#end(false);
  };

  #end(complete: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#stopListening();
    // A reader that saw the end leaves the pull to finish: its last piece may be on the way to the cache.
    if (!complete) this.#feed.gaveUp();
  }
}

/** One iteration. `return` and the signal interrupt a wait. */
class FeedReader implements AsyncIterator<Uint8Array, undefined> {
  readonly #feed: BlobFeed;
  readonly #range: ByteRange | undefined;
  readonly #signal: AbortSignal;
  readonly #ended: (complete: boolean) => void;
  readonly #given = new AbortController();
  #held: HeldFile | undefined;
  #chunks: Promise<AsyncIterator<Uint8Array>> | undefined;
  #over = false;

  constructor(feed: BlobFeed, range: ByteRange | undefined, signal: AbortSignal, ended: (complete: boolean) => void) {
    this.#feed = feed;
    this.#range = range;
    this.#signal = AbortSignal.any([signal, this.#given.signal]);
    this.#ended = ended;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#over) return { done: true, value: undefined };
    try {
      this.#chunks ??= this.#start();
      const chunk = await (await this.#chunks).next();
      if (chunk.done !== true) return chunk;
      this.#finish(true);
      return { done: true, value: undefined };
    } catch (error) {
      this.#finish(false);
      // The pull's failure says more than what the interrupted read says.
      throw isKrakenError(this.#signal.reason) ? this.#signal.reason : error;
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#given.abort(new KrakenError('cancelled', 'the reader gave up'));
    // The reader is gone: nobody is left to hear why the stream could not be opened.
    const chunks = await this.#chunks?.catch(() => undefined);
    await chunks?.return?.();
    this.#finish(false);
    return { done: true, value: undefined };
  }

  async #start(): Promise<AsyncIterator<Uint8Array>> {
    this.#signal.throwIfAborted();
    this.#held = await this.#feed.file(this.#signal);
    const stream = this.#held.file.stream({
      signal: this.#signal,
      onNeed: (piece) => this.#feed.needs(piece),
      ...(this.#range === undefined ? {} : { range: this.#range }),
    });
    return stream[Symbol.asyncIterator]();
  }

  #finish(complete: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#held?.done();
    this.#ended(complete);
  }
}
