/** Names ↔ object paths of a backend, through Kraken's pathers, with the checks that keep paths inside the root. */
import { createPather } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { posix } from 'node:path';

/** The two directions between names and the paths of objects. */
export interface ObjectPaths {
  /** Absolute path (`/root/…`) of a name. @throws KrakenError `request-invalid` */
  pathOf(name: string): string;
  /** The name behind a path, `undefined` for a path that the pather did not make. */
  nameOf(path: string): string | undefined;
  /** Directory that a list prefix denotes. @throws KrakenError `request-invalid` */
  directoryOf(prefix: string): string;
}

/**
 * @param namePath pather id: `identity`, `sharded_docker_blob` or `docker_tag`
 * @param root absolute path
 * @throws KrakenError `config-invalid` for an unknown id
 */
export function createObjectPaths(namePath: string, root: string): ObjectPaths {
  let pather: ReturnType<typeof createPather>;
  try {
    pather = createPather(namePath, root);
  } catch (cause) {
    throw new KrakenError('config-invalid', `name_path: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  const base = pather.basePath();
  const inside = (path: string): string => {
    const clean = posix.normalize(path);
    const isInside = base === '' || base === '/' || clean === base || clean.startsWith(`${base}/`);
    if (clean.includes('\0') || !isInside || clean.split('/').includes('..')) {
      throw new KrakenError('request-invalid', `name leaves the root: ${JSON.stringify(path)}`);
    }
    return clean;
  };
  return {
    pathOf: (name) => {
      if (name === '' || name.split('/').some((part) => part === '..' || part === '.')) {
        throw new KrakenError('request-invalid', `invalid name: ${JSON.stringify(name)}`);
      }
      return inside(pather.blobPath(name));
    },
    nameOf: (path) => {
      try {
        return pather.nameFromBlobPath(path);
      } catch {
        return undefined; // some other object under the same root
      }
    },
    directoryOf: (prefix) => inside(posix.join(base === '' ? '/' : base, prefix)),
  };
}
