// `npm run check`: everything quick, the one command before a commit.
import { ensureBuilt } from './lib/ensure-built.mjs';
import { ruleSuites, unitSuite } from './lib/quick-suites.mjs';
import { finish, runSuites, sum } from './lib/suites.mjs';

ensureBuilt();
// What has not changed is not linted again: a rule that looks into other files may miss something until CI, which remembers nothing.
const remembering = ['--cache', '--cache-strategy', 'content', '--cache-location', 'node_modules/.cache/eslint/'];
const rules = ruleSuites.map((suite) => (suite.name === 'lint' ? { ...suite, args: [...suite.args, ...remembering] } : suite));
// Side by side: the rules keep one core busy, and the tests wait for clocks and disks a good part of their time.
finish(sum(await Promise.all([runSuites(rules), runSuites([unitSuite])])));
