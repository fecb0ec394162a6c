/** A registry on a free port over a cluster in memory. */
import { OCI_MANIFEST } from '@kraken/core/oci';
import {
  createOriginWriter,
  createRegistryHandler,
  listenHttp,
  type RegistryHandlerOptions,
} from '@kraken/registry-http';
import type { ExecutionContext } from 'ava';
import { memoryCluster, type MemoryCluster } from './memory-cluster.js';
import { rawRequest, type RawResponse } from './raw-http.js';

export type Send = (
  method: string,
  path: string,
  headers?: Readonly<Record<string, string>>,
  body?: string | Buffer,
) => Promise<RawResponse>;

export interface RegistryFixture {
  readonly cluster: MemoryCluster;
  readonly port: number;
  readonly send: Send;
}

export async function registry(
  t: ExecutionContext,
  role: 'proxy' | 'agent',
  more: Partial<RegistryHandlerOptions> = {},
): Promise<RegistryFixture> {
  const cluster = memoryCluster();
  const writer =
    role === 'proxy' ? { writer: createOriginWriter({ store: cluster.store, origins: cluster.origins }) } : {};
  const handler = createRegistryHandler({ blobs: cluster.blobs, tags: cluster.tags, ...writer, ...more });
  const server = await listenHttp({ handler, host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  const { port } = server;
  return { cluster, port, send: (...call) => rawRequest(port, ...call) };
}

export const errorCodes = (response: RawResponse): readonly string[] =>
  (JSON.parse(response.body) as { errors: readonly { code: string }[] }).errors.map((entry) => entry.code);

export const image = (config: string, ...layers: string[]): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { digest: config, size: 1 },
    layers: layers.map((digest) => ({ digest, size: 1 })),
  });

/** The path of an upload session. */
export async function startUpload(send: Send, repository = 'a/b'): Promise<string> {
  const started = await send('POST', `/v2/${repository}/blobs/uploads/`);
  return started.headers['location'] ?? '';
}
