export { manifestBlobsUnknown, ociErrorBody, ociErrorsOf, type OciError } from './error-body.js';
export { MANIFEST_BYTES_MAX, parseManifest, type Descriptor, type Manifest } from './manifest.js';
export {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  MANIFEST_ACCEPT,
  MANIFEST_TYPES,
  manifestKind,
  OCI_INDEX,
  OCI_MANIFEST,
  type ManifestKind,
} from './media-types.js';
export {
  isRepository,
  isTag,
  parseReference,
  parseRepository,
  parseTag,
  parseTagName,
  REPOSITORY_LENGTH_MAX,
  tagName,
  type Reference,
} from './names.js';
export { compareNames, nextLink, pageOf, parsePageQuery, type PageQuery } from './pagination.js';
