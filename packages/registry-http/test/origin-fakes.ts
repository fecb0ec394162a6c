/** In-memory store and backend, and a cluster of real origin handlers on loopback, for the tests of origin and build-index. */
import { createMetaInfo, digestHex, parsePeerId, type Digest, type MetaInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type {
  BackendManager,
  BlobStore,
  ListPage,
  OpenedBlob,
  OriginCluster,
  StorageBackend,
  UploadSource,
  UploadStore,
} from '@kraken/core/ports';
import { Random, RetrySchedule } from '@kraken/core/retry';
import { Ring } from '@kraken/core/ring';
import type { ExecutionContext } from 'ava';
import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  createHttpClient,
  createOriginHandler,
  OriginClient,
  OriginClusterClient,
  OriginService,
  type HttpClient,
} from '../dist/index.js';

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

export { collect };

export function sourceOf(bytes: Uint8Array | string, chunkBytes = 1000): UploadSource {
  const buffer = Buffer.from(bytes);
  return {
    length: buffer.length,
    async *open() {
      for (let i = 0; i < buffer.length; i += chunkBytes) {
        await Promise.resolve();
        yield buffer.subarray(i, i + chunkBytes);
      }
    },
  };
}

/** The contract of BlobStore in memory; counts what tests look at. */
export class MemoryStore implements BlobStore {
  readonly blobs = new Map<Digest, { bytes: Buffer; committedAtMs: number }>();
  readonly pinned = new Set<Digest>();
  readonly metaInfos = new Map<Digest, MetaInfo>();
  readonly sessions = new Map<string, Buffer>();
  /** Called before a commit takes effect; may throw. */
  beforeCommit: (digest: Digest) => void | Promise<void> = () => undefined;
  /** Break the stream of the next opened blobs after so many bytes. */
  breakAfter: number | undefined;

  put(bytes: Buffer | string, committedAtMs = Date.now()): Digest {
    const digest = digestOf(bytes);
    this.blobs.set(digest, { bytes: Buffer.from(bytes), committedAtMs });
    return digest;
  }
  stat(digest: Digest): Promise<{ length: number; committedAtMs: number } | undefined> {
    const blob = this.blobs.get(digest);
    return Promise.resolve(
      blob === undefined ? undefined : { length: blob.bytes.length, committedAtMs: blob.committedAtMs },
    );
  }
  open(digest: Digest): Promise<OpenedBlob | undefined> {
    const bytes = this.blobs.get(digest)?.bytes;
    if (bytes === undefined) return Promise.resolve(undefined);
    const breakAfter = this.breakAfter;
    return Promise.resolve({
      length: bytes.length,
      async *stream(range = { start: 0, end: bytes.length }) {
        // One buffer for every chunk, as the port allows: users that keep chunks are found out.
        const chunk = Buffer.alloc(777);
        for (let at = range.start; at < range.end; at += chunk.length) {
          await new Promise(setImmediate);
          if (breakAfter !== undefined && at - range.start >= breakAfter)
            throw new KrakenError('io-error', 'disk broke');
          const size = Math.min(chunk.length, range.end - at);
          bytes.copy(chunk, 0, at, at + size);
          yield chunk.subarray(0, size);
        }
      },
      close: () => undefined,
    });
  }
  delete(digest: Digest): Promise<boolean> {
    if (this.pinned.has(digest)) return Promise.reject(new KrakenError('blob-pinned'));
    this.metaInfos.delete(digest);
    return Promise.resolve(this.blobs.delete(digest));
  }
  async *list(): AsyncIterable<Digest> {
    for (const digest of [...this.blobs.keys()]) {
      await Promise.resolve();
      yield digest;
    }
  }
  setPinned(digest: Digest, pinned: boolean): Promise<void> {
    if (pinned && !this.blobs.has(digest)) return Promise.reject(new KrakenError('blob-unknown'));
    if (pinned) this.pinned.add(digest);
    else this.pinned.delete(digest);
    return Promise.resolve();
  }
  isPinned(digest: Digest): Promise<boolean> {
    return Promise.resolve(this.pinned.has(digest));
  }
  metaInfo(digest: Digest): Promise<MetaInfo | undefined> {
    return Promise.resolve(this.metaInfos.get(digest));
  }
  setMetaInfo(metainfo: MetaInfo): Promise<void> {
    this.metaInfos.set(metainfo.digest, metainfo);
    return Promise.resolve();
  }
  async generateMetaInfo(digest: Digest, pieceLength: number): Promise<MetaInfo> {
    const bytes = this.blobs.get(digest)?.bytes;
    if (bytes === undefined) throw new KrakenError('blob-unknown');
    const pieceSums: number[] = [];
    for (let at = 0; at < bytes.length; at += Math.max(1, pieceLength))
      pieceSums.push(crc32(bytes.subarray(at, at + pieceLength)));
    const metainfo = createMetaInfo({ digest, length: bytes.length, pieceLength, pieceSums });
    await this.setMetaInfo(metainfo);
    return metainfo;
  }
  readonly uploads: UploadStore = {
    create: () => {
      const id = randomUUID();
      this.sessions.set(id, Buffer.alloc(0));
      return Promise.resolve(id);
    },
    size: (id) => {
      const session = this.sessions.get(id);
      return session === undefined
        ? Promise.reject(new KrakenError('upload-unknown'))
        : Promise.resolve(session.length);
    },
    write: async (id, position, source, maxBytes) => {
      let written = 0;
      if (!this.sessions.has(id)) throw new KrakenError('upload-unknown');
      for await (const chunk of source) {
        if (written + chunk.length > maxBytes) throw new KrakenError('size-invalid', `more than ${maxBytes} bytes`);
        const before = this.sessions.get(id) ?? Buffer.alloc(0);
        const grown = Buffer.alloc(Math.max(before.length, position + written + chunk.length));
        before.copy(grown);
        Buffer.from(chunk).copy(grown, position + written);
        this.sessions.set(id, grown);
        written += chunk.length;
      }
      return written;
    },
    commit: async (id, digest) => {
      const bytes = this.sessions.get(id);
      if (bytes === undefined) throw new KrakenError('upload-unknown');
      await this.beforeCommit(digest);
      this.sessions.delete(id);
      const computed = digestOf(bytes);
      if (computed !== digest) {
        throw new KrakenError(
          'digest-mismatch',
          `move upload file to cache: verify digest: computed digest ${computed} doesn't match expected value ${digest}`,
        );
      }
      const existed = this.blobs.has(digest);
      if (!existed) this.blobs.set(digest, { bytes, committedAtMs: Date.now() });
      return { length: bytes.length, existed };
    },
    abort: (id) => {
      this.sessions.delete(id);
      return Promise.resolve();
    },
  };
}

