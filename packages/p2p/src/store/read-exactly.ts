/** Synchronous reads that are whole or fail, for threads of their own. Owns nothing. */
import { readSync } from 'node:fs';

/** The file is shorter than it was said to be. */
class TruncatedError extends Error {
  readonly code = 'content-truncated';
}

/** Fill the first `length` bytes of `buffer` from `position`. @throws errno errors, TruncatedError */
export function readExactly(fd: number, buffer: Uint8Array, length: number, position: number): void {
  for (let filled = 0; filled < length;) {
    const bytesRead = readSync(fd, buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new TruncatedError(`the file ends at byte ${position + filled}`);
    filled += bytesRead;
  }
}
