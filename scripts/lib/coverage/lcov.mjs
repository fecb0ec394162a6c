// Reads what a coverage tool wrote: how often each line ran.
import { resolve } from 'node:path';

/** @returns {Map<string, Map<number, number>>} absolute path → line → times */
export function readLcov(text, root) {
  const files = new Map();
  let lines;
  for (const row of text.split('\n')) {
    if (row.startsWith('SF:')) files.set(resolve(root, row.slice(3)), (lines = new Map()));
    else if (row.startsWith('DA:')) {
      const [line, times] = row.slice(3).split(',').map(Number);
      lines.set(line, times);
    }
  }
  return files;
}
