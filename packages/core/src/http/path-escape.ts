/** Percent escapes of paths as Go writes and reads them. Source: spec index-proxy-registry-config.md §0.1. */
import { KrakenError } from '../errors/index.js';

const LONE_SURROGATE = /\p{Surrogate}/gu;
/** What `encodeURIComponent` keeps and Go escapes. */
const KEPT_TOO_MUCH = /[!'()*]/g;
/** What `encodeURIComponent` escapes and Go keeps in a segment: `$ & + : = @`. */
const ESCAPED_TOO_MUCH = /%(?:24|26|2B|3A|3D|40)/g;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2}).{0,2}/su;
const DEFAULT_PATH = /^(?:[A-Za-z0-9\-_.~$&+,/:;=@]|%[0-9A-F]{2})*$/;
/** Escapes of characters that Go's default form leaves alone. */
const NEEDLESS_ESCAPE = /%(?:2[46BCDEF]|3[0-9ABD]|4[0-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])/;

/** One path segment escaped like Go's `url.PathEscape`: `/ ; , ?`, `%`, space and non-ASCII escaped, `: @ & = + $` kept. */
export function escapePathSegment(text: string): string {
  return encodeURIComponent(text.replace(LONE_SURROGATE, '\ufffd'))
    .replace(KEPT_TOO_MUCH, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(ESCAPED_TOO_MUCH, decodeURIComponent);
}

/**
 * Decodes the escapes of a parameter once.
 * @param name of the parameter, for the message
 * @throws KrakenError `request-invalid`, `path unescape <name>: …` in Go's wording
 */
export function unescapePathParameter(name: string, raw: string): string {
  if (!raw.includes('%')) return raw;
  const bad = BAD_ESCAPE.exec(raw);
  if (bad !== null) {
    throw new KrakenError('request-invalid', `path unescape ${name}: invalid URL escape ${JSON.stringify(bad[0])}`);
  }
  try {
    return decodeURIComponent(raw);
  } catch (cause) {
    throw new KrakenError('request-invalid', `path unescape ${name}: invalid UTF-8`, { cause });
  }
}

/** Whether a raw path is spelled exactly as Go would escape its decoded form. */
export function isDefaultEscaping(rawPath: string): boolean {
  return DEFAULT_PATH.test(rawPath) && !NEEDLESS_ESCAPE.test(rawPath);
}
