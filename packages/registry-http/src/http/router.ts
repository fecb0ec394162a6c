/**
 * Routes requests to handlers and turns what handlers throw into responses. Owns: route choice, 404/405, the error
 * path, per-route metrics and the access-log line of failures. Never reads bodies.
 * Source: spec index-proxy-registry-config.md §0.1, tracker-agent-ring.md §1.1, §9.2.
 */
import { asKrakenError, type KrakenError } from '@kraken/core/errors';
import { matchPath } from '@kraken/core/http';
import { silentLogger, silentMetrics, type Logger, type Metrics } from '@kraken/core/ports';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequestContext, splitTarget, type RequestContext } from './request-context.js';
import { sendEmpty, sendErrorText, sendNotFound } from './respond.js';

export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A plain `node:http` request listener; mounts in any framework. */
export type HttpHandler = (req: IncomingMessage, res: ServerResponse) => void;

/** Parameters of a matching path, or `undefined`. May throw KrakenError `request-invalid` for a malformed one. */
export type PathMatcher = (rawPath: string) => Readonly<Record<string, string>> | undefined;

/** Answers a coded failure; called only while no header has been sent. */
export type ErrorResponder = (context: RequestContext, error: KrakenError) => void;

export interface Route {
  /** GET routes do not answer HEAD: declare HEAD where it is wanted. */
  readonly method: HttpMethod;
  /** `/namespace/{namespace}/blobs/{digest}`, or a function for paths that a pattern cannot say. */
  readonly path: string | PathMatcher;
  readonly handler: (context: RequestContext) => Promise<void> | void;
  /** Label of metrics; default: the static parts of `path` joined with dots. */
  readonly endpoint?: string;
  /** Instead of the router's. */
  readonly onError?: ErrorResponder;
}

export interface RouterOptions {
  /** Known path, other method. Default `method-not-allowed`: 405, `Allow`, no body. Go's agent server answers 404. */
  readonly wrongMethod?: 'method-not-allowed' | 'not-found';
  /** Default: {@link sendErrorText}. */
  readonly onError?: ErrorResponder;
  /** Default: Go's 404 page. */
  readonly onUnknownPath?: (context: RequestContext) => void;
  readonly onWrongMethod?: (context: RequestContext, allow: readonly string[]) => void;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

interface CompiledRoute {
  readonly route: Route;
  readonly match: PathMatcher;
  readonly endpoint: string;
}

function compile(route: Route): CompiledRoute {
  const { path } = route;
  if (typeof path === 'function') return { route, match: path, endpoint: route.endpoint ?? 'other' };
  const statics = path.split('/').filter((part) => part !== '' && !part.startsWith('{'));
  return { route, match: (rawPath) => matchPath(path, rawPath), endpoint: route.endpoint ?? statics.join('.') };
}

/**
 * A listener over `routes`, tried in order.
 *
 * A handler answers by writing to `context.res`, or throws: a KrakenError becomes its catalogue status, anything else a
 * 500. After the head of a response was sent the only honest answer is a broken connection, so that is what clients get.
 */
export function createRouter(routes: readonly Route[], options: RouterOptions = {}): HttpHandler {
  const { wrongMethod = 'method-not-allowed', logger = silentLogger, metrics = silentMetrics } = options;
  const table = routes.map(compile);

  const fail = (context: RequestContext, thrown: unknown, onError: ErrorResponder): void => {
    const { req, res } = context;
    const error = asKrakenError(thrown, 'internal');
    if (error.code === 'internal')
      logger.error({ err: error, method: req.method, path: context.rawPath }, 'request failed by a defect');
    if (res.headersSent || res.destroyed) {
      if (!res.writableFinished && !res.destroyed) {
        logger.info(
          { code: error.code, method: req.method, path: context.rawPath, reason: error.message },
          'response broken off',
        );
      }
      if (!res.writableFinished) res.destroy();
      return;
    }
    if (error.httpStatus >= 400 && error.httpStatus !== 404) {
      logger.info(
        {
          status: error.httpStatus,
          code: error.code,
          method: req.method,
          path: context.rawPath,
          reason: error.message,
        },
        'request refused',
      );
    }
    onError(context, error);
  };

  const observe = (req: IncomingMessage, res: ServerResponse, endpoint: string): void => {
    const startedMs = performance.now();
    res.once('close', () => {
      const labels = { endpoint, method: req.method ?? '' };
      metrics.count('http_requests_total', 1, { ...labels, status: String(res.statusCode) });
      metrics.observe('http_request_duration_seconds', (performance.now() - startedMs) / 1_000, labels);
    });
  };

  const dispatch = (req: IncomingMessage, res: ServerResponse, rawPath: string): void => {
    const allow: string[] = [];
    for (const { route, match, endpoint } of table) {
      const params = match(rawPath);
      if (params === undefined) continue;
      if (route.method !== req.method) {
        allow.push(route.method);
        continue;
      }
      if (metrics !== silentMetrics) observe(req, res, endpoint);
      const context = createRequestContext(req, res, params);
      const onError = route.onError ?? options.onError ?? sendErrorText;
      const run = async (): Promise<void> => {
        try {
          await route.handler(context);
        } catch (error) {
          fail(context, error, onError);
        }
      };
      void run();
      return;
    }
    const context = createRequestContext(req, res);
    if (allow.length === 0 || wrongMethod === 'not-found') (options.onUnknownPath ?? sendNotFound)(context);
    else if (options.onWrongMethod === undefined) sendEmpty(context, 405, { allow: allow.join(', ') });
    else options.onWrongMethod(context, allow);
  };

  return (req, res) => {
    const { rawPath } = splitTarget(req.url ?? '/');
    try {
      dispatch(req, res, rawPath);
    } catch (error) {
      fail(createRequestContext(req, res), error, options.onError ?? sendErrorText);
    }
  };
}
