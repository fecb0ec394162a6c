/**
 * Routes requests to handlers. Owns route choice, 404 and 405. Never reads bodies; run-handler.ts turns what handlers
 * throw into responses.
 * Source: spec index-proxy-registry-config.md §0.1, tracker-agent-ring.md §1.1, §9.2.
 */
import { KrakenError } from '@kraken/core/errors';
import { matchPath } from '@kraken/core/http';
import { silentLogger, silentMetrics, type Logger, type Metrics } from '@kraken/core/ports';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequestContext, splitTarget, type RequestContext } from './request-context.js';
import { sendEmpty, sendErrorText, sendNotFound } from './respond.js';
import { answerFailure, runHandler, type ErrorResponder } from './run-handler.js';

/** The methods that routes are made for. */
export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A plain `node:http` request listener; mounts in any framework. */
export type HttpHandler = (req: IncomingMessage, res: ServerResponse) => void;

/** Parameters of a matching path, or `undefined`. May throw KrakenError `request-invalid` for a malformed one. */
export type PathMatcher = (rawPath: string) => Readonly<Record<string, string>> | undefined;

/** One method on one path. */
export interface Route {
  /** GET routes do not answer HEAD: declare HEAD where it is wanted. */
  readonly method: HttpMethod;
  /** `/namespace/{namespace}/blobs/{digest}`, or a function for paths that a pattern cannot say. */
  readonly path: string | PathMatcher;
  /** Answers; what it throws is answered by `onError`. */
  readonly handler: (context: RequestContext) => Promise<void> | void;
  /** Label of metrics; default: the static parts of `path` joined with dots. */
  readonly endpoint?: string;
  /** Instead of the router's. */
  readonly onError?: ErrorResponder;
}

/** What is said where no route answers. */
export interface RouterOptions {
  /** Known path, other method. Default `method-not-allowed`: 405, `Allow`, no body. Go's agent server answers 404. */
  readonly wrongMethod?: 'method-not-allowed' | 'not-found';
  /** Default: {@link sendErrorText}. */
  readonly onError?: ErrorResponder;
  /** Default: Go's 404 page. */
  readonly onUnknownPath?: (context: RequestContext) => void;
  /** Instead of `wrongMethod`. */
  readonly onWrongMethod?: (context: RequestContext, allow: readonly string[]) => void;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** An empty segment in the middle of a path reaches the route and is refused there, as in Go. */
function requireParameters(params: Readonly<Record<string, string>>, handler: Route['handler']): Route['handler'] {
  for (const name in params) {
    if (params[name] !== '') continue;
    return () => {
      throw new KrakenError('request-invalid', `param ${name} is required`);
    };
  }
  return handler;
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

  const dispatch = (req: IncomingMessage, res: ServerResponse, rawPath: string): void => {
    const allow: string[] = [];
    for (const { route, match, endpoint } of table) {
      const params = match(rawPath);
      if (params === undefined) continue;
      if (route.method !== req.method) {
        allow.push(route.method);
        continue;
      }
      const onError = route.onError ?? options.onError ?? sendErrorText;
      const handler = requireParameters(params, route.handler);
      void runHandler(createRequestContext(req, res, params), handler, { endpoint, onError, logger, metrics });
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
      answerFailure(createRequestContext(req, res), error, options.onError ?? sendErrorText, logger);
    }
  };
}
