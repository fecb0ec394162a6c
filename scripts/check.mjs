// `npm run check`: everything quick, the one command before a commit. CI lints what has not changed, too.
import { ensureBuilt } from './lib/ensure-built.mjs';
import { changedLintSuite, formSuites, unitSuite } from './lib/quick-suites.mjs';
import { finish, runSuites, sum } from './lib/suites.mjs';

ensureBuilt();
// Side by side: the rules keep one core busy, and the tests wait for clocks and disks a good part of their time.
finish(sum(await Promise.all([runSuites([changedLintSuite, ...formSuites]), runSuites([unitSuite])])));
