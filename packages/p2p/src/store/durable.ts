/**
 * Steps that a crash cannot tear apart: directories, whole-file replacement, renames that are on disk when
 * they return. Owns no state.
 */
import { lstat, mkdir, open, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, isMissing } from './disk-error.js';
import { DATA_FILE } from '@kraken/core/content';

/** Kraken's mode of blob directories, before the umask. */
const DIRECTORY_MODE = 0o775;

/** Put what a directory lists on disk. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network and FUSE file systems refuse fsync of directories; there is no other way to ask them.
    const errno = errnoOf(error);
    if (errno !== 'EINVAL' && errno !== 'ENOTSUP') throw error;
  } finally {
    await handle.close();
  }
}

/** Create `path` and its missing parents; with `durable`, their entries are on disk on return. */
export async function makeDirectory(path: string, durable: boolean): Promise<void> {
  const first = await makeWithParents(path);
  if (first === undefined || !durable) return;
  for (let created = path; created.length >= first.length; created = dirname(created)) {
    await syncDirectory(dirname(created));
  }
}

/** @returns the first directory that was made */
async function makeWithParents(path: string): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  } catch (error) {
    if (!isMissing(error)) throw error;
    // Node says ENOENT for a file system that is read-only. Made by itself, the lowest missing directory gives the reason.
    let lowest = path;
    while (!(await exists(dirname(lowest)))) lowest = dirname(lowest);
    await mkdir(lowest, { mode: DIRECTORY_MODE });
    throw error;
  }
}

/**
 * Replace `path` by `content` through a temporary neighbour: a reader, or the next start after a crash, sees
 * the old or the new content, whole. Callers serialise writers of one directory.
 * @param temporary name of the neighbour
 * @param durable wait until data and name are on disk
 */
export async function replaceFile(
  path: string,
  temporary: string,
  content: Uint8Array | string,
  durable: boolean,
): Promise<void> {
  const directory = dirname(path);
  const neighbour = join(directory, temporary);
  try {
    // `flush` is newer than Node 20, so the durable way takes its own handle.
    if (durable) {
      const handle = await open(neighbour, 'w', 0o664);
      try {
        await handle.writeFile(content);
        await handle.sync();
      } finally {
        await handle.close();
      }
    } else {
      await writeFile(neighbour, content, { mode: 0o664 });
    }
    await rename(neighbour, path);
  } catch (error) {
    // Best effort: what is left is overwritten by the next replacement, and the first error tells what is wrong.
    await unlinkIfThere(neighbour).catch(() => false);
    throw error;
  }
  if (durable) await syncDirectory(directory);
}

/**
 * Delete a blob or upload directory, `data` before anything else, so that a crash in between leaves nothing that looks
 * like content. False when it was not there.
 */
export async function removeDirectory(path: string): Promise<boolean> {
  const hadData = await unlinkIfThere(join(path, DATA_FILE));
  if (!hadData && !(await exists(path))) return false;
  // Retries: a late writer of a sidecar may add a name while the directory is being emptied.
  await rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 10 });
  return true;
}

/** True when something is at `path`. */
async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Unlink a file; false when it was not there. */
export async function unlinkIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
