// Where the command comes from: the bundle while it is what the modules are, else the modules. CommonJS, as it starts sooner.
'use strict';
const { readFileSync, statSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');

/** @returns whether every file that the bundle in `directory` was made from is as it was then */
function isFresh(directory) {
  try {
    const made = JSON.parse(readFileSync(join(directory, 'made-from.json'), 'utf8'));
    return made.every(([path, mtimeMs, size]) => {
      const stats = statSync(`${directory}/${path}`);
      return stats.mtimeMs === mtimeMs && stats.size === size;
    });
  } catch {
    // There is no bundle, or one of its files is gone.
    return false;
  }
}

/** The `main` of a module, out of the bundle below `dist` if that is fresh. */
async function loadCommand(dist = join(__dirname, '../dist'), module = join(dist, 'cli/main.js')) {
  const bundle = join(dist, 'bundle');
  return isFresh(bundle) ? runBundle(bundle) : import(pathToFileURL(module).href);
}

function runBundle(directory) {
  const filename = join(directory, 'server.js');
  // Of another version of Node the cache is rejected, which only costs time.
  const cachedData = readFileSync(join(directory, 'server.cache'));
  const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData });
  return script.runInThisContext()(createRequire(filename), (path) => pathToFileURL(join(directory, path)).href);
}

module.exports = { isFresh, loadCommand };
