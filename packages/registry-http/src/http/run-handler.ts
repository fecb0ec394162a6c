/**
 * Runs one handler: its failures become responses, its outcome metrics and a log line. Shared by the router and the
 * registry. Never chooses a handler. Source: spec tracker-agent-ring.md §9.2.
 */
import { asKrakenError, type KrakenError } from '@kraken/core/errors';
import { silentMetrics, type Logger, type Metrics } from '@kraken/core/ports';
import type { RequestContext } from './request-context.js';

/** Answers a coded failure; called only while no header has been sent. */
export type ErrorResponder = (context: RequestContext, error: KrakenError) => void;

/** What surrounds a handler. */
export interface RunOptions {
  /** Label of metrics. */
  readonly endpoint: string;
  readonly onError: ErrorResponder;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/**
 * After the head of a response was sent the only honest answer to a failure is a broken connection, so that is what
 * clients get.
 */
export function answerFailure(context: RequestContext, thrown: unknown, onError: ErrorResponder, logger: Logger): void {
  const { req, res, rawPath } = context;
  const error = asKrakenError(thrown, 'internal');
  const facts = { code: error.code, method: req.method, path: rawPath };
  if (error.code === 'internal') logger.error({ ...facts, err: error }, 'request failed by a defect');
  if (res.headersSent || res.destroyed) {
    if (res.writableFinished) return;
    if (error.code !== 'cancelled') logger.warn({ ...facts, reason: error.message }, 'response broken off');
    res.destroy();
    return;
  }
  const status = error.httpStatus;
  const answer = { ...facts, status, reason: error.message };
  // This node's disk or configuration: nobody else can mend it, and the client may not even be told the reason.
  if (error.code !== 'internal' && (status === 500 || status === 507)) logger.warn(answer, 'request failed');
  else if (status >= 400 && status !== 404) logger.info(answer, 'request refused');
  onError(context, error);
}

function observe({ req, res }: RequestContext, endpoint: string, metrics: Metrics): void {
  if (metrics === silentMetrics) return;
  const startedMs = performance.now();
  res.once('close', () => {
    const labels = { endpoint, method: req.method ?? '' };
    metrics.count('http_requests_total', 1, { ...labels, status: String(res.statusCode) });
    metrics.observe('http_request_duration_seconds', (performance.now() - startedMs) / 1_000, labels);
  });
}

/** Run one handler: counted, timed, and its errors answered. */
export async function runHandler(
  context: RequestContext,
  handler: (context: RequestContext) => Promise<void> | void,
  options: RunOptions,
): Promise<void> {
  observe(context, options.endpoint, options.metrics);
  try {
    await handler(context);
  } catch (error) {
    answerFailure(context, error, options.onError, options.logger);
  }
}
