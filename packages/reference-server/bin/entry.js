// Where the command comes from: the bundle while it is what the modules are, else the modules.
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

/** @returns whether every file that the bundle in `directory` was made from is as it was then */
export function isFresh(directory) {
  try {
    const made = JSON.parse(readFileSync(new URL('made-from.json', directory), 'utf8'));
    return made.every(([path, mtimeMs, size]) => {
      const stats = statSync(new URL(path, directory));
      return stats.mtimeMs === mtimeMs && stats.size === size;
    });
  } catch {
    // There is no bundle, or one of its files is gone.
    return false;
  }
}

/** The `main` of a module, out of the bundle below `dist` if that is fresh. */
export async function loadCommand(dist = new URL('../dist/', import.meta.url), module = new URL('cli/main.js', dist)) {
  const bundle = new URL('bundle/', dist);
  return isFresh(bundle) ? runBundle(bundle) : import(module.href);
}

function runBundle(directory) {
  const url = new URL('server.js', directory);
  const filename = fileURLToPath(url);
  // Of another version of Node the cache is rejected, which only costs time.
  const cachedData = readFileSync(new URL('server.cache', directory));
  const script = new Script(readFileSync(url, 'latin1'), { filename, cachedData });
  return script.runInThisContext()(createRequire(url), (path) => new URL(path, url).href);
}
