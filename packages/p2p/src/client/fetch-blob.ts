/**
 * One blob in five lines: a throw-away node with its store and tracker client around it. Owns what
 * it starts and ends it with `close`. For more than one blob, make a node and keep it.
 */
import { join } from 'node:path';
import { parseDigest, type MetaInfo } from '@kraken/core/content';
import type { HostRing, TrackerClient } from '@kraken/core/ports';
import { createPeerNode } from '../host/create-peer-node.js';
import type { PeerNodeOptions, PullOptions } from '../host/peer-node-options.js';
import { DiskStore } from '../store/index.js';
import { createPassiveRing, createTrackerClient } from '../tracker/index.js';

/** What to fetch, from where, and how far to go. */
export interface FetchBlobOptions
  extends PullOptions, Pick<PeerNodeOptions, 'bandwidth' | 'logger' | 'metrics' | 'pieceChoices' | 'swarm' | 'tls'> {
  /** Where to ask for peers: `http://host:port`, several of them, or a client of your own. */
  readonly tracker: string | readonly string[] | TrackerClient;
  /** `sha256:<64 hex>`. */
  readonly digest: string;
  /** Where the blob is kept; created when missing. A second fetch finds what the first one left. */
  readonly dir: string;
  /** Address under which other peers reach this process. Default 127.0.0.1: a peer that only takes. */
  readonly ip?: string;
  /** Default: any free port. */
  readonly port?: number;
}

/** A blob on its way. */
export interface FetchedBlob {
  /** Bytes of the whole blob. */
  readonly length: number;
  /** Digest, length and piece sums. */
  readonly metainfo: MetaInfo;
  /** Verified bytes in order, as they arrive. A chunk is valid until the next one is asked for. */
  readonly stream: AsyncIterable<Uint8Array>;
  /** Resolves when the blob is complete on disk, or the range is. Rejects with the KrakenError that `stream` throws. */
  readonly finished: Promise<void>;
  /** Leave the swarm. Owed in every case; safe to call twice. */
  close(): Promise<void>;
}

/**
 * Fetch a blob from the swarm.
 * @throws KrakenError `digest-invalid`, `blob-unknown`, `pull-timeout`, `tracker-unavailable`, …
 *
 * @example
 * const blob = await fetchBlob({ tracker: 'http://tracker:8080', digest, dir: '/var/cache/blobs' });
 * for await (const chunk of blob.stream) process.stdout.write(chunk);
 * await blob.close();
 */
export async function fetchBlob(options: FetchBlobOptions): Promise<FetchedBlob> {
  const digest = parseDigest(options.digest);
  const ends: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const { tracker, endTracker } = trackerOf(options.tracker);
    ends.push(endTracker);
    const store = await DiskStore.open({
      cacheDir: join(options.dir, 'cache'),
      downloadDir: join(options.dir, 'download'),
    });
    ends.push(() => store.close());
    const { ip = '127.0.0.1', port = 0 } = options;
    const node = await createPeerNode({ ...options, store, tracker, peer: { ip, port } });
    ends.push(() => node.close());
    const blob = await node.open(digest, options);
    return { length: blob.length, metainfo: blob.metainfo, stream: blob.stream(), finished: blob.finished, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function trackerOf(tracker: FetchBlobOptions['tracker']): { tracker: TrackerClient; endTracker: () => Promise<void> } {
  if (typeof tracker !== 'string' && 'announce' in tracker) {
    return { tracker, endTracker: () => Promise.resolve() };
  }
  const urls = (typeof tracker === 'string' ? [tracker] : tracker).map((url) => new URL(url));
  const [first] = urls;
  if (first === undefined) throw new TypeError('tracker expected at least one URL, got none');
  const scheme = first.protocol === 'https:' ? 'https' : 'http';
  const hosts = urls.map((url) => url.host);
  const ring: HostRing = createPassiveRing({ hosts: () => hosts });
  const client = createTrackerClient({ ring, scheme });
  return { tracker: client, endTracker: () => client.close() };
}
