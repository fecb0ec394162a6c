/** Nodes on loopback with real stores, around a tracker in memory. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Digest, MetaInfo, PeerInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { AnnounceAnswer, AnnounceRequest, TrackerClient } from '@kraken/core/ports';
import { createPeerNode, DiskStore, type PeerNode, type PeerNodeOptions } from '@kraken/p2p';
import type { TestBlob } from './host-kit.js';

/** A tracker without HTTP: keeps everybody who announced, hands everybody out. */
export class MemoryTracker implements TrackerClient {
  readonly metainfos = new Map<Digest, MetaInfo>();
  readonly announces: AnnounceRequest[] = [];
  metaInfoRequests = 0;
  readonly #peers = new Map<Digest, Map<string, PeerInfo>>();

  add(digest: Digest, peer: PeerInfo): void {
    const peers = this.#peers.get(digest) ?? new Map<string, PeerInfo>();
    this.#peers.set(digest, peers);
    peers.set(peer.peerId, peer);
  }

  announce(request: AnnounceRequest): Promise<AnnounceAnswer> {
    this.announces.push(request);
    if (request.event === 'stopped') this.#peers.get(request.digest)?.delete(request.peer.peerId);
    else this.add(request.digest, request.peer);
    const others = [...(this.#peers.get(request.digest)?.values() ?? [])].filter(
      ({ peerId }) => peerId !== request.peer.peerId,
    );
    return Promise.resolve({ peers: others, intervalMs: 300 });
  }

  metaInfo(_namespace: string, digest: Digest): Promise<MetaInfo> {
    this.metaInfoRequests++;
    const metainfo = this.metainfos.get(digest);
    return metainfo === undefined ? Promise.reject(new KrakenError('blob-unknown')) : Promise.resolve(metainfo);
  }

  checkReady(): Promise<void> {
    return Promise.resolve();
  }
}

export async function tempDir(t: ExecutionContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'kraken-p2p-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

export interface TestNode {
  readonly node: PeerNode;
  readonly store: DiskStore;
  readonly dir: string;
}

/** A node with a store of its own; closed with the test. */
export async function startNode(
  t: ExecutionContext,
  options: Omit<PeerNodeOptions, 'store' | 'peer'> & { peer?: Partial<PeerNodeOptions['peer']>; dir?: string } = {},
): Promise<TestNode> {
  const { dir: given, peer, ...rest } = options;
  const dir = given ?? (await tempDir(t));
  const store = await DiskStore.open({
    cacheDir: join(dir, 'cache'),
    downloadDir: join(dir, 'download'),
    uploadDir: join(dir, 'upload'),
  });
  const node = await createPeerNode({
    store,
    peer: { ip: '127.0.0.1', ...peer },
    listen: { host: '127.0.0.1', port: 0 },
    seed: 7,
    ...rest,
  });
  t.teardown(async () => {
    await node.close();
    await store.close();
  });
  return { node, store, dir };
}

/** Put a blob with metainfo into a store. */
export async function putBlob(store: DiskStore, blob: TestBlob): Promise<void> {
  const id = await store.uploads.create();
  await store.uploads.write(id, 0, asStream(blob.data), blob.data.length);
  await store.uploads.commit(id, blob.digest);
  await store.setMetaInfo(blob.metainfo);
}

// eslint-disable-next-line @typescript-eslint/require-await -- the parameter it is for is an async iterable
async function* asStream(data: Buffer): AsyncIterable<Uint8Array> {
  yield data;
}

/** An origin that has `blob`, known to `tracker`. */
export async function startOrigin(
  t: ExecutionContext,
  tracker: MemoryTracker,
  blob: TestBlob,
  options: Omit<PeerNodeOptions, 'store' | 'peer' | 'tracker'> = {},
): Promise<TestNode> {
  const origin = await startNode(t, { ...options, peer: { origin: true } });
  await putBlob(origin.store, blob);
  tracker.metainfos.set(blob.digest, blob.metainfo);
  const { peerId, ip, port } = origin.node.context;
  tracker.add(blob.digest, { peerId, ip, port, origin: true, complete: true });
  return origin;
}

/** All bytes, copied. */
export async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
