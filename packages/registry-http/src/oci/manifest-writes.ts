/**
 * `PUT` of a manifest: check, store in the cluster, tag. Owns the order of these steps, so that a tag never names a
 * manifest whose parts are missing. Source: OCI distribution spec 1.1 "Pushing manifests"; spec
 * index-proxy-registry-config.md §3.2, §4.2.
 */
import { digestFromHex, parseDigest, type Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { manifestBlobsUnknown, parseManifest, parseTag, tagName, type Manifest } from '@kraken/core/oci';
import { createHash } from 'node:crypto';
import { readBody, sendEmpty, type RequestContext } from '../http/index.js';
import { recordReferrer } from './referrers.js';
import type { Registry, RegistryWriter } from './registry-options.js';

const LOOKUPS_AT_ONCE = 16;

/** The references that nobody has. Rejects when that cannot be told. */
async function missingReferences(
  registry: Registry,
  writer: RegistryWriter,
  repository: string,
  references: readonly Digest[],
  signal: AbortSignal,
): Promise<readonly Digest[]> {
  const missing = new Set<Digest>();
  const queue = references.values();
  let failed = false;
  const worker = async (): Promise<void> => {
    // The iterator is shared: each digest goes to one worker.
    for (const digest of queue) {
      if (failed) return;
      signal.throwIfAborted();
      // Pushed a moment ago: counts even while the storage behind the origins is down.
      if ((await writer.store.stat(digest)) !== undefined) continue;
      if ((await registry.blobs.stat(repository, digest, signal)) === undefined) missing.add(digest);
    }
  };
  const stopOthers = (error: unknown): never => {
    failed = true;
    throw error;
  };
  await Promise.all(
    Array.from({ length: Math.min(LOOKUPS_AT_ONCE, references.length) }, () => worker().catch(stopOthers)),
  );
  return references.filter((digest) => missing.has(digest));
}

async function readManifestBody(registry: Registry, context: RequestContext): Promise<Buffer> {
  const { manifestBytesMax } = registry.limits;
  try {
    return await readBody(context.req, manifestBytesMax);
  } catch (error) {
    if (!isKrakenError(error, 'body-too-large')) throw error;
    throw new KrakenError('manifest-too-large', `expected at most ${manifestBytesMax} bytes of manifest`, {
      cause: error,
    });
  }
}

function checkReferenceCount(registry: Registry, manifest: Manifest): readonly Digest[] {
  const references = [...new Set(manifest.references)];
  const { manifestReferencesMax } = registry.limits;
  if (references.length > manifestReferencesMax) {
    throw new KrakenError(
      'manifest-invalid',
      `expected at most ${manifestReferencesMax} references, got ${references.length}`,
    );
  }
  return references;
}

/** `PUT /v2/<name>/manifests/<reference>`. */
export async function writeManifest(
  registry: Registry,
  writer: RegistryWriter,
  context: RequestContext,
  repository: string,
  reference: string,
): Promise<void> {
  const wanted = reference.includes(':') ? parseDigest(reference) : undefined;
  const tag = wanted === undefined ? parseTag(reference) : undefined;
  const bytes = await readManifestBody(registry, context);
  const digest = digestFromHex(createHash('sha256').update(bytes).digest('hex'));
  if (wanted !== undefined && wanted !== digest) {
    throw new KrakenError('digest-mismatch', `expected a manifest with digest ${wanted}, got one with ${digest}`);
  }
  const manifest = parseManifest(bytes, context.req.headers['content-type']);
  const references = checkReferenceCount(registry, manifest);
  const missing = await missingReferences(registry, writer, repository, references, context.signal);
  if (missing.length > 0) throw manifestBlobsUnknown(missing);

  await writer.publish(repository, digest, {
    length: bytes.byteLength,
    open: async function* () {
      yield await Promise.resolve(bytes);
    },
  });
  if (tag !== undefined) await registry.tags.put(tagName(repository, tag), digest);
  const recorded = await recordReferrer(registry, writer, repository, { digest, size: bytes.byteLength, manifest });
  registry.logger.info({ repository, reference, digest }, 'manifest pushed');
  sendEmpty(context, 201, {
    location: `/v2/${repository}/manifests/${digest}`,
    'docker-content-digest': digest,
    ...(recorded === undefined ? {} : { 'oci-subject': recorded }),
  });
}
