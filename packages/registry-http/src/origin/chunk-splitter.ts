/** One stream cut into consecutive bodies of given lengths, without buffering more than the chunk at the cut. */
import { KrakenError } from '@kraken/core/errors';

export class ChunkSplitter {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** The next `length` bytes; read one body to its end before the next. @throws KrakenError `content-truncated` from the iterator */
  async *next(length: number): AsyncGenerator<Uint8Array, void> {
    let left = length;
    while (left > 0) {
      if (this.#rest.length === 0) {
        const step = await this.#iterator.next();
        if (step.done === true) throw new KrakenError('content-truncated', `the source ended ${left} bytes early`);
        this.#rest = step.value;
      }
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      if (part.length > 0) yield part;
    }
  }

  /** Let the source release what it holds. */
  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}
