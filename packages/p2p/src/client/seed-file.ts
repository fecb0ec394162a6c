/**
 * One file offered to the swarm: store, origin and tracker around it, the other end of `fetchBlob`. Owns what it starts and
 * ends it with `close`. For more than one file, make the parts yourself: each is a line.
 */
import { join } from 'node:path';
import type { MetaInfo } from '@kraken/core/content';
import { createPeerNode } from '../host/create-peer-node.js';
import type { PeerNodeOptions } from '../host/peer-node-options.js';
import type { PeerNode } from '../host/peer-node.js';
import { DiskStore } from '../store/index.js';
import { importFile, type ImportFileOptions } from './import-file.js';
import { createLocalOrigins } from './local-origins.js';
import { serveTracker } from './serve-tracker.js';

/** What to seed, and from where. */
export interface SeedFileOptions
  extends ImportFileOptions, Pick<PeerNodeOptions, 'bandwidth' | 'logger' | 'metrics' | 'tls'> {
  /** The file; its content is copied, so that it may change afterwards. */
  readonly path: string;
  /** Where the copy is kept; created when missing. */
  readonly dir: string;
  /** Address of this machine as peers dial it. Default 127.0.0.1. The tracker listens there too. */
  readonly ip?: string;
  /** For peers. Default: any free port. */
  readonly port?: number;
  /** For the tracker. Default: any free port. */
  readonly trackerPort?: number;
}

/** A file on offer. */
export interface SeededFile {
  /** Digest, length and piece sums. */
  readonly metainfo: MetaInfo;
  /** URL of the tracker: what others need beside the digest. */
  readonly tracker: string;
  /** Who has taken how much is in its `stats()`. */
  readonly node: PeerNode;
  /** Stop offering it; the copy stays. Safe to call twice. */
  close(): Promise<void>;
}

/**
 * Offer a file to whoever knows its digest and the URL of the tracker.
 * @throws KrakenError `io-error` when the file cannot be read, `disk-full`, `network-error` when a port cannot be had
 *
 * @example
 * const seed = await seedFile({ path: 'layer.tar.gz', dir: '/var/cache/seed', ip: '10.0.0.7' });
 * console.log(seed.tracker, seed.metainfo.digest);
 */
export async function seedFile(options: SeedFileOptions): Promise<SeededFile> {
  const { path, dir, ip = '127.0.0.1', port = 0, trackerPort = 0 } = options;
  const ends: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const store = await DiskStore.open({ cacheDir: join(dir, 'cache'), uploadDir: join(dir, 'upload') });
    ends.push(() => store.close());
    const metainfo = await importFile(store, path, options);
    const node = await createPeerNode({ ...options, store, peer: { ip, port, origin: true } });
    ends.push(() => node.close());
    const origins = createLocalOrigins([{ node, store }]);
    const tracker = await serveTracker({ origins, host: ip, port: trackerPort });
    ends.push(() => tracker.close());
    return { metainfo, tracker: tracker.url, node, close };
  } catch (error) {
    await close();
    throw error;
  }
}
