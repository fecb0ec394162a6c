/**
 * Names of tags in build-index: `repo:tag`. Source: spec index-proxy-registry-config.md §2.1, README correction 13.
 *
 * As in Go any clean relative path is a name (the colon is the convention of container registries, not a rule here). Names
 * that would leave their folder, and those that no file system keeps, are refused.
 */
import { KrakenError } from '../errors/index.js';

declare const tagNameBrand: unique symbol;

/** A checked name; its text is what travels. Make one with {@link parseTagName}. */
export type TagName = string & { readonly [tagNameBrand]: true };

/** Longest name, in UTF-16 units (a path of a common file system is 4,096 bytes). */
const NAME_MAX = 1024;
/** Longest path segment in bytes of UTF-8 on common file systems. */
const SEGMENT_MAX_BYTES = 255;

/** @throws KrakenError `tag-invalid` */
export function parseTagName(text: string): TagName {
  const refuse = (why: string): KrakenError =>
    new KrakenError('tag-invalid', `invalid tag ${JSON.stringify(text.slice(0, 200))}: ${why}`);
  if (text === '') throw refuse('it is empty');
  if (text.length > NAME_MAX) throw refuse(`it is longer than ${NAME_MAX} characters`);
  if (hasForbidden(text)) throw refuse('it has a control character or a backslash');
  for (const segment of text.split('/')) {
    if (segment === '') throw refuse('it has an empty path segment');
    if (segment === '.' || segment === '..') throw refuse('it would leave its folder');
    if (utf8Length(segment) > SEGMENT_MAX_BYTES)
      throw refuse(`a path segment is longer than ${SEGMENT_MAX_BYTES} bytes`);
  }
  return text as TagName;
}

/**
 * Repository and tag of a container tag, split at its single colon; `undefined` when there is not exactly one, as in Go's
 * listing of a repository.
 */
export function splitTagName(name: string): { repository: string; tag: string } | undefined {
  const colon = name.indexOf(':');
  if (colon === -1 || name.includes(':', colon + 1)) return undefined;
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1) };
}

function hasForbidden(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f || code === 0x5c) return true;
  }
  return false;
}

function utf8Length(text: string): number {
  let length = 0;
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}
