// What `.ci/run` runs after installing system packages: quick suites first, the slowest last.
import { e2eSuites } from './lib/e2e-suites.mjs';
import { ensureBuilt } from './lib/ensure-built.mjs';
import { ruleSuites } from './lib/quick-suites.mjs';
import { simSuites } from './lib/sim-suites.mjs';
import { finish, runSuites } from './lib/suites.mjs';

process.env.CI ??= 'true';
ensureBuilt();
finish(
  await runSuites([
    ...ruleSuites,
    // The README's own command; its counts are printed by itself.
    { name: 'npm test', command: 'npm', args: ['test', '--silent'], tap: false, limitSeconds: 420, counts: true },
    { name: 'coverage of core by its own tests', command: process.execPath, args: ['scripts/coverage.mjs'], limitSeconds: 180 },
    ...simSuites,
    ...e2eSuites,
  ]),
);
