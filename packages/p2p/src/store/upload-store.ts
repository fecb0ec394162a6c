/**
 * Upload sessions on disk: `<upload dir>/<uuid>/data`. Owns the table of sessions and their limit; ids are made here,
 * and a name that came from outside never becomes a path. Sessions do not survive a restart, as in Kraken.
 * Source: spec origin-store-backends.md §5.1, §5.2.
 */
import { randomUUID } from 'node:crypto';
import { open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DATA_FILE, type Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { UploadStore } from '@kraken/core/ports';
import type { CommittedBlobs } from './committed-blobs.js';
import { onDisk } from './disk-error.js';
import { makeDirectory, removeDirectory } from './durable.js';
import * as sidecars from './sidecars.js';
import type { StoreContext } from './store-context.js';
import { UploadSession } from './upload-session.js';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const SESSION_ID = new RegExp(`^${UUID}$`);
/** Names of uploads that we or Go Kraken left behind: a session, or a blob that a server was fetching. */
const LEFTOVER = new RegExp(`^([0-9a-f]{64}\\.)?${UUID}$`, 'i');

export interface UploadLimits {
  /** Sessions at a time. */
  readonly uploadsMax: number;
  /** A session without writes for so long is given up. */
  readonly uploadIdleMs: number;
}

export class DiskUploads implements UploadStore {
  readonly #context: StoreContext;
  readonly #blobs: CommittedBlobs;
  readonly #root: string | undefined;
  readonly #limits: UploadLimits;
  readonly #sessions = new Map<string, UploadSession>();
  #creating = 0;
  #closed: Error | undefined;

  /** @param root absolute; absent on nodes that take no uploads */
  constructor(context: StoreContext, blobs: CommittedBlobs, root: string | undefined, limits: UploadLimits) {
    this.#context = context;
    this.#blobs = blobs;
    this.#root = root;
    this.#limits = limits;
  }

  /** Delete what earlier runs left; anything that does not look like an upload stays. */
  async wipe(): Promise<void> {
    const root = this.#root;
    if (root === undefined) return;
    for (const entry of await onDisk('list uploads', readdir(root, { withFileTypes: true }))) {
      if (entry.isDirectory() && LEFTOVER.test(entry.name)) {
        await onDisk('delete old upload', rm(join(root, entry.name), { recursive: true, force: true }));
      }
    }
  }

  async create(): Promise<string> {
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#root === undefined) throw new KrakenError('unsupported', 'this store takes no uploads');
    if (this.#sessions.size + this.#creating >= this.#limits.uploadsMax) {
      throw new KrakenError('too-many-uploads', `${this.#limits.uploadsMax} upload sessions are open already`);
    }
    const id = randomUUID();
    const directory = join(this.#root, id);
    this.#creating++;
    try {
      await onDisk('create upload', createSession(directory, this.#context.now()));
    } catch (error) {
      // Removing is a courtesy to a full disk; leftovers are wiped at the next start, and the first error counts.
      await removeDirectory(directory).catch(() => false);
      throw error;
    } finally {
      this.#creating--;
    }
    this.#sessions.set(id, new UploadSession(this.#context, id, directory));
    return id;
  }

  size(id: string): Promise<number> {
    return this.#with(id, (session) => {
      session.touch();
      return Promise.resolve(session.size);
    });
  }

  async write(id: string, position: number, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<number> {
    const session = this.#session(id);
    try {
      return await session.write(position, source, maxBytes);
    } catch (error) {
      // What did not fit must not keep the disk full until the session expires: its client has to begin again anyway.
      if (isKrakenError(error, 'disk-full')) await this.abort(id);
      throw error;
    }
  }

  async commit(id: string, digest: Digest): Promise<{ length: number; existed: boolean }> {
    const session = this.#session(id);
    this.#sessions.delete(id);
    await session.stop(unknownUpload(id));
    try {
      const length = await session.seal(digest);
      const existed = await this.#context.locks.run(digest, () => this.#publishLocked(session, digest, length));
      await this.#discard(session);
      this.#context.metrics.count('store_uploads_committed');
      return { length, existed };
    } catch (error) {
      if (isKrakenError(error, 'disk-full')) {
        session.reopen();
        this.#sessions.set(id, session);
      } else {
        await this.#discard(session);
      }
      throw error;
    }
  }

  async abort(id: string): Promise<void> {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    this.#sessions.delete(id);
    await session.stop(unknownUpload(id));
    await this.#discard(session);
  }

  /** Give up sessions that were idle for too long. @returns how many */
  async expire(): Promise<number> {
    const before = this.#context.now() - this.#limits.uploadIdleMs;
    let expired = 0;
    for (const session of [...this.#sessions.values()]) {
      if (session.usedAtMs > before) continue;
      await this.abort(session.id);
      expired++;
    }
    if (expired > 0) {
      this.#context.metrics.count('store_uploads_expired', expired);
      this.#context.logger.info({ expired }, 'idle uploads were given up');
    }
    return expired;
  }

  /** End all sessions; their files are wiped at the next start. */
  async close(reason: Error): Promise<void> {
    this.#closed = reason;
    for (const session of this.#sessions.values()) {
      await session.stop(reason);
      session.close();
    }
    this.#sessions.clear();
  }

  /** @returns true when the blob was there already */
  async #publishLocked(session: UploadSession, digest: Digest, length: number): Promise<boolean> {
    if ((await this.#blobs.locateLocked(digest)) !== undefined) {
      this.#blobs.touch(digest);
      return true;
    }
    await this.#blobs.publishLocked(digest, session.dataPath, length, undefined, false);
    return false;
  }

  /** The session is over: a directory that cannot be removed is wiped at the next start. */
  async #discard(session: UploadSession): Promise<void> {
    session.close();
    try {
      await removeDirectory(session.directory);
    } catch (error) {
      this.#context.logger.warn({ upload: session.id, error }, 'removing an upload failed');
    }
  }

  async #with<T>(id: string, use: (session: UploadSession) => Promise<T>): Promise<T> {
    return use(this.#session(id));
  }

  #session(id: string): UploadSession {
    if (this.#closed !== undefined) throw this.#closed;
    const session = SESSION_ID.test(id) ? this.#sessions.get(id) : undefined;
    if (session === undefined) throw unknownUpload(id);
    return session;
  }
}

function unknownUpload(id: string): KrakenError {
  return new KrakenError('upload-unknown', `no upload session ${JSON.stringify(id.slice(0, 80))}`);
}

async function createSession(directory: string, now: number): Promise<void> {
  await makeDirectory(directory, false);
  await (await open(join(directory, DATA_FILE), 'wx', 0o666)).close();
  await sidecars.writeLastAccess(directory, now);
}
