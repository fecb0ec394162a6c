/** One log line per finished request, for operators. Never logs probes, headers or bodies. Source: spec index-proxy-registry-config.md §5.1. */
import type { Logger } from '@kraken/core/ports';
import { splitTarget } from './request-context.js';
import type { HttpHandler } from './router.js';

const UNLOGGED: ReadonlySet<string> = new Set(['/health', '/readiness']);

/** `handler` with an access log around it. */
export function withAccessLog(handler: HttpHandler, logger: Logger): HttpHandler {
  return (req, res) => {
    const target = req.url ?? '/';
    if (!UNLOGGED.has(splitTarget(target).rawPath)) {
      const startedMs = performance.now();
      const remote = req.socket.remoteAddress;
      res.once('close', () => {
        const line = {
          verb: req.method,
          path: target,
          // 499 as in nginx: the client, or a failing stream, cut the response short.
          status: res.writableFinished ? res.statusCode : 499,
          responseLength: res.getHeader('content-length'),
          durationMs: Math.round(performance.now() - startedMs),
          remote,
          agent: req.headers['user-agent'],
        };
        logger.info(line, 'request');
      });
    }
    handler(req, res);
  };
}
