/** Every blob of an image, children of an index included. Never downloads layers. Source: spec index-proxy-registry-config.md §3.5. */
import type { Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { BlobSource, CancelSignal } from '@kraken/core/ports';
import { fetchManifest } from '../oci/manifest-source.js';

export interface ImageBlob {
  readonly digest: Digest;
  /** Bytes; `undefined` when the manifest that names it does not say. */
  readonly size?: number;
}

const BLOBS_MAX = 100_000;

/** The manifest itself, then what it refers to, each once. @throws KrakenError `manifest-unknown` and what the source throws */
export async function imageBlobs(
  blobs: BlobSource,
  repository: string,
  digest: Digest,
  maxManifestBytes: number,
  signal: CancelSignal,
): Promise<readonly ImageBlob[]> {
  const found = new Map<Digest, ImageBlob>();
  const queue: Digest[] = [digest];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { bytes, manifest } = await fetchManifest(blobs, repository, next, maxManifestBytes, signal);
    found.set(next, { digest: next, size: bytes.byteLength });
    for (const entry of manifest.descriptors) {
      if (found.has(entry.digest)) continue;
      found.set(entry.digest, { digest: entry.digest, ...(entry.size > 0 ? { size: entry.size } : {}) });
      if (manifest.kind === 'index') queue.push(entry.digest);
    }
    if (found.size > BLOBS_MAX)
      throw new KrakenError('manifest-invalid', `expected an image of at most ${BLOBS_MAX} blobs`);
  }
  return [...found.values()];
}
