// The lines of a source file that the compiler made code of, read from its source map.
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/**
 * @param {string} path of a `.ts` file below `sources`, compiled into the `dist` beside it
 * @returns {number[]} from 1, in order
 */
export function codeLines(path, sources) {
  const compiled = join(dirname(sources), 'dist', `${relative(sources, path).replace(/\.ts$/, '')}.js`);
  const { mappings } = JSON.parse(readFileSync(`${compiled}.map`, 'utf8'));
  const text = readFileSync(compiled, 'utf8').split('\n');
  const lines = new Set();
  let sourceLine = 0;
  for (const [n, group] of mappings.split(';').entries()) {
    for (const segment of group === '' ? [] : group.split(',')) {
      const fields = decode(segment);
      if (fields.length < 4) continue;
      sourceLine += fields[2];
      // Comments are copied with mappings, and a brace that closes runs when what is before it does.
      if (isCode(text[n])) lines.add(sourceLine + 1);
    }
  }
  return [...lines].sort((a, b) => a - b);
}

function isCode(line = '') {
  return !/^\s*(\/\/|\/\*|\*|$)/.test(line) && /[^\s{}()[\];,]/.test(line);
}

/** Base-64 numbers of variable length, the lowest bit the sign. */
function decode(segment) {
  const values = [];
  let value = 0;
  let shift = 0;
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value |= (bits & 31) << shift;
    if ((bits & 32) !== 0) {
      shift += 5;
      continue;
    }
    values.push((value & 1) === 1 ? -(value >> 1) : value >> 1);
    value = shift = 0;
  }
  return values;
}
