/**
 * Grammar of repository names, tags and references. Owns no defaults (no implied host, `library/` or `latest`).
 * Source: OCI distribution spec 1.1 "Pulling manifests"; spec index-proxy-registry-config.md §4.1.
 *
 * Differs from Go: the tag names `.` and `..` cannot be formed, and a repository has no host part with port or upper case.
 */
import { parseDigest, type Digest } from '../content/index.js';
import { KrakenError } from '../errors/index.js';

/** Characters of a repository name. */
export const REPOSITORY_LENGTH_MAX = 255;

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

const quoted = (text: string): string => JSON.stringify(text.slice(0, 300));

/** Whether `text` is a repository name of the OCI grammar. */
export function isRepository(text: string): boolean {
  return text.length <= REPOSITORY_LENGTH_MAX && REPOSITORY.test(text);
}

/** Whether `text` is a tag of the OCI grammar. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** `text` itself. @throws KrakenError `name-invalid` */
export function parseRepository(text: string): string {
  if (isRepository(text)) return text;
  throw new KrakenError('name-invalid', `invalid repository name: ${quoted(text)}`);
}

/** `text` itself. @throws KrakenError `tag-invalid` */
export function parseTag(text: string): string {
  if (isTag(text)) return text;
  throw new KrakenError('tag-invalid', `invalid tag: ${quoted(text)}`);
}

/** `repository:tag`, the way build-index names a tag. */
export function tagName(repository: string, tag: string): string {
  return `${repository}:${tag}`;
}

/** The parts of a build-index tag. @throws KrakenError `name-invalid`, `tag-invalid` */
export function parseTagName(text: string): { repository: string; tag: string } {
  const colon = text.lastIndexOf(':');
  if (colon < 0) throw new KrakenError('tag-invalid', `expected repository:tag, got ${quoted(text)}`);
  return { repository: parseRepository(text.slice(0, colon)), tag: parseTag(text.slice(colon + 1)) };
}

/** `repository[:tag][@digest]`, taken apart. */
export interface Reference {
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** `repository[:tag][@digest]`. @throws KrakenError `name-invalid`, `tag-invalid`, `digest-invalid` */
export function parseReference(text: string): Reference {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1));
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  const tag = colon < 0 ? undefined : parseTag(named.slice(colon + 1));
  const repository = parseRepository(colon < 0 ? named : named.slice(0, colon));
  return { repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}
