/** One page out of an ascending list of paths. The continuation is the last path of the page. */
import type { ListPage } from '@kraken/core/ports';

/**
 * One page of a listing.
 * @param paths ascending
 * @param nameOf maps a path to a name; `undefined` skips it
 */
export function pageOf(
  paths: Iterable<string>,
  nameOf: (path: string) => string | undefined,
  options: { limit?: number; continuation?: string } = {},
): ListPage {
  const names: string[] = [];
  let last: string | undefined;
  for (const path of paths) {
    if (options.continuation !== undefined && path <= options.continuation) continue;
    const name = nameOf(path);
    if (name === undefined) continue;
    if (options.limit !== undefined && names.length >= options.limit) {
      return last === undefined ? { names } : { names, continuation: last };
    }
    names.push(name);
    last = path;
  }
  return { names };
}
