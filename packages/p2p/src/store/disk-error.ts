/**
 * Turns failures of the file system into coded errors. Owns the mapping from errno to catalogue code; never
 * decides what to do about one.
 */
import { isKrakenError, KrakenError } from '@kraken/core/errors';

/** The errno name (`ENOENT`, …) of a Node file system error; `undefined` for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' && !isKrakenError(error) ? error.code : undefined;
}

/** True when the file, or a directory on the way to it, is not there. */
export function isMissing(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT';
}

/**
 * `disk-full` when there is no room or no quota left, else `io-error`; a KrakenError passes unchanged.
 * @param doing what was tried, for the message: "write piece data"
 */
export function diskError(error: unknown, doing: string): KrakenError {
  if (isKrakenError(error)) return error;
  const errno = errnoOf(error);
  const says = error instanceof Error ? error.message : String(error);
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new KrakenError('disk-full', `${doing}: ${says}`, { cause: error, detail: { errno } });
  }
  if (errno === 'EXDEV') {
    const why =
      'download, upload and cache directories must be on one file system, because a blob is published by rename';
    return new KrakenError('io-error', `${doing}: ${why}: ${says}`, { cause: error, detail: { errno } });
  }
  return new KrakenError('io-error', `${doing}: ${says}`, { cause: error, detail: { errno } });
}

/** Await `work`; a failure is thrown as {@link diskError}. */
export async function onDisk<T>(doing: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw diskError(error, doing);
  }
}
