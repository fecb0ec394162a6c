/**
 * What a manifest is and what it refers to. Owns classification and reference extraction; never checks that the
 * references exist and never changes the bytes. Source: spec index-proxy-registry-config.md §4.2, §2.3; vectors
 * registry.json `manifest`.
 *
 * Like Go's decoder: keys match whatever their case and the last of duplicates wins. Differs from Go: a reference that is
 * no sha256 digest makes the manifest invalid at once, and manifests over 4 MiB are refused.
 */
import { parseDigest, readUtf8, type Digest } from '../content/index.js';
import { KrakenError } from '../errors/index.js';
import { manifestKind, OCI_INDEX, OCI_MANIFEST, type ManifestKind } from './media-types.js';

/** Bytes. Source: OCI distribution spec 1.1 "Pushing manifests". */
export const MANIFEST_BYTES_MAX = 4_194_304;

/** A reference from a manifest to a blob or to another manifest. */
export interface Descriptor {
  /** Empty when the manifest does not say. */
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes; 0 when the manifest does not say. */
  readonly size: number;
  readonly artifactType?: string;
}

/** What a manifest says, whichever of the four types it is. */
export interface Manifest {
  readonly mediaType: string;
  readonly kind: ManifestKind;
  /** Config and layers in order, or child manifests. May repeat. */
  readonly references: readonly Digest[];
  readonly descriptors: readonly Descriptor[];
  /** The manifest that this one is attached to. Need not exist. */
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  /** Media type of the config of an image. */
  readonly configMediaType?: string;
  /** Text values only. */
  readonly annotations?: Readonly<Record<string, string>>;
}

type Fields = ReadonlyMap<string, unknown>;

const invalid = (message: string): KrakenError => new KrakenError('manifest-invalid', message);

/** The value under its lower-case key: Go matches keys whatever their case, the last one wins. */
function fieldsOf(value: unknown, what: string): Fields {
  if (value === null || value === undefined) return new Map();
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(`${what}: expected an object`);
  return new Map(Object.entries(value).map(([key, field]) => [key.toLowerCase(), field]));
}

/** A missing key and `null` read as the zero value, as in Go. */
function text(fields: Fields, key: string, what: string): string {
  const value = fields.get(key.toLowerCase()) ?? '';
  if (typeof value !== 'string') throw invalid(`${what}.${key}: expected a string`);
  return value;
}

function integer(fields: Fields, key: string, what: string): number {
  const value = fields.get(key.toLowerCase()) ?? 0;
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw invalid(`${what}.${key}: expected an integer`);
  return value;
}

function list(fields: Fields, key: string): readonly unknown[] {
  const value = fields.get(key) ?? [];
  if (!Array.isArray(value)) throw invalid(`${key}: expected a list`);
  return value;
}

function descriptor(value: unknown, what: string): Descriptor {
  const fields = fieldsOf(value, what);
  const mediaType = text(fields, 'mediaType', what);
  const size = integer(fields, 'size', what);
  const artifactType = text(fields, 'artifactType', what);
  let digest: Digest;
  try {
    digest = parseDigest(text(fields, 'digest', what));
  } catch (error) {
    throw new KrakenError(
      'manifest-invalid',
      `parse digest: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  return { mediaType, digest, size, ...(artifactType === '' ? {} : { artifactType }) };
}

function annotationsOf(fields: Fields): Readonly<Record<string, string>> | undefined {
  const value = fields.get('annotations');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function decode(body: Uint8Array | string): unknown {
  const size = typeof body === 'string' ? body.length : body.byteLength;
  if (size > MANIFEST_BYTES_MAX) {
    throw new KrakenError(
      'manifest-too-large',
      `expected at most ${MANIFEST_BYTES_MAX} bytes of manifest, got ${size}`,
    );
  }
  // A text decoder would swallow the byte order mark; JSON has none.
  if (typeof body !== 'string' && body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf) {
    throw invalid('a manifest starts with a byte order mark');
  }
  try {
    return JSON.parse(typeof body === 'string' ? body : textOf(body)) as unknown;
  } catch (error) {
    if (error instanceof KrakenError) throw error;
    throw new KrakenError('manifest-invalid', 'a manifest is not JSON', { cause: error });
  }
}

function textOf(body: Uint8Array): string {
  const text = readUtf8(body, 0, body.length);
  if (text === undefined) throw invalid('a manifest is not UTF-8');
  return text;
}

/** `type/subtype` without parameters, lower case; empty when it is none of the four manifest types. */
function declaredType(contentType: string | undefined): string {
  const bare = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return manifestKind(bare) === undefined ? '' : bare;
}

/** Go's order: a list if it has children, else an image. */
function inferredType(fields: Fields): string {
  return list(fields, 'manifests').length > 0 ? OCI_INDEX : OCI_MANIFEST;
}

/**
 * Read a Docker v2 manifest or list, an OCI manifest or index.
 *
 * @param contentType of the request that brought it: decides when the body has no `mediaType`, must agree when it has one.
 *   Types that are no manifest types (`application/json`) are ignored.
 * @throws KrakenError `manifest-invalid`, `manifest-too-large`
 */
export function parseManifest(body: Uint8Array | string, contentType?: string): Manifest {
  const fields = fieldsOf(decode(body), 'manifest');
  const version = integer(fields, 'schemaVersion', 'manifest');
  if (version !== 2) throw invalid(`unsupported schema version: ${version}`);
  const stated = text(fields, 'mediaType', 'manifest');
  const declared = declaredType(contentType);
  if (stated !== '' && declared !== '' && stated !== declared) {
    throw invalid(`Content-Type ${declared} does not agree with the manifest's mediaType ${stated.slice(0, 200)}`);
  }
  const mediaType = stated !== '' ? stated : declared !== '' ? declared : inferredType(fields);
  const kind = manifestKind(mediaType);
  if (kind === undefined) throw invalid(`unknown manifest mediatype: ${mediaType.slice(0, 200)}`);

  const descriptors =
    kind === 'index'
      ? list(fields, 'manifests').map((child, index) => descriptor(child, `manifests[${index}]`))
      : [
          descriptor(fields.get('config'), 'config'),
          ...list(fields, 'layers').map((layer, index) => descriptor(layer, `layers[${index}]`)),
        ];
  const subjectField = fields.get('subject');
  const artifactType = text(fields, 'artifactType', 'manifest');
  const annotations = annotationsOf(fields);
  const config = kind === 'image' ? descriptors[0] : undefined;
  return {
    mediaType,
    kind,
    descriptors,
    references: descriptors.map((entry) => entry.digest),
    ...(subjectField === undefined || subjectField === null ? {} : { subject: descriptor(subjectField, 'subject') }),
    ...(artifactType === '' ? {} : { artifactType }),
    ...(config === undefined ? {} : { configMediaType: config.mediaType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}
