/** One request (or frame, or file) for every row of "Malformed input" in docs/ERRORS.md, against the real handlers. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, request, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { digestFromHex, type Digest, type PeerContext } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { BlobSource, OriginDirectory, TagSource } from '@kraken/core/ports';
import { decodeHandshake, decodeMessage, FrameDecoder } from '@kraken/core/wire';
import { createTrackerHandler, DiskStore } from '@kraken/p2p';
import {
  createAgentHandler,
  createBuildIndexHandler,
  createOriginHandler,
  createProxyHandler,
  createRegistryHandler,
  OriginService,
  TagService,
} from '@kraken/registry-http';
import { agentKeys } from '../dist/config/component-keys.js';
import { ConfigError, loadConfig } from '../dist/config/index.js';
import { swarmConfigFromGoJson } from '../dist/config/scheduler-json.js';

export interface Answer {
  readonly status: number;
  /** Of the OCI envelope, when there is one. */
  readonly code?: string;
  readonly headers: IncomingHttpHeaders;
  readonly length: number;
}

/** What a probe saw: answers of a server, or the code that something was refused with. */
export type Seen = { readonly answers: readonly Answer[] } | { readonly codes: readonly string[] };
/** Keyed by `where: input` of the table. */
export type Probes = Readonly<Record<string, () => Promise<Seen>>>;

export const BLOB = Buffer.from('a blob that somebody has');
const digestOf = (content: Buffer): Digest => digestFromHex(createHash('sha256').update(content).digest('hex'));
const BLOB_DIGEST = digestOf(BLOB);
const OTHER_DIGEST = digestOf(Buffer.from('nobody has this'));
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

const blobs: BlobSource = {
  stat: (_namespace, digest) => Promise.resolve(digest === BLOB_DIGEST ? { length: BLOB.length } : undefined),
  open: (_namespace, digest) => {
    if (digest !== BLOB_DIGEST) return Promise.reject(new KrakenError('blob-unknown'));
    return Promise.resolve({
      length: BLOB.length,
      async *stream(range = { start: 0, end: BLOB.length }) {
        yield await Promise.resolve(BLOB.subarray(range.start, range.end));
      },
      close: () => undefined,
    });
  },
};
const tags: TagSource = {
  get: () => Promise.reject(new KrakenError('tag-unknown')),
  put: () => Promise.resolve(),
  listRepository: () => Promise.resolve(['1']),
  list: () => Promise.resolve({ names: [] }),
  checkReady: () => Promise.resolve(),
};
const origins: OriginDirectory = {
  originPeers: () => Promise.resolve([]),
  metaInfoResponse: () => Promise.resolve({ status: 404, body: '' }),
  checkReady: () => Promise.resolve(),
};
const peerContext: PeerContext = {
  ip: '127.0.0.1',
  port: 1,
  peerId: '0'.repeat(40) as PeerContext['peerId'],
  zone: '',
  cluster: '',
  origin: true,
};
/** Input must be refused before a service is asked: these fail whatever they are asked. */
const untouchedOrigin = Object.create(OriginService.prototype) as OriginService;
const untouchedTags = Object.create(TagService.prototype) as TagService;

type Send = (
  method: string,
  path: string,
  options?: { headers?: Record<string, string>; body?: string | Buffer },
) => Promise<Answer>;

async function serve(handler: RequestListener, servers: Server[]): Promise<Send> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return (method, path, { headers = {}, body = '' } = {}) =>
    new Promise((resolve, reject) => {
      // Not fetch: it would tidy up the paths.
      const req = request({ host: '127.0.0.1', port, method, path, headers }, (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('error', reject);
        res.on('end', () => {
          const text = Buffer.concat(chunks);
          const code = /"code":"([A-Z_]+)"/.exec(text.toString())?.[1];
          const { statusCode: status = 0 } = res;
          resolve({ status, headers: res.headers, length: text.length, ...(code === undefined ? {} : { code }) });
        });
      });
      req.on('error', reject);
      req.end(body);
    });
}

const refusedWith = (attempt: () => unknown): string => {
  try {
    attempt();
  } catch (error) {
    if (isKrakenError(error)) return error.code;
    if (error instanceof ConfigError) return 'config-invalid';
    throw error;
  }
  return 'accepted';
};

