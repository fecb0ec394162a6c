export { parseGoBool } from '../content/index.js';
export { matchPath } from './match-path.js';
export { escapePathSegment, isDefaultEscaping, unescapePathParameter } from './path-escape.js';
export { parseContentRange, parseOciContentRange, parseRangeHeader, type ByteRange } from './ranges.js';
