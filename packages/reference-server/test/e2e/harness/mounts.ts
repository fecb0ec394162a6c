/** File systems of a test's own (Linux, root). */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

/** True when file systems can be mounted. Otherwise logs why; fails the test when `CI=true`. */
export function canMount(t: ExecutionContext): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'kraken-mount-'));
  try {
    mountTmpfs(directory, 1);
    unmount(directory);
    return true;
  } catch (error) {
    const says = `no file system can be mounted: ${String(error)}`;
    if (process.env['CI'] === 'true') t.fail(says);
    else {
      t.log(`skipped, ${says}`);
      t.pass();
    }
    return false;
  } finally {
    rmdirSync(directory);
  }
}

/** A small empty file system at `directory`, which is made when missing. */
export function mountTmpfs(directory: string, mib: number): void {
  mkdirSync(directory, { recursive: true });
  command('mount', '-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', directory);
}

/**
 * What opens files below `directory` by their path from now on can only read. Files that are open stay as they are, which
 * is why the file system itself is not made read-only: the kernel refuses that while files are open for writing.
 * @returns undoes it
 */
export function makeReadOnly(directory: string): () => void {
  command('mount', '--bind', directory, directory);
  command('mount', '-o', 'remount,bind,ro', directory);
  // Lazily: files may be open through it.
  return () => command('umount', '--lazy', directory);
}

export function unmount(directory: string): void {
  command('umount', directory);
}

function command(name: string, ...args: string[]): void {
  const { status, error, stderr } = spawnSync(name, args, { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${name} ${args.join(' ')}: ${stderr.trim()}`);
}