/** @param directory scratch */
export async function openProbes(directory: string): Promise<{ probes: Probes; close: () => Promise<void> }> {
  const servers: Server[] = [];
  const store = await DiskStore.open({ cacheDir: join(directory, 'cache'), uploadDir: join(directory, 'upload') });
  const writer = { uploads: store.uploads, store, publish: () => Promise.resolve() };
  const registry = await serve(createRegistryHandler({ blobs, tags, writer }), servers);
  const readOnly = await serve(createRegistryHandler({ blobs, tags }), servers);
  const agent = await serve(
    createAgentHandler({
      blobs,
      tags,
      remove: () => Promise.resolve(),
      probe: () => Promise.resolve(),
      ready: [],
      blacklist: () => [],
      reconfigure: (config) => {
        swarmConfigFromGoJson(config);
        return Promise.resolve();
      },
    }),
    servers,
  );
  const origin = await serve(createOriginHandler({ service: untouchedOrigin, peerContext }), servers);
  const tracker = await serve(createTrackerHandler({ origins }), servers);
  const index = await serve(createBuildIndexHandler({ service: untouchedTags, originAddress: () => '' }), servers);
  const proxyHandler = createProxyHandler({ blobs, tags, ready: [], prefetchBlob: () => Promise.resolve() });
  const proxy = await serve(proxyHandler.handler, servers);

  const all = async (...answers: Promise<Answer>[]): Promise<Seen> => ({ answers: await Promise.all(answers) });
  const codes = (...attempts: (() => unknown)[]): Promise<Seen> =>
    Promise.resolve({ codes: attempts.map(refusedWith) });
  const startUpload = async (): Promise<string> =>
    String((await registry('POST', '/v2/app/blobs/uploads/')).headers.location);
  const putManifest = (reference: string, body: string | Buffer, type = MANIFEST_TYPE): Promise<Answer> =>
    registry('PUT', `/v2/app/manifests/${reference}`, { headers: { 'content-type': type }, body });
  const chunk = async (range: string, body: string): Promise<Answer> =>
    registry('PATCH', await startUpload(), { headers: { 'content-range': range }, body });
  const getRange = (range: string): Promise<Answer> =>
    registry('GET', `/v2/app/blobs/${BLOB_DIGEST}`, { headers: { range } });
  const originBlob = `/namespace/app/blobs/${BLOB_DIGEST}`;
  const originChunk = (headers: Record<string, string>): Promise<Answer> =>
    origin('PATCH', `${originBlob}/uploads/x`, { headers, body: 'four' });
  const configFile = (text: string): (() => unknown) => {
    const file = join(directory, 'agent.yaml');
    return () => {
      writeFileSync(file, text);
      return loadConfig(agentKeys, [file]);
    };
  };
  const manifest = (digest: string): string =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: CONFIG_TYPE, digest, size: 3 },
      layers: [],
    });

  const probes: Probes = {
    'registry `/v2/`: digest that is not `sha256:` and 64 hex characters': () =>
      all(registry('GET', '/v2/app/blobs/sha256:12'), registry('POST', '/v2/app/blobs/uploads/?digest=12')),
    'registry `/v2/`: digest of another algorithm': () => all(registry('GET', `/v2/app/blobs/md5:${'0'.repeat(32)}`)),
    'registry `/v2/`: commit of an upload without `?digest=`': async () => all(registry('PUT', await startUpload())),
    'registry `/v2/`: upload whose content has another digest': async () =>
      all(
        registry('PUT', `${await startUpload()}?digest=${OTHER_DIGEST}`, { body: BLOB }),
        registry('POST', `/v2/app/blobs/uploads/?digest=${OTHER_DIGEST}`, { body: BLOB }),
      ),
    'registry `/v2/`: manifest pushed by a digest that it does not have': () =>
      all(putManifest(OTHER_DIGEST, manifest(BLOB_DIGEST))),
    'registry `/v2/`: repository name outside the grammar': () => all(registry('GET', '/v2/App/tags/list')),
    'registry `/v2/`: tag outside the grammar, `.` and `..` included': () =>
      all(...['-x', '.', '..'].map((tag) => registry('GET', `/v2/app/manifests/${tag}`))),
    'registry `/v2/`: manifest that is not JSON': () => all(putManifest('1', '{"schemaVersion":')),
    'registry `/v2/`: manifest of an unsupported type': () => all(putManifest('1', '{"schemaVersion":1}', 'text/x')),
    'registry `/v2/`: manifest that refers to content nobody has': () => all(putManifest('1', manifest(OTHER_DIGEST))),
    'registry `/v2/`: manifest over 4 MiB': () => all(putManifest('1', Buffer.alloc(4 * 2 ** 20 + 1, ' '))),
    'registry `/v2/`: `Range` that cannot be read, or of several ranges': () =>
      all(getRange('bytes=x-y'), getRange('bytes=0-1,3-4'), getRange('bytes=5-2')),
    'registry `/v2/`: `Range` outside the blob': () => all(getRange(`bytes=${BLOB.length}-`)),
    'registry `/v2/`: chunk that does not start where the upload ends': () => all(chunk('2-5', 'four')),
    'registry `/v2/`: `Content-Range` that ends before it starts': () => all(chunk('5-2', 'four')),
    'registry `/v2/`: `Content-Range` that cannot be read': () => all(chunk('all', 'four')),
    'registry `/v2/`: `Content-Range` that disagrees with `Content-Length`': () =>
      all(
        startUpload().then((path) =>
          registry('PATCH', path, { headers: { 'content-range': '0-9', 'content-length': '4' }, body: 'four' }),
        ),
      ),
    'registry `/v2/`: upload id that was never handed out': () =>
      all(
        registry('PATCH', '/v2/app/blobs/uploads/x', { body: 'four' }),
        registry('PATCH', '/v2/app/blobs/uploads/00000000-0000-4000-8000-000000000000', { body: 'four' }),
      ),
    'registry `/v2/`: page size `n` that is no number': () => all(registry('GET', '/v2/app/tags/list?n=many')),
    'registry `/v2/`: bad percent escape in the path': () => all(registry('GET', '/v2/app/manifests/%zz')),
    'registry `/v2/`: method that the path does not have': () => all(registry('POST', '/v2/app/manifests/1')),
    'registry `/v2/`: push to an agent': () =>
      all(readOnly('POST', '/v2/app/blobs/uploads/'), readOnly('PUT', '/v2/app/manifests/1', { body: '{}' })),
    'agent API: digest that cannot be read': () =>
      all(agent('GET', '/namespace/app/blobs/12'), agent('DELETE', '/blobs/12')),
    'agent API: scheduler settings that are not JSON, or of wrong types': () =>
      all(
        agent('PATCH', '/x/config/scheduler', { body: '{' }),
        agent('PATCH', '/x/config/scheduler', { body: '{"SeederTTI":"5m"}' }),
      ),
    'agent API: method that the path does not have': () => all(agent('POST', '/tags/app:1')),
    'origin API: digest that cannot be read': () =>
      all(origin('GET', '/namespace/app/blobs/12'), origin('POST', '/namespace/app/blobs/12/uploads')),
    'origin API: chunk without a readable `Content-Range`': () =>
      all(originChunk({}), originChunk({ 'content-range': 'bytes 0-4' })),
    'origin API: `Content-Range` that disagrees with `Content-Length`': () =>
      all(originChunk({ 'content-range': '0-9', 'content-length': '4' })),
    'origin API: delay that is not JSON': () =>
      all(origin('PUT', `/internal/duplicate${originBlob}/uploads/x`, { body: '{' })),
    'origin API: piece length that is no integer': () =>
      all(origin('POST', `/internal/blobs/${BLOB_DIGEST}/metainfo?piece_length=4MB`)),
    'origin API: query `local` that is no boolean': () => all(origin('HEAD', `/internal${originBlob}?local=maybe`)),
    'tracker: announce that is not JSON': () =>
      all(tracker('GET', '/announce', { body: '{' }), tracker('POST', `/announce/${'0'.repeat(40)}`, { body: '{' })),
    'tracker: info hash or digest in the path that cannot be read': () =>
      all(tracker('POST', '/announce/12', { body: '{}' }), tracker('GET', '/namespace/app/blobs/12/metainfo')),
    'build-index: digest that cannot be read': () => all(index('PUT', '/tags/app:1/digest/12')),
    'build-index: query `replicate` that is no boolean': () =>
      all(index('PUT', `/tags/app:1/digest/${BLOB_DIGEST}?replicate=maybe`)),
    'build-index: bad percent escape in a tag': () => all(index('GET', '/tags/app%zz')),
    'build-index: duplicate put or replication that is not JSON': () =>
      all(
        index('PUT', `/internal/duplicate/tags/app:1/digest/${BLOB_DIGEST}`, { body: '{' }),
        index('POST', `/internal/duplicate/remotes/tags/app:1/digest/${BLOB_DIGEST}`, { body: '{' }),
      ),
    'proxy: prefetch request or notification that is not JSON': () =>
      all(
        proxy('POST', '/proxy/v1/registry/prefetch', { body: '{' }),
        proxy('POST', '/proxy/v2/registry/prefetch', { body: '{' }),
        proxy('POST', '/registry/notifications', { body: '{' }),
      ),
    'peer protocol: frame longer than 32 KiB': () =>
      codes(() => new FrameDecoder().next(Uint8Array.of(0, 0, 0x80, 1), 0)),
    // A piece request, type 1, without submessage; a field that runs out of the frame.
    'peer protocol: frame that is no message, or lacks its submessage': () =>
      codes(
        () => decodeMessage(Uint8Array.of(0x10, 1)),
        () => decodeMessage(Uint8Array.of(0x22, 9)),
      ),
    // Piece −1 as a ten-byte varint.
    'peer protocol: negative piece, offset or length': () =>
      codes(() => decodeMessage(Uint8Array.of(0x10, 1, 0x22, 11, 0x10, ...Array<number>(9).fill(0xff), 1))),
    'peer protocol: first frame that is no handshake': () =>
      codes(
        () => decodeHandshake(Uint8Array.of(0x10, 6)),
        () => decodeHandshake(new Uint8Array(0)),
      ),
    'configuration: unknown key, wrong type, missing file, cycle of `extends`': () =>
      codes(
        configFile('nonsense: 1\n'),
        configFile('scheduler: {conn_tti: soon}\n'),
        configFile('extends: none.yaml\n'),
        configFile('extends: agent.yaml\n'),
      ),
  };
  return {
    probes,
    close: async () => {
      proxyHandler.close();
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
      await store.close();
    },
  };
}
