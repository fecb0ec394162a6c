// Everything in `docs/` that follows from the saved results: the plots, and the results in docs/SIMULATOR.md.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plotsOf } from './plots.mjs';
import { resultsOf } from './results.mjs';

const BEGIN = '<!-- results: written by node scripts/draw-simulations.mjs -->';
const END = '<!-- end of results -->';

/** @returns what is to be in `docs`, by path below it */
export function documentsOf(docs) {
  const saved = readdirSync(join(docs, 'simulations'))
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(docs, 'simulations', name), 'utf8')))
    // Other reports lie there too.
    .filter(({ scenario, runs }) => typeof scenario === 'string' && Array.isArray(runs));
  const documents = {};
  for (const scenario of saved)
    for (const [name, text] of Object.entries(plotsOf(scenario))) documents[`simulations/${name}`] = text;
  documents['SIMULATOR.md'] = withResults(readFileSync(join(docs, 'SIMULATOR.md'), 'utf8'), resultsOf(saved));
  return documents;
}

/** What of it is not there or differs; also plots that nothing gives any more. */
export function outOfDate(docs) {
  const documents = documentsOf(docs);
  const stale = Object.keys(documents).filter((name) => readOld(join(docs, name)) !== documents[name]);
  const extra = readdirSync(join(docs, 'simulations'))
    .map((name) => `simulations/${name}`)
    .filter((name) => name.endsWith('.svg') && !Object.hasOwn(documents, name));
  return [...stale, ...extra];
}

/** Write it. @returns the names of those that changed */
export function drawAll(docs) {
  mkdirSync(join(docs, 'simulations'), { recursive: true });
  const changed = Object.entries(documentsOf(docs)).filter(([name, text]) => readOld(join(docs, name)) !== text);
  for (const [name, text] of changed) writeFileSync(join(docs, name), text);
  return changed.map(([name]) => name);
}

function withResults(page, results) {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`docs/SIMULATOR.md lacks the line ${BEGIN} or ${END}`);
  return `${before}${BEGIN}\n\n${results}\n${END}${after}`;
}

function readOld(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
