// Makes a fresh checkout runnable: installs the locked dependencies and builds, each only when needed.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';

export const root = new URL('../..', import.meta.url).pathname;

/** Longer than the slowest installation seen from a registry that answers. */
const INSTALL_LIMIT_MS = 900_000;

/** Run a command in the checkout; exits with its code when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error?.code === 'ETIMEDOUT') {
    console.error(`${command} ${args[0]} was not done after ${options.timeout / 1000} s and was ended`);
    process.exit(1);
  }
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** Install and build everything, or some projects and what they need. Quiet when there is nothing to do. */
export function ensureBuilt(...projects) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    console.error(`Node ${process.versions.node} is too old: version 20.19 or newer is needed.`);
    process.exit(2);
  }
  const marker = join(root, 'node_modules', '.package-lock.json');
  const lock = join(root, 'package-lock.json');
  if (!existsSync(marker) || statSync(marker).mtimeMs < statSync(lock).mtimeMs) {
    console.error('Installing dependencies (once) …');
    // The lock file says what each package must hash to, so what an earlier installation left in the cache is as good.
    run('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'], {
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: INSTALL_LIMIT_MS,
    });
  }
  build(...projects);
}

/** Compile all packages and their tests, or some projects; incremental. */
export function build(...projects) {
  run(process.execPath, [join(root, 'node_modules/typescript-7/bin/tsc'), '-b', ...projects]);
}