/** A backend that can be down, slow or read-only. */
export class MemoryBackend implements StorageBackend {
  readonly kind = 'memory';
  readonly can = { upload: true, list: true, paginate: true };
  readonly objects = new Map<string, Buffer>();
  readonly calls: string[] = [];
  down = false;
  /** Downloads wait for this. */
  gate: Promise<void> = Promise.resolve();
  lastPage: ListPage | undefined;

  #check(call: string): void {
    this.calls.push(call);
    if (this.down) throw new KrakenError('storage-unavailable', 'memory backend is down');
  }
  async stat(namespace: string, name: string): Promise<{ length: number }> {
    await Promise.resolve();
    this.#check(`stat ${namespace} ${name}`);
    const bytes = this.objects.get(name);
    if (bytes === undefined) throw new KrakenError('blob-unknown');
    return { length: bytes.length };
  }
  async download(namespace: string, name: string): Promise<{ length?: number; stream: AsyncIterable<Uint8Array> }> {
    this.#check(`download ${namespace} ${name}`);
    await this.gate;
    const bytes = this.objects.get(name);
    if (bytes === undefined) throw new KrakenError('blob-unknown');
    return { length: bytes.length, stream: sourceOf(bytes).open() };
  }
  async upload(namespace: string, name: string, source: UploadSource): Promise<void> {
    this.#check(`upload ${namespace} ${name}`);
    this.objects.set(name, await collect(source.open()));
  }
  list(prefix: string, options: { limit?: number; continuation?: string } = {}): Promise<ListPage> {
    this.calls.push(`list ${prefix} ${options.limit ?? 'all'} ${options.continuation ?? ''}`);
    if (this.down) return Promise.reject(new KrakenError('storage-unavailable', 'boom'));
    if (this.lastPage !== undefined) return Promise.resolve(this.lastPage);
    const repo = prefix.replace(/\/_manifests\/tags$/, '').replace(/^\//, '');
    return Promise.resolve({ names: [...this.objects.keys()].filter((name) => name.startsWith(repo)).sort() });
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** One backend for every namespace that starts with none of `unmatched`. */
export function managerOf(backend: StorageBackend, unmatched = 'nowhere'): BackendManager {
  return {
    forNamespace(namespace) {
      if (namespace.startsWith(unmatched))
        throw new KrakenError('backend-no-match', 'backend manager: no matches for namespace');
      return backend;
    },
    checkReady: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

export async function tempFolder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'kraken-origin-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Serve on a free loopback port. */
export async function serve(
  t: ExecutionContext,
  listener: RequestListener,
): Promise<{ address: string; close: () => Promise<void> }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  t.teardown(close);
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One raw request, path untouched. */
export function ask(
  address: string,
  method: string,
  path: string,
  options: { headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const [host = '', port = ''] = address.split(':');
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host, port, method, path, agent: false, headers: options.headers ?? {} }, (response) => {
      collect(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: body.toString('utf8') }),
        reject,
      );
    });
    sent.on('error', reject);
    sent.end(options.body ?? '');
  });
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

