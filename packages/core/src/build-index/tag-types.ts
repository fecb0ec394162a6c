/**
 * Which tags name container images. Source: spec index-proxy-registry-config.md §2.3. Owns the matching; the walk over
 * manifests is `dependency-walk.ts`.
 */
import { KrakenError } from '../errors/index.js';
import { compilePattern } from './pattern.js';

/** `docker`: the digest names a manifest whose references must exist. `default`: the digest alone must exist. */
export type TagType = 'docker' | 'default';

/** One entry of `tag_types`, in order of preference. */
export interface TagTypeRule {
  /** Regular expression, matched anywhere in the tag. */
  readonly namespace: string;
  readonly type: string;
}

/** What the content of a tag is, by rules over its name. */
export interface TagTypes {
  /** The type of the first rule that matches. @throws KrakenError `request-invalid` with Go's words when none does */
  typeOf(tag: string): TagType;
}

/** @throws KrakenError `config-invalid` */
export function createTagTypes(rules: readonly TagTypeRule[]): TagTypes {
  if (rules.length === 0) throw new KrakenError('config-invalid', 'tag_types: no config specified');
  const compiled = rules.map(({ namespace, type }): { pattern: RegExp; type: TagType } => {
    if (type !== 'docker' && type !== 'default')
      throw new KrakenError('config-invalid', `tag_types: type ${type} is undefined`);
    return { pattern: compilePattern(namespace, 'tag_types'), type };
  });
  return {
    typeOf(tag) {
      const rule = compiled.find(({ pattern }) => pattern.test(tag));
      if (rule === undefined) throw new KrakenError('request-invalid', 'no matches for namespace');
      return rule.type;
    },
  };
}
