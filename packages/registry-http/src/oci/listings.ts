/**
 * Tags of a repository and repositories of the cluster. Owns paging and the `Link` header.
 * Source: OCI distribution spec 1.1 "Listing tags"; spec index-proxy-registry-config.md §3.4.
 *
 * Differs from Go: pages work, `last` is a name, repositories come once and sorted, an unknown repository is 404.
 */
import { KrakenError } from '@kraken/core/errors';
import { nextLink, pageOf, parsePageQuery, type PageQuery } from '@kraken/core/oci';
import type { CancelSignal } from '@kraken/core/ports';
import { sendJson, type RequestContext } from '../http/index.js';
import type { Registry } from './registry-options.js';

function pageQuery(context: RequestContext): PageQuery {
  return parsePageQuery(context.query.get('n'), context.query.get('last'));
}

function sendPage(
  context: RequestContext,
  path: string,
  query: PageQuery,
  names: readonly string[],
  body: (page: readonly string[]) => unknown,
): void {
  const page = pageOf(names, query);
  const headers = page.next === undefined || query.n === undefined ? {} : { link: nextLink(path, query.n, page.next) };
  sendJson(context, 200, body(page.names), headers);
}

/** `GET /v2/<name>/tags/list`. */
export async function listTags(registry: Registry, context: RequestContext, repository: string): Promise<void> {
  const query = pageQuery(context);
  const tags = await registry.tags.listRepository(repository, context.signal);
  if (tags.length === 0)
    throw new KrakenError('repository-unknown', `repository name not known to registry: ${repository}`);
  sendPage(context, `/v2/${repository}/tags/list`, query, [...new Set(tags)], (page) => ({
    name: repository,
    tags: page,
  }));
}

async function repositories(registry: Registry, signal: CancelSignal): Promise<readonly string[]> {
  const found = new Set<string>();
  const { catalogTagsMax } = registry.limits;
  let read = 0;
  let offset: string | undefined;
  do {
    const page: { names: readonly string[]; offset?: string } = await registry.tags.list(
      '',
      offset === undefined ? {} : { offset },
      signal,
    );
    read += page.names.length;
    if (read > catalogTagsMax) throw new KrakenError('unsupported', `the catalog has more than ${catalogTagsMax} tags`);
    for (const name of page.names) {
      const colon = name.lastIndexOf(':');
      if (colon > 0) found.add(name.slice(0, colon));
    }
    // A page that leads back to itself would never end.
    if (page.offset === offset) break;
    offset = page.offset;
  } while (offset !== undefined && offset !== '');
  return [...found];
}

/** `GET /v2/_catalog`. */
export async function listRepositories(registry: Registry, context: RequestContext): Promise<void> {
  const query = pageQuery(context);
  const names = await repositories(registry, context.signal);
  sendPage(context, '/v2/_catalog', query, names, (page) => ({ repositories: page }));
}
