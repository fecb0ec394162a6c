/** Manifest media types that Kraken understands. Never lists layer or config types: they are opaque. */

/** Docker image manifest, version 2 schema 2. */
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
/** Docker manifest list: an image for several platforms. */
export const DOCKER_MANIFEST_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
/** OCI image manifest. */
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
/** OCI image index: an image for several platforms. */
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';

/** What a manifest is made of: layers and a config, or other manifests. */
export type ManifestKind = 'image' | 'index';

const KINDS: Readonly<Record<string, ManifestKind>> = {
  [DOCKER_MANIFEST]: 'image',
  [DOCKER_MANIFEST_LIST]: 'index',
  [OCI_MANIFEST]: 'image',
  [OCI_INDEX]: 'index',
};

/** All of them, in the order in which Kraken's clients send them. */
export const MANIFEST_TYPES: readonly string[] = Object.keys(KINDS);

/** `Accept` header of manifest requests to other registries. Source: vectors registry.json `supported_manifest_types`. */
export const MANIFEST_ACCEPT = MANIFEST_TYPES.join(',');

/** `undefined` for anything that is not one of the four manifest types. */
export function manifestKind(mediaType: string): ManifestKind | undefined {
  return Object.hasOwn(KINDS, mediaType) ? KINDS[mediaType] : undefined;
}
