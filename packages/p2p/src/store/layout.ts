/**
 * Where things are on disk: one state directory (`cache`, `download`) with a directory per blob, two levels of
 * shards. Owns paths and listing; opens no data. Source: spec origin-store-backends.md §5.1.
 */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { blobDirectory, digestHex, tryParseDigest, type Digest } from '@kraken/core/content';
import { DATA_FILE } from '@kraken/core/content';
import { errnoOf } from './disk-error.js';

const SHARD = /^[0-9a-f]{2}$/;

export class StateDirectory {
  /** Absolute. */
  readonly root: string;

  constructor(root: string) {
    this.root = resolve(root);
  }

  /** Directory of one blob: data and sidecars. */
  blob(digest: Digest): string {
    return join(this.root, blobDirectory(digestHex(digest)));
  }

  /** Data file of one blob. */
  data(digest: Digest): string {
    return join(this.blob(digest), DATA_FILE);
  }

  /** Digests that have a directory, with or without data, shard by shard. Shards may be symbolic links. Other names are skipped. */
  async *digests(): AsyncGenerator<Digest, undefined, undefined> {
    for (const first of await shards(this.root)) {
      for (const second of await shards(join(this.root, first))) {
        for (const name of await entries(join(this.root, first, second))) {
          const digest = tryParseDigest(`sha256:${name}`);
          // Upper-case names of other programs are not ours: the path would not lead back to them.
          if (digest !== undefined && this.blob(digest) === join(this.root, first, second, name)) yield digest;
        }
      }
    }
    return undefined;
  }
}

async function shards(path: string): Promise<string[]> {
  return (await entries(path)).filter((name) => SHARD.test(name));
}

/** Names in a directory, sorted; none when it vanished or is a file. */
async function entries(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return [];
    throw error;
  }
}
