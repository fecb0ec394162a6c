/**
 * The `/v2/` API as one request listener. Owns the choice of endpoint by path and method, and validation of names.
 * Never touches content itself. Source: OCI distribution spec 1.1; spec index-proxy-registry-config.md §4.
 */
import { asKrakenError, KrakenError } from '@kraken/core/errors';
import { parseRepository } from '@kraken/core/oci';
import {
  answerFailure,
  createRequestContext,
  runHandler,
  sendBuffer,
  sendNotFound,
  type HttpHandler,
  type HttpMethod,
  type RequestContext,
} from '../http/index.js';
import { listRepositories, listTags } from './listings.js';
import { writeManifest } from './manifest-writes.js';
import { headBlob, readBlob, readManifest } from './reads.js';
import { listReferrers } from './referrers.js';
import { withDefaults, type Registry, type RegistryHandlerOptions } from './registry-options.js';
import { parseRegistryPath, type RegistryPath } from './registry-path.js';
import { sendOciError } from './respond-oci.js';
import { BlobUploads } from './uploads.js';

type Endpoint = (context: RequestContext) => Promise<void> | void;
type Endpoints = Partial<Record<HttpMethod, Endpoint>>;

/** What a node that takes no pushes, and Kraken in general for deletes, says to a method of the spec. */
const unsupported: Endpoint = () => {
  throw new KrakenError('unsupported', 'The operation is unsupported.');
};

const base: Endpoint = (context) => sendBuffer(context, 200, '{}', { 'content-type': 'application/json' });

/** The methods of a path; the repository name in it has been checked. */
function endpointsOf(registry: Registry, uploads: BlobUploads | undefined, path: RegistryPath): Endpoints {
  const { writer } = registry;
  switch (path.kind) {
    case 'base':
      return { GET: base, HEAD: base };
    case 'catalog':
      return { GET: (context) => listRepositories(registry, context) };
    case 'tags':
      return { GET: (context) => listTags(registry, context, path.name) };
    case 'referrers':
      return { GET: (context) => listReferrers(registry, context, path.name, path.digest) };
    case 'manifest': {
      const read: Endpoint = (context) => readManifest(registry, context, path.name, path.reference);
      const write: Endpoint =
        writer === undefined
          ? unsupported
          : (context) => writeManifest(registry, writer, context, path.name, path.reference);
      return { GET: read, HEAD: read, PUT: write, DELETE: unsupported };
    }
    case 'blob':
      return {
        GET: (context) => readBlob(registry, context, path.name, path.digest),
        HEAD: (context) => headBlob(registry, context, path.name, path.digest),
        DELETE: unsupported,
      };
    case 'uploads':
      return { POST: uploads === undefined ? unsupported : (context) => uploads.start(context, path.name) };
    case 'upload': {
      if (uploads === undefined) return { GET: unsupported, PATCH: unsupported, PUT: unsupported, DELETE: unsupported };
      const status: Endpoint = (context) => uploads.status(context, path.name, path.id);
      return {
        GET: status,
        HEAD: status,
        PATCH: (context) => uploads.patch(context, path.name, path.id),
        PUT: (context) => uploads.finish(context, path.name, path.id),
        DELETE: (context) => uploads.cancel(context, path.id),
      };
    }
  }
}

/** `endpoint`, with the backup registry asked when it fails before the head of a response. */
function withBackup({ backup }: Registry, endpoint: Endpoint): Endpoint {
  if (backup === undefined) return endpoint;
  return async (context) => {
    try {
      await endpoint(context);
    } catch (thrown) {
      if (context.res.headersSent || context.signal.aborted) throw thrown;
      if (!(await backup(context, asKrakenError(thrown, 'internal')))) throw thrown;
    }
  };
}

/**
 * A registry over any source of blobs and tags.
 *
 * @example
 * createServer(createRegistryHandler({ blobs: node.blobs, tags })).listen(5000)
 */
export function createRegistryHandler(options: RegistryHandlerOptions): HttpHandler {
  const registry = withDefaults(options);
  const { logger, metrics } = registry;
  const uploads = registry.writer === undefined ? undefined : new BlobUploads(registry, registry.writer);

  const dispatch = (context: RequestContext, path: RegistryPath): void => {
    if ('name' in path) parseRepository(path.name);
    const endpoints = endpointsOf(registry, uploads, path);
    const endpoint = endpoints[context.req.method as HttpMethod];
    if (endpoint === undefined || endpoint === unsupported) {
      const offered = Object.entries(endpoints).filter(([, offer]) => offer !== unsupported);
      context.res.setHeader('allow', offered.map(([method]) => method).join(', '));
    }
    if (endpoint === undefined) throw new KrakenError('method-not-allowed', 'The operation is unsupported.');
    void runHandler(context, withBackup(registry, endpoint), {
      endpoint: `v2.${path.kind}`,
      onError: sendOciError,
      logger,
      metrics,
    });
  };

  return (req, res) => {
    const context = createRequestContext(req, res);
    res.setHeader('docker-distribution-api-version', 'registry/2.0');
    try {
      const path = parseRegistryPath(context.rawPath);
      if (path === undefined) sendNotFound(context);
      else dispatch(context, path);
    } catch (error) {
      answerFailure(context, error, sendOciError, logger);
    }
  };
}
