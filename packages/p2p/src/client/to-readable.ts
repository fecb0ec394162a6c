/**
 * The bytes of a blob as a Node stream, for `pipeline`, HTTP responses and everything else that wants one. Owns nothing but
 * the copies: a Node stream keeps chunks for a while, a chunk of ours is only valid until the next one is asked for.
 */
import { Readable } from 'node:stream';

/** Bytes that the stream holds ready, at most one chunk (1 MiB) more. */
const HIGH_WATER_BYTES = 256 * 1024;

/**
 * `stream` as a Node `Readable`. Destroying it gives the blob up: the pull is cancelled unless others want it.
 * A failure of the blob destroys it with the KrakenError.
 */
export function toReadable(stream: AsyncIterable<Uint8Array>): Readable {
  const chunks = stream[Symbol.asyncIterator]();
  let ended = false;
  return new Readable({
    highWaterMark: HIGH_WATER_BYTES,
    read() {
      chunks.next().then(
        (step) => {
          ended = step.done === true;
          this.push(step.done === true ? null : Buffer.from(step.value));
        },
        (error: unknown) => {
          ended = true;
          this.destroy(error as Error);
        },
      );
    },
    destroy(error, done) {
      if (ended || chunks.return === undefined) {
        done(error);
        return;
      }
      chunks.return().then(
        () => done(error),
        (cause: unknown) => done(error ?? (cause as Error)),
      );
    },
  });
}
