/** A committed blob as something to upload: opened anew for every attempt, chunks handed on as they come. */
import type { Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { BlobStore, UploadSource } from '@kraken/core/ports';

/** @returns `undefined` when the store does not have it */
export async function uploadSourceOf(store: BlobStore, digest: Digest): Promise<UploadSource | undefined> {
  const stat = await store.stat(digest);
  if (stat === undefined) return undefined;
  return {
    length: stat.length,
    async *open() {
      const blob = await store.open(digest);
      if (blob === undefined) throw new KrakenError('blob-unknown', `${digest} was deleted meanwhile`);
      try {
        yield* blob.stream();
      } finally {
        blob.close();
      }
    },
  };
}
