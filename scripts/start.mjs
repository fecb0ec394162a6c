// `npm start`: sets a fresh checkout up and runs the demonstration. Arguments go to it, e.g. `npm start -- --exit`.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensureBuilt, root } from './lib/ensure-built.mjs';

ensureBuilt();
const child = spawn(process.execPath, [join(root, 'packages/reference-server/bin/kraken-reference-server.cjs'), 'demo', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
