// `node scripts/draw-simulations.mjs [--check] [--docs DIR]`: what the documents show of simulations, drawn again from the
// committed results: the plots in docs/simulations/ and the results in docs/SIMULATOR.md. With --check only says which are
// out of date (exit 1). Runs no simulation and needs no build.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawAll, outOfDate } from './lib/sim/documents.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: flags } = parseArgs({
  options: { check: { type: 'boolean', default: false }, docs: { type: 'string', default: join(root, 'docs') } },
});

if (flags.check) {
  const names = outOfDate(flags.docs);
  for (const name of names) console.error(`docs/${name} is out of date; run: node scripts/draw-simulations.mjs`);
  if (names.length > 0) process.exitCode = 1;
} else {
  for (const name of drawAll(flags.docs)) console.log(`docs/${name} written`);
}
