/**
 * Manifests attached to another manifest (signatures, SBOMs): OCI 1.1 referrers kept as the spec's fallback tag
 * `sha256-<hex>`, so that clients with and without the referrers API see the same list, and Go nodes too.
 * Owns the content of that tag. Source: OCI distribution spec 1.1 "Listing referrers", "Referrers tag schema".
 */
import { digestHex, digestFromHex, parseDigest, type Digest } from '@kraken/core/content';
import { isKrakenError } from '@kraken/core/errors';
import { OCI_INDEX, tagName, type Manifest } from '@kraken/core/oci';
import type { CancelSignal } from '@kraken/core/ports';
import { createHash } from 'node:crypto';
import { sendBuffer, type RequestContext } from '../http/index.js';
import { fetchManifest } from './manifest-source.js';
import type { Registry, RegistryWriter } from './registry-options.js';

interface ReferrerDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const referrersTag = (repository: string, subject: Digest): string =>
  tagName(repository, `sha256-${digestHex(subject)}`);

const never: CancelSignal = new AbortController().signal;

/** What the fallback tag lists now; empty when there is none. */
async function currentReferrers(
  registry: Registry,
  repository: string,
  subject: Digest,
  signal: CancelSignal,
): Promise<readonly ReferrerDescriptor[]> {
  try {
    const digest = await registry.tags.get(referrersTag(repository, subject), signal);
    const { bytes, manifest } = await fetchManifest(
      registry.blobs,
      repository,
      digest,
      registry.limits.manifestBytesMax,
      signal,
    );
    if (manifest.kind !== 'index') return [];
    // Parsed and found well-formed above; read again for the annotations of the entries.
    const index = JSON.parse(bytes.toString('utf8')) as { manifests?: readonly ReferrerDescriptor[] };
    return index.manifests ?? [];
  } catch (error) {
    if (isKrakenError(error, 'tag-unknown') || isKrakenError(error, 'manifest-unknown')) return [];
    throw error;
  }
}

function indexBytes(manifests: readonly ReferrerDescriptor[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
}

/** `GET /v2/<name>/referrers/<digest>`: an index, empty when nothing is attached. */
export async function listReferrers(
  registry: Registry,
  context: RequestContext,
  repository: string,
  digestText: string,
): Promise<void> {
  const subject = parseDigest(digestText);
  const all = await currentReferrers(registry, repository, subject, context.signal);
  const wanted = context.query.get('artifactType');
  const isFiltered = wanted !== null && wanted !== '';
  const listed = isFiltered ? all.filter((entry) => entry.artifactType === wanted) : all;
  sendBuffer(context, 200, indexBytes(listed), {
    'content-type': OCI_INDEX,
    ...(isFiltered ? { 'oci-filters-applied': 'artifactType' } : {}),
  });
}

function describe(pushed: { digest: Digest; size: number; manifest: Manifest }): ReferrerDescriptor {
  const { digest, size, manifest } = pushed;
  const artifactType = manifest.artifactType ?? manifest.configMediaType;
  return {
    mediaType: manifest.mediaType,
    digest,
    size,
    ...(artifactType === undefined || artifactType === '' ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  };
}

/** Updates of one list follow each other; entries leave when their queue is empty. */
const updates = new WeakMap<Registry, Map<string, Promise<boolean>>>();

async function appendReferrer(
  registry: Registry,
  writer: RegistryWriter,
  repository: string,
  subject: Digest,
  added: ReferrerDescriptor,
): Promise<boolean> {
  const tag = referrersTag(repository, subject);
  const before = await currentReferrers(registry, repository, subject, never);
  if (before.some((entry) => entry.digest === added.digest)) return true;
  const bytes = indexBytes([...before, added]);
  const digest = digestFromHex(createHash('sha256').update(bytes).digest('hex'));
  await writer.publish(repository, digest, {
    length: bytes.byteLength,
    open: async function* () {
      yield await Promise.resolve(bytes);
    },
  });
  await registry.tags.put(tag, digest);
  // A build-index with immutable tags may answer success and keep the old value.
  return (await registry.tags.get(tag)) === digest;
}

/**
 * Note `pushed` as a referrer of its subject.
 * @returns the subject for the `OCI-Subject` header, or `undefined` when there is none or the list could not be kept: the
 *   client then maintains the fallback tag itself, as the spec says
 */
export async function recordReferrer(
  registry: Registry,
  writer: RegistryWriter,
  repository: string,
  pushed: { digest: Digest; size: number; manifest: Manifest },
): Promise<Digest | undefined> {
  const subject = pushed.manifest.subject?.digest;
  if (subject === undefined) return undefined;
  const queues = updates.get(registry) ?? new Map<string, Promise<boolean>>();
  updates.set(registry, queues);
  const key = referrersTag(repository, subject);
  const turn = (queues.get(key) ?? Promise.resolve(true)).then(() =>
    appendReferrer(registry, writer, repository, subject, describe(pushed)),
  );
  const settled = turn.catch((error: unknown) => {
    registry.logger.warn({ err: error, repository, subject }, 'referrers list not updated');
    return false;
  });
  queues.set(key, settled);
  const recorded = await settled;
  if (queues.get(key) === settled) queues.delete(key);
  return recorded ? subject : undefined;
}
