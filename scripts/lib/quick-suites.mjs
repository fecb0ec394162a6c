// The suites that need nothing but npm packages: what `npm test` and the first half of CI run.
const ava = (config, ...args) => ({ command: process.execPath, args: ['node_modules/ava/entrypoints/cli.mjs', '--tap', '--config', config, ...args], tap: true });

/** Unit, property, vector and fixed-seed simulation tests. */
export const unitSuite = { name: 'unit, property, vectors, fixed seeds', ...ava('ava.config.js'), limitSeconds: 240 };

const lintSuite = { name: 'lint', command: process.execPath, args: ['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0'], limitSeconds: 300 };

/** The same, but what has not changed is not linted again: a rule that looks into other files may miss something. */
export const changedLintSuite = { ...lintSuite, args: [...lintSuite.args, '--cache', '--cache-strategy', 'content', '--cache-location', 'node_modules/.cache/eslint/'] };

/** Import rules, formatting, and that every export is described. */
export const formSuites = [
  { name: 'format', command: process.execPath, args: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', 'packages/*/src/**/*.ts', 'packages/*/test/**/*.ts'], limitSeconds: 60 },
  { name: 'import rules', command: process.execPath, args: ['node_modules/dependency-cruiser/bin/dependency-cruise.mjs', 'packages/*/src', '--config', '.dependency-cruiser.cjs', '--output-type', 'err'], limitSeconds: 60 },
  { name: 'API reference', command: process.execPath, args: ['node_modules/typedoc/bin/typedoc', '--emit', 'none'], limitSeconds: 120 },
];

/** All rules. */
export const ruleSuites = [lintSuite, ...formSuites];

export { ava };
