// `npm test`: sets a fresh checkout up and runs every test that needs nothing but npm packages.
// Arguments are passed to the test runner, e.g. `npm test -- --match '*handshake*'`.
import { ensureBuilt } from './lib/ensure-built.mjs';
import { unitSuite } from './lib/quick-suites.mjs';
import { finish, runSuites } from './lib/suites.mjs';

ensureBuilt();
finish(await runSuites([{ ...unitSuite, args: [...unitSuite.args, ...process.argv.slice(2)] }]));
