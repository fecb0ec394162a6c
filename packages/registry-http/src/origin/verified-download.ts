/**
 * Bytes of a blob checked against its digest on the way. The last chunk is held back until the hash of everything is
 * right, so a reader that sees the end has the right bytes. A source that breaks off is continued elsewhere.
 */
import type { Digest } from '@kraken/core/content';
import { asKrakenError, isKrakenError, KrakenError } from '@kraken/core/errors';
import { createHash } from 'node:crypto';
import type { DownloadedBlob } from './origin-client.js';

/**
 * @param first already open, at its beginning
 * @param resume opens the rest from a byte position on; throws when nobody can
 * @param length bytes of the blob, when known
 * @throws KrakenError (from the iterator) `digest-mismatch`, `content-truncated`, what `resume` throws
 */
export async function* verifiedBytes(
  digest: Digest,
  first: DownloadedBlob,
  resume: (start: number, cause: KrakenError) => Promise<DownloadedBlob>,
  length: number | undefined,
): AsyncGenerator<Uint8Array, void> {
  const hash = createHash('sha256');
  let held: Uint8Array | undefined;
  for await (const chunk of resumableBytes(first, resume, { start: 0, end: length })) {
    hash.update(chunk);
    if (held !== undefined) yield held;
    held = chunk;
  }
  const computed = `sha256:${hash.digest('hex')}`;
  if (computed !== digest) {
    throw new KrakenError('digest-mismatch', `origins delivered ${computed} for ${digest}`);
  }
  if (held !== undefined) yield held;
}

/** Bytes from `start` to `end`, from one source after the other. `end` unknown: a clean end of the stream is the end. */
export async function* resumableBytes(
  first: DownloadedBlob,
  resume: (start: number, cause: KrakenError) => Promise<DownloadedBlob>,
  range: { start: number; end: number | undefined },
): AsyncGenerator<Uint8Array, void> {
  let position = range.start;
  let source = first;
  const { end } = range;
  for (;;) {
    let failure: KrakenError;
    try {
      // A server that ignores ranges begins at 0: what is already delivered is skipped.
      let skip = position - source.start;
      if (skip < 0)
        throw new KrakenError('upstream-failed', `asked for bytes from ${position}, got bytes from ${source.start}`);
      for await (const chunk of source.stream) {
        if (skip >= chunk.length) {
          skip -= chunk.length;
          continue;
        }
        const part = chunk.subarray(skip, end === undefined ? undefined : skip + end - position);
        skip = 0;
        position += part.length;
        if (part.length > 0) yield part;
        if (position === end) return;
      }
      if (end === undefined || position === end) return;
      failure = new KrakenError('content-truncated', `origin ended at byte ${position} of ${end}`);
    } catch (error) {
      if (isKrakenError(error, 'cancelled')) throw error;
      failure = asKrakenError(error, 'network-error');
    }
    source = await resume(position, failure);
  }
}
