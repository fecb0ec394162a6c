/** The proxy role: accepts pushes, serves pulls without the swarm. Wiring only. */
import { mkdirSync } from 'node:fs';
import { KrakenError } from '@kraken/core/errors';
import { DiskStore } from '@kraken/p2p';
import {
  BuildIndexClient,
  createOriginBlobSource,
  createOriginWriter,
  createProxyHandler,
  OriginClusterClient,
} from '@kraken/registry-http';
import type { ProxyConfig } from '../config/component-keys.js';
import { diskCleanup } from './disk-cleanup.js';
import { openPort } from './listen.js';
import { warnAtStart, withLifetime, type RoleContext, type RunningRole } from './role.js';
import { openTls } from './tls.js';
import { openActive } from './upstreams.js';

export interface ProxyFlags {
  /** One or more. */
  readonly ports: readonly number[];
}

/** @throws KrakenError `config-invalid`; system errors of the listening sockets */
export async function startProxy(config: ProxyConfig, flags: ProxyFlags, context: RoleContext): Promise<RunningRole> {
  const { logger } = context;
  return withLifetime(logger, async (lifetime) => {
    const tls = openTls(config.tls, logger, lifetime);
    warnAtStart(context, tls.server !== undefined);
    const { http } = tls;
    const origins = new OriginClusterClient({
      source: await openActive('origin', config.origin, http, logger, lifetime),
      http,
      logger,
    });
    const tags = new BuildIndexClient({
      source: await openActive('build_index', config.build_index, http, logger, lifetime),
      http,
    });
    const { upload_dir: uploadDir, cache_dir: cacheDir } = config.castore;
    if (uploadDir === '' || cacheDir === '')
      throw new KrakenError('config-invalid', 'castore: upload_dir and cache_dir are required');
    for (const directory of [uploadDir, cacheDir]) mkdirSync(directory, { recursive: true });
    const store = lifetime.own(
      await DiskStore.open({ cacheDir, uploadDir, cleanup: diskCleanup(config.castore.cache_cleanup), logger }),
      (part) => part.close(),
    );
    const { handler } = lifetime.own(
      createProxyHandler({
        blobs: createOriginBlobSource({ origins, store }),
        tags,
        writer: createOriginWriter({ store, origins }),
        ready: [(signal) => origins.checkReady(signal), (signal) => tags.checkReady(signal)],
        prefetchBlob: (namespace, digest, signal) => origins.prefetch(namespace, digest, signal),
        prefetch: {
          blobBytesMin: config.server.prefetch_min_blob_size,
          blobBytesMax: config.server.prefetch_max_blob_size,
        },
        logger,
      }),
      (part) => part.close(),
    );
    const ports: Record<string, number> = {};
    for (const [i, port] of flags.ports.entries()) {
      const server = await openPort({ handler, port, access: config.access, tls }, logger, lifetime);
      ports[i === 0 ? 'registry' : `registry ${i + 1}`] = server.port;
    }
    return { role: 'proxy', ports, reloadTls: () => tls.reload(), close: (graceMs) => lifetime.close(graceMs) };
  });
}
