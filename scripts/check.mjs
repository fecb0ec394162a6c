// `npm run check`: everything quick, the one command before a commit.
import { ensureBuilt } from './lib/ensure-built.mjs';
import { ruleSuites, unitSuite } from './lib/quick-suites.mjs';
import { finish, runSuites } from './lib/suites.mjs';

ensureBuilt();
finish(await runSuites([...ruleSuites, unitSuite]));
