/** Clients and servers of other people: present, or the reason why a test cannot run. Under CI a missing one is a failure. */
import { spawnSync } from 'node:child_process';
import type { ExecutionContext } from 'ava';

/** True when all commands exist. Otherwise logs why; fails the test when `CI=true`. */
export function haveTools(t: ExecutionContext, ...commands: string[]): boolean {
  const missing = commands.filter((command) => spawnSync('which', [command]).status !== 0);
  if (missing.length === 0) return true;
  const says = `not installed: ${missing.join(', ')}`;
  if (process.env['CI'] === 'true') t.fail(says);
  else {
    t.log(`skipped, ${says}`);
    t.pass();
  }
  return false;
}
