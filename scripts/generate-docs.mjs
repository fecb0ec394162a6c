// `node scripts/generate-docs.mjs [--check] [--docs DIR]`: the documents that are made from code.
// Writes docs/CONFIG.md, docs/ERRORS.md and docs/VECTORS.md; with --check only says which are out of date (exit 1).
// Needs a build.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ERRORS } from '@kraken/core/errors';
import { configManual } from './lib/config-manual.mjs';
import { errorManual } from './lib/error-manual.mjs';
import { vectorList } from './lib/vector-list.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: flags } = parseArgs({
  options: { check: { type: 'boolean', default: false }, docs: { type: 'string', default: join(root, 'docs') } },
});

const schema = await import(
  new URL('../packages/reference-server/dist/config/component-keys.js', import.meta.url).href
);
const documents = {
  'CONFIG.md': configManual(schema),
  'ERRORS.md': errorManual(ERRORS),
  'VECTORS.md': vectorList(root),
};

const outOfDate = Object.entries(documents).filter(([name, text]) => readOld(join(flags.docs, name)) !== text);
if (flags.check) {
  for (const [name] of outOfDate) console.error(`docs/${name} is out of date; run: node scripts/generate-docs.mjs`);
  if (outOfDate.length > 0) process.exitCode = 1;
} else {
  mkdirSync(flags.docs, { recursive: true });
  for (const [name, text] of outOfDate) {
    writeFileSync(join(flags.docs, name), text);
    console.log(`docs/${name} written`);
  }
}

function readOld(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
