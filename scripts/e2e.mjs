// `npm run e2e`: the end-to-end suites, each file by itself with a time limit. Arguments choose files by part of their name.
import { e2eSuites } from './lib/e2e-suites.mjs';
import { ensureBuilt } from './lib/ensure-built.mjs';
import { finish, runSuites } from './lib/suites.mjs';

ensureBuilt();
const wanted = process.argv.slice(2);
finish(await runSuites(e2eSuites.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)))));
