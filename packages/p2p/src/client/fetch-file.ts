/** One blob to one file: {@link fetchBlob} and {@link saveTo} together. Owns nothing of its own. */
import type { Digest } from '@kraken/core/content';
import { fetchBlob, type FetchBlobOptions } from './fetch-blob.js';
import { saveTo } from './save-to.js';

/** What to fetch, and where to. */
export interface FetchFileOptions extends FetchBlobOptions {
  /** Where the bytes go; appears whole or not at all, and replaces what is there. */
  readonly file: string;
}

/** A file that was fetched. */
export interface FetchedFile {
  /** What was asked for. */
  readonly digest: Digest;
  /** Bytes in the file: of the blob, or of the range. */
  readonly length: number;
}

/**
 * Fetch a blob, or a range of it, into a file.
 * @throws KrakenError as {@link fetchBlob}, and `disk-full` or `io-error` for the file
 *
 * @example
 * await fetchFile({ tracker: 'http://tracker:8080', digest, dir: '/var/cache/blobs', file: 'layer.tar.gz' });
 */
export async function fetchFile(options: FetchFileOptions): Promise<FetchedFile> {
  const blob = await fetchBlob(options);
  try {
    return { digest: blob.metainfo.digest, length: await saveTo(blob.stream, options.file) };
  } finally {
    await blob.close();
  }
}
