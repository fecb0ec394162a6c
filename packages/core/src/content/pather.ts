/**
 * Where a storage backend keeps a name: Kraken's three layouts. Source: spec origin-store-backends.md §7.4.
 *
 * Differs from Go: names whose path would leave the layout are refused instead of written elsewhere; the root is
 * cleaned once, so that paths lead back to names for every spelling of it; the reverse takes the root literally.
 */
import { KrakenError } from '../errors/index.js';
import { joinPath } from './clean-path.js';

/** Maps names to object paths of a backend and back. */
export interface Pather {
  /** The path below which all names lie, cleaned; '' for an empty root. */
  basePath(): string;
  /** The path of a name. @throws KrakenError `request-invalid` when the layout has no place for the name */
  blobPath(name: string): string;
  /** The name at a path. @throws KrakenError `request-invalid` when the path is not of this layout */
  nameFromBlobPath(path: string): string;
}

const SPECIAL = /[\\^$.*+?()[\]{}|/-]/g;

/**
 * @param id `identity`, `sharded_docker_blob` or `docker_tag`
 * @param root directory or key prefix of the backend
 * @throws KrakenError `request-invalid` for another id
 */
export function createPather(id: string, root: string): Pather {
  switch (id) {
    case 'docker_tag':
      return dockerTagPather(root);
    case 'sharded_docker_blob':
      return shardedDockerBlobPather(root);
    case 'identity':
      return identityPather(root);
    case '':
      throw invalid('invalid pather identifier: empty');
    default:
      throw invalid(`unknown pather identifier: ${id}`);
  }
}

/** `repo:tag` at `<base>/<repo>/_manifests/tags/<tag>/current/link`. */
function dockerTagPather(root: string): Pather {
  const base = joinPath(root, 'docker/registry/v2/repositories');
  const pattern = new RegExp(`${literal(base)}/(.+)/_manifests/tags/(.+)/current/link`);
  const nameAt = (path: string): string => {
    const match = pattern.exec(path);
    if (match === null) throw invalid('invalid docker tag path format');
    return `${match[1]}:${match[2]}`;
  };
  return createLayout(base, nameAt, (name) => {
    const parts = name.split(':');
    if (parts.length !== 2) throw invalid("name must be in format 'repo:tag'");
    const [repo, tag] = parts as [string, string];
    if (repo === '') throw invalid('repo must be non-empty');
    if (tag === '') throw invalid('tag must be non-empty');
    return joinPath(base, repo, '_manifests/tags', tag, 'current/link');
  });
}

/** A hex name at `<base>/sha256/<its first two characters>/<name>/data`. */
function shardedDockerBlobPather(root: string): Pather {
  const base = joinPath(root, 'docker/registry/v2/blobs');
  const pattern = new RegExp(`${literal(base)}/sha256/../(.+)/data`);
  const nameAt = (path: string): string => {
    const name = pattern.exec(path)?.[1];
    if (name === undefined) throw invalid('invalid sharded docker blob path format');
    return name;
  };
  return createLayout(base, nameAt, (name) => {
    if (name.length <= 2) throw invalid('name is too short, must be > 2 characters');
    // Kraken shards by bytes: beyond ASCII two characters are not two bytes.
    if (!/^[!-~]{2}/.test(name)) throw invalid('name must start with two ASCII characters');
    return joinPath(base, 'sha256', name.slice(0, 2), name, 'data');
  });
}

/** A name at `<root>/<name>`. */
function identityPather(root: string): Pather {
  const base = joinPath(root);
  const prefix = prefixOf(base);
  const nameAt = (path: string): string => {
    if (!path.startsWith(prefix) || path.length === prefix.length) throw invalid('invalid identity path format');
    return path.slice(prefix.length);
  };
  return createLayout(base, nameAt, (name) => joinPath(base, name));
}

/** A name is accepted when its path lies below the base and leads back to a name. */
function createLayout(base: string, nameAt: (path: string) => string, pathOf: (name: string) => string): Pather {
  const prefix = prefixOf(base);
  return {
    basePath: () => base,
    nameFromBlobPath: nameAt,
    blobPath: (name) => {
      const path = pathOf(name);
      const relative = path.slice(prefix.length);
      if (!path.startsWith(prefix) || relative === '' || relative === '..' || relative.startsWith('../')) {
        throw invalid(`name leaves its directory: ${JSON.stringify(name.slice(0, 200))}`);
      }
      nameAt(path);
      return path;
    },
  };
}

function prefixOf(base: string): string {
  return base === '' || base === '/' ? base : `${base}/`;
}

function literal(text: string): string {
  return text.replace(SPECIAL, '\\$&');
}

function invalid(message: string): KrakenError {
  return new KrakenError('request-invalid', message);
}
