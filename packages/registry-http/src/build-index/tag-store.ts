/**
 * Tags on the disk of one build-index. Source: spec index-proxy-registry-config.md §2.1.
 *
 * Owns the folder layout (`<cache>/<tag>/data` with `_persist` beside it, as Kraken's), atomic replacement and the pin of
 * a tag that storage does not have yet. Never talks to storage. Modification time of `data` is when the tag was put.
 */
import { parseDigest, tryParseDigest, type Digest } from '@kraken/core/content';
import { asKrakenError, KrakenError } from '@kraken/core/errors';
import { parseTagName, type TagName } from '@kraken/core/build-index';
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

const DATA = 'data';
const PERSIST = '_persist';
const RESERVED = new Set([DATA, PERSIST, '_last_access_time']);

/** A tag on disk. */
export interface StoredTag {
  readonly digest: Digest;
  /** Milliseconds since the epoch. */
  readonly putAtMs: number;
  /** Storage does not have it yet. */
  readonly pinned: boolean;
}

/** Where tags are kept. */
export interface TagStoreConfig {
  readonly cacheDirectory: string;
  /** For files that are being written; emptied at the start. On the same file system. */
  readonly uploadDirectory: string;
}

/** Tags on the local disk, one file each. */
export class TagStore {
  readonly #cache: string;
  readonly #uploads: string;

  private constructor(config: TagStoreConfig) {
    this.#cache = config.cacheDirectory;
    this.#uploads = config.uploadDirectory;
  }

  /** @throws KrakenError `config-invalid` when emptying the upload folder would empty the cache, `io-error` */
  static async open(config: TagStoreConfig): Promise<TagStore> {
    if (!relative(config.uploadDirectory, config.cacheDirectory).startsWith('..')) {
      throw new KrakenError(
        'config-invalid',
        `the tag cache ${config.cacheDirectory} must not lie in the upload folder ${config.uploadDirectory}`,
      );
    }
    try {
      await rm(config.uploadDirectory, { recursive: true, force: true });
      await mkdir(config.uploadDirectory, { recursive: true });
      await mkdir(config.cacheDirectory, { recursive: true });
    } catch (error) {
      throw asKrakenError(error, 'io-error');
    }
    return new TagStore(config);
  }

  /** @throws KrakenError `io-error` when the value is unreadable or not a digest */
  async read(tag: TagName): Promise<StoredTag | undefined> {
    const folder = this.#folder(tag);
    try {
      const path = join(folder, DATA);
      const text = (await readFile(path, 'utf8')).trim();
      const digest = tryParseDigest(text);
      if (digest === undefined) throw new KrakenError('io-error', `storage: tag ${tag} holds no digest`);
      const { mtimeMs } = await stat(path);
      return { digest, putAtMs: mtimeMs, pinned: await this.#isPinned(folder) };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw asKrakenError(error, 'io-error');
    }
  }

  /** Replace the value of a tag; durable on return. A pin is set before the value can be seen. @throws KrakenError `io-error`, `tag-invalid` */
  async write(tag: TagName, digest: Digest, options: { pinned: boolean; putAtMs: number }): Promise<void> {
    const folder = this.#folder(tag);
    try {
      await mkdir(folder, { recursive: true });
      if (options.pinned) await this.#replace(join(folder, PERSIST), 'true');
      await this.#replace(join(folder, DATA), digest, options.putAtMs);
      if (!options.pinned) await rm(join(folder, PERSIST), { force: true });
      await syncUpwards(folder, this.#cache);
    } catch (error) {
      throw asKrakenError(error, 'io-error');
    }
  }

  /** Storage has it now. */
  async unpin(tag: TagName): Promise<void> {
    await rm(join(this.#folder(tag), PERSIST), { force: true });
  }

  /** Drop an unpinned tag from the disk. @returns false when it is pinned or not there */
  async evict(tag: TagName): Promise<boolean> {
    const stored = await this.read(tag);
    if (stored === undefined || stored.pinned) return false;
    await rm(join(this.#folder(tag), DATA), { force: true });
    return true;
  }

  /** Every tag on the disk. Names that are none are skipped. */
  async *list(prefix = ''): AsyncGenerator<TagName, void> {
    const entries = await readdir(join(this.#cache, prefix), { withFileTypes: true });
    for (const entry of entries) {
      if (entry.isDirectory()) yield* this.list(prefix === '' ? entry.name : `${prefix}/${entry.name}`);
      else if (entry.name === DATA && prefix !== '') yield parseTagName(prefix);
    }
  }

  #folder(tag: TagName): string {
    const segments = tag.split('/');
    if (segments.slice(1).some((segment) => RESERVED.has(segment)))
      throw new KrakenError('tag-invalid', `tag ${JSON.stringify(tag)} has a reserved path segment`);
    return join(this.#cache, ...segments);
  }

  async #isPinned(folder: string): Promise<boolean> {
    try {
      return (await readFile(join(folder, PERSIST), 'utf8')).trim() !== 'false';
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async #replace(path: string, text: string, modifiedAtMs?: number): Promise<void> {
    const temporary = join(this.#uploads, randomUUID());
    const handle = await open(temporary, 'wx');
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (modifiedAtMs !== undefined) await utimes(temporary, modifiedAtMs / 1000, modifiedAtMs / 1000);
    await rename(temporary, path);
  }
}

/** The digest in a downloaded tag object. @throws KrakenError `io-error` */
export function digestOfTagObject(tag: string, bytes: Uint8Array): Digest {
  try {
    return parseDigest(Buffer.from(bytes).toString('utf8').trim());
  } catch (error) {
    throw new KrakenError('io-error', `storage: tag ${tag} holds no digest`, { cause: error });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** New folders are durable only when their parents are synced too. */
async function syncUpwards(folder: string, root: string): Promise<void> {
  for (let path = folder; path.length >= root.length; path = dirname(path)) {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
