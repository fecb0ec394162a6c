/** Positional reads and writes that are whole or fail, with callbacks because one is made per chunk. Owns nothing. */
import { read, write } from 'node:fs';
import { diskError } from './disk-error.js';
import type { PooledFile } from './file-pool.js';

/** Run `work` with the descriptor of `file`: at once when it is open. */
export function withDescriptor(
  file: PooledFile,
  doing: string,
  done: (error?: Error) => void,
  work: (fd: number, finish: (error?: Error) => void) => void,
): void {
  const finish = (error?: Error): void => {
    file.release();
    done(error);
  };
  const fd = file.tryAcquire();
  if (fd !== -1) {
    work(fd, finish);
    return;
  }
  file.acquire().then(
    (opened) => work(opened, finish),
    (error: unknown) => done(diskError(error, doing)),
  );
}

/** Positional write that goes on after short writes. */
export function writeFully(
  fd: number,
  buffer: Uint8Array,
  length: number,
  position: number,
  doing: string,
  done: (error?: Error) => void,
): void {
  let written = 0;
  const next = (): void => {
    write(fd, buffer, written, length - written, position + written, (error, bytes) => {
      if (error !== null) {
        done(diskError(error, doing));
        return;
      }
      written += bytes;
      if (written >= length) done();
      else next();
    });
  };
  next();
}

/** Positional read that goes on after short reads; fewer bytes only at the end of the file. */
export function readFully(
  fd: number,
  buffer: Uint8Array,
  length: number,
  position: number,
  done: (error: Error | null, bytesRead: number) => void,
): void {
  let filled = 0;
  const next = (): void => {
    read(fd, buffer, filled, length - filled, position + filled, (error, bytesRead) => {
      if (error !== null) {
        done(diskError(error, 'read blob data'), filled);
        return;
      }
      filled += bytesRead;
      if (bytesRead === 0 || filled === length) done(null, filled);
      else next();
    });
  };
  if (length === 0) done(null, 0);
  else next();
}