export interface Node {
  readonly address: string;
  readonly store: MemoryStore;
  readonly service: OriginService;
  readonly folder: string;
  /** Stop the server, keep the data. */
  stop(): Promise<void>;
}

export interface Cluster {
  readonly nodes: readonly Node[];
  readonly backend: MemoryBackend;
  readonly http: HttpClient;
  readonly client: OriginClusterClient;
  readonly unhealthy: Set<string>;
  /** Nodes in the order of preference for a digest. */
  owners(digest: Digest): readonly Node[];
}

export interface ClusterOptions {
  readonly size?: number;
  readonly maxReplica?: number;
  readonly backend?: MemoryBackend;
  readonly withoutBackends?: boolean;
  readonly remoteCluster?: (address: string) => OriginCluster;
  readonly start?: boolean;
  readonly wrap?: (listener: RequestListener, index: number) => RequestListener;
}

/** Origins with real handlers and clients over loopback. Retries wait 5 ms. */
export async function startCluster(t: ExecutionContext, options: ClusterOptions = {}): Promise<Cluster> {
  const { size = 3, backend = new MemoryBackend() } = options;
  const http = createHttpClient({ connectTimeoutMs: 1000 });
  const unhealthy = new Set<string>();
  const listeners: RequestListener[] = [];
  const servers = await Promise.all(
    Array.from({ length: size }, (_, index) => {
      const listener: RequestListener = (req, res) => listeners[index]?.(req, res);
      return serve(t, options.wrap?.(listener, index) ?? listener);
    }),
  );
  const ring = new Ring(
    servers.map(({ address }) => address),
    options.maxReplica ?? 2,
  );
  const nodes = await Promise.all(
    servers.map(async ({ address, close }, index): Promise<Node> => {
      const store = new MemoryStore();
      const folder = await tempFolder(t);
      const service = await OriginService.open({
        store,
        ...(options.withoutBackends === true ? {} : { backends: managerOf(backend) }),
        ring: {
          self: address,
          locations: (digest) => ring.locations(digest, (host) => !unhealthy.has(host)),
          owners: (digest) => ring.order(digest).slice(0, ring.maxReplica),
        },
        peer: (host) => new OriginClient({ http, address: host }),
        stateDirectory: folder,
        pieceLengthFor: () => 1024,
        schedule: new RetrySchedule({ initialMs: 5, maxMs: 20 }),
        ...(options.remoteCluster === undefined ? {} : { remoteCluster: options.remoteCluster }),
      });
      if (options.start !== false) service.start();
      const peerContext = {
        ip: '127.0.0.1',
        port: 18050 + index,
        peerId: parsePeerId(digestHex(digestOf(address)).slice(0, 40)),
        zone: 'z',
        cluster: '',
        origin: true,
      };
      listeners[index] = createOriginHandler({
        service,
        peerContext,
        allowRemote: (remote) => remote.startsWith('127.0.0.1:'),
      });
      t.teardown(() => service.close());
      return { address, store, service, folder, stop: close };
    }),
  );
  t.teardown(() => http.close());
  const client = new OriginClusterClient({
    source: { hosts: () => nodes.map(({ address }) => address) },
    http,
    chunkBytes: 4096,
    random: new Random(7),
    poll: { initialMs: 2, factor: 1.3, maxMs: 10, jitter: 0.05, elapsedMaxMs: 5000 },
  });
  const owners = (digest: Digest): Node[] =>
    ring
      .order(digest)
      .slice(0, ring.maxReplica)
      .map((host) => nodes[servers.findIndex(({ address }) => address === host)] as Node);
  return { nodes, backend, http, client, unhealthy, owners };
}
