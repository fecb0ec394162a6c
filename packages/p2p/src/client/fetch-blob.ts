/**
 * One blob in five lines: a throw-away node with its store and tracker client around it. Owns what
 * it starts and ends it with `close`. For more than one blob, make a node and keep it.
 */
import { join } from 'node:path';
import { parseDigest, type MetaInfo } from '@kraken/core/content';
import type { ByteRange, CancelSignal, HostRing, TrackerClient } from '@kraken/core/ports';
import { createPeerNode } from '../host/create-peer-node.js';
import type { Bandwidth } from '../host/bandwidth.js';
import { DiskStore } from '../store/index.js';
import { createPassiveRing, createTrackerClient } from '../tracker/index.js';

export interface FetchBlobOptions {
  /** Where to ask for peers: `http://host:port`, several of them, or a client of your own. */
  readonly tracker: string | readonly string[] | TrackerClient;
  /** `sha256:<64 hex>`. */
  readonly digest: string;
  /** Repository that the blob belongs to: decides which storage backend has it. Default `default`. */
  readonly namespace?: string;
  /** Where the blob is kept; created when missing. A second fetch finds what the first one left. */
  readonly dir: string;
  /** Address under which other peers reach this process. Default 127.0.0.1: a peer that only takes. */
  readonly ip?: string;
  /** Default: any free port. */
  readonly port?: number;
  /** Bytes to fetch, end exclusive; absent = all. */
  readonly range?: ByteRange;
  readonly bandwidth?: Bandwidth;
  readonly deadlineMs?: number;
  readonly signal?: CancelSignal;
}

export interface FetchedBlob {
  /** Bytes of the whole blob. */
  readonly length: number;
  readonly metainfo: MetaInfo;
  /** Verified bytes in order, as they arrive. A chunk is valid until the next one is asked for. */
  readonly stream: AsyncIterable<Uint8Array>;
  /** Resolves when the blob is complete on disk. */
  readonly finished: Promise<void>;
  /** Leave the swarm. Owed in every case. */
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
    const node = await createPeerNode({
      store,
      tracker,
      peer: { ip: options.ip ?? '127.0.0.1', port: options.port ?? 0 },
      ...(options.bandwidth === undefined ? {} : { bandwidth: options.bandwidth }),
    });
    ends.push(() => node.close());
    const { namespace, range, deadlineMs, signal } = options;
    const blob = await node.open(digest, {
      ...(namespace === undefined ? {} : { namespace }),
      ...(range === undefined ? {} : { range }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...(signal === undefined ? {} : { signal }),
    });
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
