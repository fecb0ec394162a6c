/**
 * Everything a proxy serves on its public port: the registry, health, prefetch and push notifications. Owns which of them
 * a path belongs to and the rate limit of `/proxy`. Source: spec index-proxy-registry-config.md §3.1, §5.3.
 *
 * Differs from Go: `/readiness` exists, and `/registry/notifications` can be reached.
 */
import { KrakenError } from '@kraken/core/errors';
import { silentLogger, silentMetrics } from '@kraken/core/ports';
import {
  createRateLimiter,
  createRouter,
  sendEmpty,
  sendText,
  splitTarget,
  type HttpHandler,
  type RequestContext,
  type Route,
} from '../http/index.js';
import { createRegistryHandler, type RegistryHandlerOptions } from '../oci/index.js';
import { Preheater } from './preheat.js';
import { Prefetcher, type PrefetchBlob } from './prefetch.js';

/** What the proxy server stands on. */
export interface ProxyHandlerOptions extends RegistryHandlerOptions {
  /** Asked in parallel by `/readiness`. Go has no readiness on a proxy. */
  readonly ready: readonly ((signal: AbortSignal) => Promise<void>)[];
  /** Ask an origin to cache a blob. Absent: prefetch and notifications are 404. */
  readonly prefetchBlob?: PrefetchBlob;
  readonly prefetch?: {
    readonly blobBytesMin?: number;
    readonly blobBytesMax?: number;
    /** Per client address. Default 100. */
    readonly perSecond?: number;
    /** Default 20. */
    readonly burst?: number;
  };
}

/** A handler with work behind it. */
export interface ProxyHandler {
  readonly handler: HttpHandler;
  /** Ends background work. */
  readonly close: () => void;
}

async function readiness(options: ProxyHandlerOptions, context: RequestContext): Promise<void> {
  const results = await Promise.allSettled(options.ready.map((check) => check(context.signal)));
  const problems = results.flatMap((result) =>
    result.status === 'rejected'
      ? [result.reason instanceof Error ? result.reason.message : String(result.reason)]
      : [],
  );
  if (problems.length === 0) sendText(context, 200, 'OK\n');
  else sendText(context, 503, `not ready to serve traffic: ${problems.join('\n')}`);
}

function prefetchRoutes(options: ProxyHandlerOptions, preheater: Preheater | undefined): readonly Route[] {
  const { prefetchBlob, logger = silentLogger, metrics = silentMetrics } = options;
  if (prefetchBlob === undefined || preheater === undefined) return [];
  const { perSecond = 100, burst = 20, ...limits } = options.prefetch ?? {};
  const isWithinRate = createRateLimiter({ perSecond, burst });
  const prefetcher = new Prefetcher({
    blobs: options.blobs,
    tags: options.tags,
    prefetchBlob,
    logger,
    metrics,
    ...limits,
  });
  const limited = (handler: Route['handler']): Route['handler'] => {
    return (context) => {
      if (!isWithinRate(context.req.socket.remoteAddress ?? '')) throw new KrakenError('too-many-requests');
      return handler(context);
    };
  };
  return [
    {
      method: 'POST',
      path: '/proxy/v1/registry/prefetch',
      handler: limited((context) => prefetcher.handle(context, false)),
    },
    {
      method: 'POST',
      path: '/proxy/v2/registry/prefetch',
      handler: limited((context) => prefetcher.handle(context, true)),
    },
    { method: 'POST', path: '/registry/notifications', handler: (context) => preheater.handle(context) },
  ];
}

/** The routes of a proxy: the registry, prefetch, health. */
export function createProxyHandler(options: ProxyHandlerOptions): ProxyHandler {
  const { logger = silentLogger, metrics = silentMetrics, prefetchBlob } = options;
  const registry = createRegistryHandler(options);
  const preheater =
    prefetchBlob === undefined ? undefined : new Preheater({ blobs: options.blobs, prefetchBlob, logger });
  const routes: readonly Route[] = [
    { method: 'GET', path: '/', endpoint: 'root', handler: (context) => sendEmpty(context, 200) },
    { method: 'GET', path: '/health', handler: (context) => sendText(context, 200, 'OK\n') },
    { method: 'GET', path: '/readiness', handler: (context) => readiness(options, context) },
    ...prefetchRoutes(options, preheater),
  ];
  const router = createRouter(routes, { logger, metrics });
  return {
    handler: (req, res) => {
      const { rawPath } = splitTarget(req.url ?? '/');
      if (rawPath === '/v2' || rawPath.startsWith('/v2/')) registry(req, res);
      else router(req, res);
    },
    close: () => preheater?.close(),
  };
}
