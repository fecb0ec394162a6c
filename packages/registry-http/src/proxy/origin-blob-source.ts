/**
 * Blobs for a proxy: the local store first, then the origin cluster, streamed through. Never keeps what it streams.
 * Source: spec index-proxy-registry-config.md §3.3.
 *
 * Differs from Go: nothing waits for the whole blob to be local.
 */
import { KrakenError } from '@kraken/core/errors';
import type { BlobSource, BlobStore, ByteRange, OpenedBlob, OriginCluster } from '@kraken/core/ports';

class StreamedBlob implements OpenedBlob {
  #taken = false;

  constructor(
    readonly length: number,
    private readonly bytes: AsyncIterable<Uint8Array>,
    private readonly opened: ByteRange | undefined,
    private readonly controller: AbortController,
  ) {}

  stream(range?: ByteRange): AsyncIterable<Uint8Array> {
    if (range?.start !== this.opened?.start || range?.end !== this.opened?.end) {
      throw new KrakenError('internal', 'a blob streamed from an origin gives the range it was opened with');
    }
    this.#taken = true;
    return this.bytes;
  }

  close(): void {
    // A stream that ended well ignores this; any other is cut at its connection.
    this.controller.abort(new KrakenError('cancelled', this.#taken ? 'the reader stopped' : 'the blob was not read'));
  }
}

/** Where blobs come from. */
export interface OriginBlobSourceOptions {
  readonly origins: Pick<OriginCluster, 'stat' | 'download'>;
  /** Blobs that are on this disk anyway, such as recent pushes. */
  readonly store?: Pick<BlobStore, 'stat' | 'open'>;
}

/** Blobs of the origin cluster for HTTP handlers. */
export function createOriginBlobSource({ origins, store }: OriginBlobSourceOptions): BlobSource {
  return {
    async stat(namespace, digest, signal) {
      const local = await store?.stat(digest);
      return local === undefined ? origins.stat(namespace, digest, signal) : { length: local.length };
    },
    async open(namespace, digest, options = {}) {
      const local = await store?.open(digest);
      if (local !== undefined) return local;
      const { range, signal, deadlineMs } = options;
      const controller = new AbortController();
      const give = (reason: unknown): void => controller.abort(reason);
      if (signal?.aborted === true) give(signal.reason);
      signal?.addEventListener('abort', () => give(signal.reason), { once: true });
      if (deadlineMs !== undefined) {
        const late = new KrakenError('pull-timeout', `${digest} did not arrive within ${deadlineMs} ms`);
        AbortSignal.timeout(deadlineMs).addEventListener('abort', () => give(late), { once: true });
      }
      const merged = controller.signal;
      // With a range, what the answer calls its length may be that of the range.
      const whole = range === undefined ? undefined : await origins.stat(namespace, digest, merged);
      if (range !== undefined && whole === undefined)
        throw new KrakenError('blob-unknown', `blob unknown to origins: ${digest}`);
      const answer = await origins.download(namespace, digest, {
        signal: merged,
        ...(range === undefined ? {} : { range }),
      });
      return new StreamedBlob(whole?.length ?? answer.length, answer.stream, range, controller);
    },
  };
}
