/**
 * Pages of sorted names by `n` and `last`. Owns the query grammar, the cut and the `Link` header.
 * Source: OCI distribution spec 1.1 "Listing tags".
 */
import { KrakenError } from '../errors/index.js';

/** Which part of a list is asked for. */
export interface PageQuery {
  /** Names wanted; absent: all. */
  readonly n?: number;
  /** Names after this one. */
  readonly last?: string;
}

/** @throws KrakenError `request-invalid` when `n` is not a non-negative integer */
export function parsePageQuery(n: string | null, last: string | null): PageQuery {
  if (n !== null && n !== '' && !/^\d{1,9}$/.test(n)) {
    throw new KrakenError(
      'request-invalid',
      `invalid page size n: expected a non-negative integer, got ${JSON.stringify(n.slice(0, 40))}`,
    );
  }
  return {
    ...(n === null || n === '' ? {} : { n: Number(n) }),
    ...(last === null || last === '' ? {} : { last }),
  };
}

/** Order of names on the wire: by code unit, which is ASCII order for names that the grammar allows. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * One page. `next` is the `last` of the following page; absent on the final one, and always when `n` is 0.
 * @param names in any order, without duplicates
 */
export function pageOf(names: readonly string[], query: PageQuery): { names: readonly string[]; next?: string } {
  const { n, last } = query;
  const sorted = [...names].sort(compareNames);
  const rest = last === undefined ? sorted : sorted.filter((name) => name > last);
  if (n === undefined || n >= rest.length) return { names: rest };
  const page = rest.slice(0, n);
  const next = page.at(-1);
  return next === undefined ? { names: page } : { names: page, next };
}

/** `Link` header value to the page after `next`. `path` is used as it is. */
export function nextLink(path: string, n: number, next: string): string {
  return `<${path}?n=${n}&last=${encodeURIComponent(next)}>; rel="next"`;
}
