/**
 * Manifests as clients ask for them: by tag or digest, whole, with their type. Owns resolution and the size limit.
 * Never writes a response.
 */
import { parseDigest, type Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { parseManifest, parseTag, tagName, type Manifest } from '@kraken/core/oci';
import type { BlobSource, CancelSignal, TagSource } from '@kraken/core/ports';

/** Content that must not grow beyond `maxBytes`. @throws KrakenError `manifest-too-large` and what the source throws */
async function readSmall(
  blobs: BlobSource,
  repository: string,
  digest: Digest,
  maxBytes: number,
  signal: CancelSignal,
): Promise<Buffer> {
  const blob = await blobs.open(repository, digest, { signal });
  try {
    if (blob.length > maxBytes) {
      throw new KrakenError(
        'manifest-too-large',
        `${digest} has ${blob.length} bytes; a manifest has at most ${maxBytes}`,
      );
    }
    const bytes = Buffer.allocUnsafe(blob.length);
    let filled = 0;
    for await (const chunk of blob.stream()) {
      bytes.set(chunk, filled);
      filled += chunk.byteLength;
    }
    if (filled !== blob.length)
      throw new KrakenError('content-truncated', `${digest}: got ${filled} of ${blob.length} bytes`);
    return bytes;
  } finally {
    blob.close();
  }
}

/** A tag or digest as a digest. @throws KrakenError `tag-invalid`, `digest-invalid`, `tag-unknown`, … */
export async function resolveReference(
  tags: TagSource,
  repository: string,
  reference: string,
  signal: CancelSignal,
): Promise<Digest> {
  if (reference.includes(':')) return parseDigest(reference);
  return tags.get(tagName(repository, parseTag(reference)), signal);
}

/**
 * A manifest with its bytes.
 * @throws KrakenError `manifest-unknown` when it is not there, or is a blob that is no manifest; what the source throws
 */
export async function fetchManifest(
  blobs: BlobSource,
  repository: string,
  digest: Digest,
  maxBytes: number,
  signal: CancelSignal,
): Promise<{ bytes: Buffer; manifest: Manifest }> {
  try {
    const bytes = await readSmall(blobs, repository, digest, maxBytes, signal);
    return { bytes, manifest: parseManifest(bytes) };
  } catch (error) {
    const absent = ['blob-unknown', 'manifest-invalid', 'manifest-too-large', 'removed'] as const;
    if (absent.some((code) => isKrakenError(error, code))) {
      const reason = error instanceof Error ? error.message : '';
      throw new KrakenError('manifest-unknown', `manifest unknown: ${digest}: ${reason}`, { cause: error });
    }
    throw error;
  }
}
