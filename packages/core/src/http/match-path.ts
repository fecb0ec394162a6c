/**
 * Matches a request's raw path against a route. Source: spec index-proxy-registry-config.md §0.1,
 * origin-store-backends.md §0.6, corrections 3 and 11.
 */
import { isDefaultEscaping, unescapePathParameter } from './path-escape.js';

/**
 * Segments are compared while still escaped, so `%2F` in a parameter is a slash of the parameter. Parameters are
 * decoded once; twice when the whole path is in Go's default escaping, because Go then routes on the decoded path
 * and its handlers decode again. A client that escapes twice relies on that.
 *
 * @param pattern such as `/namespace/{namespace}/blobs/{digest}`
 * @param rawPath as sent, without the query
 * @returns the parameters, or `undefined` when the path is another one. A parameter can be '' but for the last: the
 * handler answers 400 `param <name> is required`
 * @throws KrakenError `request-invalid` for a bad escape in a parameter of a matching path
 */
export function matchPath(pattern: string, rawPath: string): Record<string, string> | undefined {
  const expected = partsOf(pattern);
  const segments = rawPath.split('/');
  if (segments.length !== expected.length) return undefined;
  const captured: [name: string, raw: string][] = [];
  for (let i = 0; i < expected.length; i++) {
    const part = expected[i] as string;
    const segment = segments[i] as string;
    if (!part.startsWith('{')) {
      if (part !== segment) return undefined;
      continue;
    }
    if (segment === '' && i === expected.length - 1) return undefined;
    captured.push([part.slice(1, -1), segment]);
  }
  const twice = captured.length > 0 && rawPath.includes('%') && isDefaultEscaping(rawPath);
  const parameters: Record<string, string> = {};
  for (const [name, raw] of captured) {
    const once = unescapePathParameter(name, raw);
    parameters[name] = twice ? unescapePathParameter(name, once) : once;
  }
  return parameters;
}

/** Parts of the patterns that were asked for; a server has a few dozen of them, written in its code. */
const known = new Map<string, readonly string[]>();

function partsOf(pattern: string): readonly string[] {
  let parts = known.get(pattern);
  if (parts === undefined) {
    parts = pattern.split('/');
    known.set(pattern, parts);
  }
  return parts;
}
