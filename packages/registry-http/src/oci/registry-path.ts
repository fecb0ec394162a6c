/**
 * What a `/v2/` path names. Owns the shape of the paths, not the grammar of the names in them (core/oci does).
 * Source: OCI distribution spec 1.1 "Endpoints".
 */
import { KrakenError } from '@kraken/core/errors';

/** Names are as they came: validate before use. */
export type RegistryPath =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: string }
  | { readonly kind: 'referrers'; readonly name: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly name: string }
  | { readonly kind: 'upload'; readonly name: string; readonly id: string };

function decoded(rawPath: string): string {
  try {
    return decodeURIComponent(rawPath);
  } catch (error) {
    throw new KrakenError('request-invalid', 'the path has a bad percent escape', { cause: error });
  }
}

/**
 * Read from the end, because a repository name may itself contain `manifests` or `blobs`.
 * @returns `undefined` for a path that is no registry endpoint
 * @throws KrakenError `request-invalid`
 */
export function parseRegistryPath(rawPath: string): RegistryPath | undefined {
  const path = decoded(rawPath);
  if (path === '/v2/' || path === '/v2') return { kind: 'base' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  if (!path.startsWith('/v2/')) return undefined;
  const parts = path.slice('/v2/'.length).split('/');
  const last = parts.at(-1) ?? '';
  const before = parts.at(-2);
  /** The name that is left without the final `count` segments. */
  const named = <T>(count: number, make: (name: string) => T): T | undefined =>
    parts.length > count ? make(parts.slice(0, -count).join('/')) : undefined;

  if (before === 'tags' && last === 'list') return named(2, (name) => ({ kind: 'tags', name }));
  if (before === 'uploads' && parts.at(-3) === 'blobs') {
    return named(3, (name) => (last === '' ? { kind: 'uploads', name } : { kind: 'upload', name, id: last }));
  }
  if (before === 'blobs' && last === 'uploads') return named(2, (name) => ({ kind: 'uploads', name }));
  if (last === '') return undefined;
  switch (before) {
    case 'manifests':
      return named(2, (name) => ({ kind: 'manifest', name, reference: last }));
    case 'blobs':
      return named(2, (name) => ({ kind: 'blob', name, digest: last }));
    case 'referrers':
      return named(2, (name) => ({ kind: 'referrers', name, digest: last }));
    case undefined:
    default:
      return undefined;
  }
}
