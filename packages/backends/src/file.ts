/**
 * Objects as files in a directory: the embedded default. An upload is written to a scratch file, flushed,
 * renamed and its directory flushed, so a name shows the old or the new object, whole, whatever dies.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { KrakenError } from '@kraken/core/errors';
import type { StorageBackend, UploadSource } from '@kraken/core/ports';
import type { BackendKind } from './kind.js';
import { createObjectPaths } from './object-path.js';
import { pageOf } from './paging.js';

const READ_BYTES = 1 << 20;
/** Scratch files of unfinished uploads; outside every pather's tree. */
const SCRATCH = '.uploads';

export const file: BackendKind = {
  name: 'file',
  open: (settings): StorageBackend => {
    const directory = resolve(settings.text('directory'));
    const paths = createObjectPaths(settings.text('name_path', 'identity'), settings.text('root', '/'));
    const fileOf = (path: string): string => join(directory, path);

    return {
      kind: 'file',
      can: { upload: true, list: true, paginate: true },
      stat: async (_namespace, name) => {
        const found = await attempt(async () => stat(fileOf(paths.pathOf(name))));
        if (!found.isFile()) throw new KrakenError('blob-unknown');
        return { length: found.size };
      },
      download: async (_namespace, name, signal) => {
        const handle = await attempt(async () => open(fileOf(paths.pathOf(name)), 'r'));
        try {
          const found = await handle.stat();
          if (!found.isFile()) throw new KrakenError('blob-unknown');
          const stream = handle.createReadStream({
            highWaterMark: READ_BYTES,
            ...(signal === undefined ? {} : { signal: signal as AbortSignal }),
          });
          return { length: found.size, stream };
        } catch (error) {
          await handle.close();
          throw error;
        }
      },
      upload: async (_namespace, name, source) => {
        const target = fileOf(paths.pathOf(name));
        await attempt(async () => writeAtomically(directory, target, source));
      },
      list: async (prefix, options = {}) => {
        const root = paths.directoryOf(prefix);
        const found: string[] = [];
        for await (const path of walk(directory, root)) found.push(path);
        found.sort();
        return pageOf(found, (path) => paths.nameOf(path), options);
      },
      close: async () => Promise.resolve(),
    };
  },
};

async function writeAtomically(directory: string, target: string, source: UploadSource): Promise<void> {
  const scratch = join(directory, SCRATCH, randomUUID());
  await mkdir(dirname(scratch), { recursive: true });
  await mkdir(dirname(target), { recursive: true });
  try {
    const handle = await open(scratch, 'wx');
    try {
      let written = 0;
      for await (const chunk of source.open()) {
        written += chunk.length;
        if (written > source.length) throw new KrakenError('size-invalid', 'the source is longer than announced');
        await writeAll(handle, chunk);
      }
      if (written !== source.length) throw new KrakenError('content-truncated');
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(scratch, target);
    await syncDirectory(dirname(target));
  } catch (error) {
    await rm(scratch, { force: true });
    throw error;
  }
}

async function writeAll(handle: Awaited<ReturnType<typeof open>>, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at, chunk.length - at)).bytesWritten;
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Paths (`/…`, relative to `directory`) of all files below `root`. */
async function* walk(directory: string, root: string): AsyncGenerator<string> {
  let entries;
  try {
    entries = await readdir(join(directory, root), { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ENOTDIR')
      return;
    throw asStorageError(error);
  }
  for (const entry of entries) {
    const path = root === '/' ? `/${entry.name}` : `${root}/${entry.name}`;
    if (entry.isDirectory()) {
      if (path !== `/${SCRATCH}`) yield* walk(directory, path);
    } else if (entry.isFile()) {
      yield path;
    }
  }
}

async function attempt<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asStorageError(error);
  }
}

function asStorageError(error: unknown): unknown {
  if (error instanceof KrakenError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return new KrakenError('blob-unknown', undefined, { cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT') return new KrakenError('disk-full', undefined, { cause: error });
  return code === undefined ? error : new KrakenError('storage-unavailable', `file backend: ${code}`, { cause: error });
}
