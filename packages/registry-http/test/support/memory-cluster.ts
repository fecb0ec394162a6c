/** A whole cluster in memory behind the ports: blobs at the origins, tags, and one proxy's local store. */
import { digestFromHex, type Digest, type MetaInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type {
  BlobSource,
  BlobStore,
  ByteRange,
  OpenedBlob,
  OpenOptions,
  OriginCluster,
  TagSource,
  UploadStore,
} from '@kraken/core/ports';
import { createHash, randomUUID } from 'node:crypto';

export function digestOf(content: string | Uint8Array): Digest {
  return digestFromHex(createHash('sha256').update(content).digest('hex'));
}

/** Chunks in one buffer that is overwritten, as the port allows. */
export function memoryBlob(content: Buffer, chunkBytes = 7_000): OpenedBlob {
  return {
    length: content.length,
    async *stream(range: ByteRange = { start: 0, end: content.length }) {
      const shared = Buffer.alloc(chunkBytes);
      for (let at = range.start; at < range.end; at += chunkBytes) {
        const size = Math.min(chunkBytes, range.end - at);
        shared.fill(0);
        content.copy(shared, 0, at, at + size);
        yield await Promise.resolve(shared.subarray(0, size));
      }
      shared.fill(0);
    },
    close: () => undefined,
  };
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

class MemoryUploads implements UploadStore {
  readonly sessions = new Map<string, Buffer>();
  sessionsMax = 100;

  constructor(private readonly committed: Map<Digest, Buffer>) {}

  #session(id: string): Buffer {
    const session = this.sessions.get(id);
    if (session === undefined) throw new KrakenError('upload-unknown');
    return session;
  }

  create(): Promise<string> {
    if (this.sessions.size >= this.sessionsMax) return Promise.reject(new KrakenError('too-many-uploads'));
    const id = randomUUID();
    this.sessions.set(id, Buffer.alloc(0));
    return Promise.resolve(id);
  }

  async size(id: string): Promise<number> {
    return Promise.resolve(this.#session(id).length);
  }

  async write(id: string, position: number, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<number> {
    let written = 0;
    for await (const chunk of source) {
      if (written + chunk.byteLength > maxBytes) throw new KrakenError('size-invalid');
      const before = this.#session(id).subarray(0, position + written);
      this.sessions.set(id, Buffer.concat([before, chunk]));
      written += chunk.byteLength;
    }
    return written;
  }

  async commit(id: string, digest: Digest): Promise<{ length: number; existed: boolean }> {
    const content = await Promise.resolve(this.#session(id));
    this.sessions.delete(id);
    if (digestOf(content) !== digest) throw new KrakenError('digest-mismatch');
    const existed = this.committed.has(digest);
    this.committed.set(digest, content);
    return { length: content.length, existed };
  }

  abort(id: string): Promise<void> {
    this.sessions.delete(id);
    return Promise.resolve();
  }
}

export interface MemoryCluster {
  readonly blobs: BlobSource;
  readonly tags: TagSource;
  readonly origins: OriginCluster;
  readonly store: BlobStore;
  readonly uploads: MemoryUploads;
  /** What the origins hold. */
  readonly held: Map<Digest, Buffer>;
  readonly tagMap: Map<string, Digest>;
  /** Every call that reached the cluster, in order. */
  readonly calls: string[];
  /** Set: lookups and downloads at the origins fail with it. */
  failure: KrakenError | undefined;
  add(content: string | Buffer): Digest;
}

const unused = (): never => {
  throw new Error('not used by these tests');
};

export function memoryCluster(): MemoryCluster {
  const held = new Map<Digest, Buffer>();
  const local = new Map<Digest, Buffer>();
  const tagMap = new Map<string, Digest>();
  const calls: string[] = [];
  const uploads = new MemoryUploads(local);
  const guard = async (call: string): Promise<void> => {
    calls.push(call);
    await Promise.resolve();
    if (cluster.failure !== undefined) throw cluster.failure;
  };
  const blobs: BlobSource = {
    async stat(namespace, digest) {
      await guard(`stat ${namespace} ${digest}`);
      const content = held.get(digest);
      return content === undefined ? undefined : { length: content.length };
    },
    async open(namespace, digest, options: OpenOptions = {}) {
      const range = options.range === undefined ? '' : ` ${options.range.start}-${options.range.end}`;
      await guard(`open ${namespace} ${digest}${range}`);
      const content = held.get(digest);
      if (content === undefined) throw new KrakenError('blob-unknown');
      return memoryBlob(content);
    },
  };
  const tags: TagSource = {
    async get(tag) {
      calls.push(`get ${tag}`);
      const digest = await Promise.resolve(tagMap.get(tag));
      if (digest === undefined) throw new KrakenError('tag-unknown');
      return digest;
    },
    put(tag, digest) {
      calls.push(`put ${tag} ${digest}`);
      tagMap.set(tag, digest);
      return Promise.resolve();
    },
    listRepository: (repository) =>
      Promise.resolve(
        [...tagMap.keys()]
          .filter((name) => name.startsWith(`${repository}:`))
          .map((name) => name.slice(repository.length + 1)),
      ),
    list(prefix, page = {}) {
      calls.push(`list ${prefix} ${page.offset ?? ''}`);
      const names = [...tagMap.keys()].filter((name) => name.startsWith(prefix));
      const from = Number(page.offset ?? 0);
      const size = page.limit ?? 2;
      return Promise.resolve({
        names: names.slice(from, from + size),
        ...(from + size < names.length ? { offset: String(from + size) } : {}),
      });
    },
    checkReady: () => Promise.resolve(),
  };
  const cluster: MemoryCluster = {
    blobs,
    tags,
    uploads,
    held,
    tagMap,
    calls,
    failure: undefined,
    origins: {
      stat: (namespace, digest, signal) => blobs.stat(namespace, digest, signal),
      async download(namespace, digest, options = {}) {
        const blob = await blobs.open(namespace, digest, options.range === undefined ? {} : { range: options.range });
        const length = options.range === undefined ? blob.length : options.range.end - options.range.start;
        return { length, stream: blob.stream(options.range) };
      },
      async upload(namespace, digest, source) {
        calls.push(`upload ${namespace} ${digest}`);
        const content = await collect(source.open());
        if (content.length !== source.length || digestOf(content) !== digest) throw new KrakenError('digest-mismatch');
        held.set(digest, content);
      },
      checkReady: () => Promise.resolve(),
    },
    store: {
      uploads,
      stat: (digest) => {
        const content = local.get(digest);
        return Promise.resolve(content === undefined ? undefined : { length: content.length, committedAtMs: 0 });
      },
      open: (digest) => {
        const content = local.get(digest);
        return Promise.resolve(content === undefined ? undefined : memoryBlob(content));
      },
      delete: (digest) => Promise.resolve(local.delete(digest)),
      list: unused,
      setPinned: unused,
      isPinned: unused,
      metaInfo: (): Promise<MetaInfo | undefined> => unused(),
      setMetaInfo: unused,
      generateMetaInfo: unused,
    },
    add(content) {
      const bytes = Buffer.from(content);
      const digest = digestOf(bytes);
      held.set(digest, bytes);
      return digest;
    },
  };
  return cluster;
}
