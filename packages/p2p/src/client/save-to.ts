/**
 * The bytes of a blob to a file, whole or not at all. Owns the temporary file beside it. Never fetches: it writes what a
 * stream brings.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { KrakenError } from '@kraken/core/errors';

/**
 * Write `stream` to `path`: into a temporary file beside it, synced to the disk, then moved into place. Under `path` there
 * is never half a blob; what was there before stays when the stream fails.
 * @returns bytes written
 * @throws what the stream throws; KrakenError `disk-full` or `io-error` when the file cannot be written
 */
export async function saveTo(stream: AsyncIterable<Uint8Array>, path: string): Promise<number> {
  const part = `${path}.${randomUUID()}.part`;
  const file = await onDisk(path, open(part, 'wx'));
  let bytes = 0;
  try {
    try {
      for await (const chunk of stream) {
        // The chunk's memory is used again when the next one is asked for: all of it must be written first.
        for (let at = 0; at < chunk.length;) {
          const { bytesWritten } = await onDisk(path, file.write(chunk, at));
          at += bytesWritten;
        }
        bytes += chunk.length;
      }
      await onDisk(path, file.sync());
    } finally {
      await onDisk(path, file.close());
    }
    await onDisk(path, rename(part, path));
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  return bytes;
}

async function onDisk<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const full = code === 'ENOSPC' || code === 'EDQUOT';
    throw new KrakenError(full ? 'disk-full' : 'io-error', `writing ${path}: ${message}`, { cause: error });
  }
}
