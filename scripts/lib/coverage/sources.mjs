// The TypeScript files below a folder.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** @returns {string[]} absolute paths, in order */
export function sourcesOf(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))
    .sort();
}
