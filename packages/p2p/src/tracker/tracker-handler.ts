/**
 * A tracker as a plain Node request handler. Source: spec tracker-agent-ring.md §1. Owns routes, status codes and texts;
 * announces and metainfo are the services'. Mount it in any `node:http` server; that server's time limits apply.
 *
 * Differs from Kraken: what a caller got wrong is a 400 (Kraken: 500, or a dropped connection), bodies are limited, `Allow`
 * comes with a 405, and metainfo is cached here instead of by an nginx in front. There is no `/debug`.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parseDigest, parseInfoHash, parsePiecesRoot, type InfoHash, type PiecesRoot } from '@kraken/core/content';
import { asKrakenError, isKrakenError, KrakenError } from '@kraken/core/errors';
import { matchPath } from '@kraken/core/http';
import type { PeerOrders } from '@kraken/core/policy';
import { silentLogger, silentMetrics, type Logger, type Metrics, type OriginDirectory } from '@kraken/core/ports';
import {
  decodeAnnounceRequest,
  DEFAULT_ANNOUNCE_INTERVAL_MS,
  encodeAnnounceResponse,
  Random,
  Tracker,
  type PeerStoreLimits,
} from '@kraken/core/tracker';
import { AnswerBatch } from './answer-batch.js';
import { AnnounceService } from './announce-service.js';
import { readText, sendBody, sendText } from './http-text.js';
import { DEFAULT_META_INFO_CACHE, MetaInfoService, type MetaInfoCacheOptions } from './metainfo-service.js';
import type { PeerDirectory } from './peer-directory.js';

/** An announce is some 400 bytes. */
const BODY_BYTES_MAX = 64 * 1024;
/** Half of what Kraken's agents wait for an announce. */
const DEFAULT_ORIGIN_WAIT_MS = 5000;

/** What a tracker is made of. Only `origins` is needed. */
export interface TrackerHandlerOptions {
  /** Who seeds a blob, and its metainfo. */
  readonly origins: OriginDirectory;
  /** Limits of the peers in memory. */
  readonly peers?: Partial<PeerStoreLimits>;
  /** Keep peers there instead of in memory. */
  readonly peerDirectory?: PeerDirectory;
  /** Name of a peer order, one that ships or one of `peerOrders` [peerhandoutpolicy.priority]. Kraken's shipped config and ours: `completeness`. */
  readonly peerOrder?: string;
  /** Peer orders of your own, by name: who comes first in an answer is dialled first. */
  readonly peerOrders?: PeerOrders;
  /** [trackerserver.announce_interval] Kraken: 3 s. */
  readonly announceIntervalMs?: number;
  /** Peers of one answer, origins not counted [trackerserver.announce_limit]. Kraken: 50. */
  readonly announceLimit?: number;
  /** Limits that differ from `DEFAULT_META_INFO_CACHE`. */
  readonly metaInfoCache?: Partial<MetaInfoCacheOptions>;
  /** Longest wait of an announcer for the origins; then it gets peers only. Default 5 s. */
  readonly originWaitMs?: number;
  /** Monotonic milliseconds; default `performance.now`. */
  readonly now?: () => number;
  /** Samples of peers. Default: seeded at random. */
  readonly random?: Random;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Default: none. */
  readonly metrics?: Metrics;
}

class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  parameters: Readonly<Record<string, string>> = {};
  #gone: AbortController | undefined;

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.req = req;
    this.res = res;
  }

  /** The client went away before the response was finished. */
  get isAbandoned(): boolean {
    return this.res.closed && !this.res.writableFinished;
  }

  /** Fires when the client goes away before the response is finished. Made on demand: most answers wait for nothing. */
  get signal(): AbortSignal {
    this.#gone ??= new AbortController();
    if (this.isAbandoned) this.#gone.abort();
    return this.#gone.signal;
  }

  /** The connection of the response closed. */
  closed(): void {
    if (this.isAbandoned) this.#gone?.abort();
  }
}

interface Route {
  readonly method: 'GET' | 'POST';
  readonly pattern: string;
  /** Label of metrics: Kraken's names. */
  readonly endpoint: string;
  readonly handle: (exchange: Exchange) => Promise<void> | void;
}

/**
 * @example
 * createServer(createTrackerHandler({ origins })).listen(15003)
 */
export function createTrackerHandler(
  options: TrackerHandlerOptions,
): (req: IncomingMessage, res: ServerResponse) => void {
  const logger = options.logger ?? silentLogger;
  const metrics = options.metrics ?? silentMetrics;
  const now = options.now ?? (() => performance.now());
  const routes = createRoutes(options, { logger, metrics, now });
  return (req, res) => {
    void serve(req, res, routes, { logger, metrics });
  };
}

function createRoutes(
  options: TrackerHandlerOptions,
  shared: { logger: Logger; metrics: Metrics; now: () => number },
): readonly Route[] {
  const { origins, announceLimit, announceIntervalMs = DEFAULT_ANNOUNCE_INTERVAL_MS } = options;
  const { metrics, now } = shared;
  const peerOrder = options.peerOrder ?? 'completeness';
  const tracker = new Tracker({
    random: options.random ?? new Random(randomBytes(4).readUInt32LE()),
    peerOrder,
    ...(options.peerOrders === undefined ? {} : { peerOrders: options.peerOrders }),
    ...(announceLimit === undefined ? {} : { announceLimit }),
    ...(options.peers === undefined ? {} : { limits: options.peers }),
  });
  const announces = new AnnounceService({
    ...shared,
    tracker,
    origins,
    peerDirectory: options.peerDirectory,
    peerOrder,
    announceLimit,
    originWaitMs: options.originWaitMs ?? DEFAULT_ORIGIN_WAIT_MS,
  });
  const metaInfos = new MetaInfoService(origins, {
    cache: { ...DEFAULT_META_INFO_CACHE, ...options.metaInfoCache },
    metrics,
    now,
  });

  const answers = new AnswerBatch(shared.logger);
  const announce = async (exchange: Exchange, fromPath?: InfoHash): Promise<void> => {
    const { req, res } = exchange;
    const { digest, infoHash, peer, event } = decodeAnnounceRequest(await readText(req, BODY_BYTES_MAX));
    const handout = announces.announce({ infoHash: fromPath ?? infoHash, peer, event }, digest, exchange);
    const peers = handout instanceof Promise ? await handout : handout;
    answers.add(req, res, encodeAnnounceResponse(peers, announceIntervalMs));
  };

  return [
    // First: a tracker does little else.
    {
      method: 'POST',
      pattern: '/announce/{infohash}',
      endpoint: 'announce',
      handle: (exchange) => announce(exchange, infoHashParameter(exchange.parameters)),
    },
    {
      method: 'GET',
      pattern: '/health',
      endpoint: 'health',
      handle: ({ req, res }) => sendText(req, res, 200, 'OK\n'),
    },
    {
      method: 'GET',
      pattern: '/readiness',
      endpoint: 'readiness',
      handle: async ({ req, res, signal }) => {
        try {
          await origins.checkReady(signal);
        } catch (error) {
          const { message } = asKrakenError(error, 'not-ready');
          throw new KrakenError('not-ready', `not ready to serve traffic: ${message}`, { cause: error });
        }
        sendText(req, res, 200, 'OK\n');
      },
    },
    { method: 'GET', pattern: '/announce', endpoint: 'announce', handle: (exchange) => announce(exchange) },
    {
      method: 'GET',
      pattern: '/namespace/{namespace}/blobs/{digest}/metainfo',
      endpoint: 'namespace.blobs.metainfo',
      handle: async ({ req, res, parameters, signal }) => {
        const namespace = required(parameters, 'namespace');
        const digest = digestParameter(parameters);
        let response;
        try {
          response = await metaInfos.get(namespace, digest, signal, rejectedRoot(req));
        } catch (error) {
          if (signal.aborted || isKrakenError(error, 'queue-full')) throw error;
          // Not a 503: this tracker is well, it is the origins that are not.
          sendText(req, res, 500, asKrakenError(error, 'origin-unavailable').message);
          return;
        }
        const { status, body } = response;
        if (status === 200) sendText(req, res, 200, body, { 'content-type': 'application/json' });
        else sendText(req, res, status, `origin: ${body}`);
      },
    },
    {
      // Ours: Kraken has no piece layers.
      method: 'GET',
      pattern: '/namespace/{namespace}/blobs/{digest}/piecelayer',
      endpoint: 'namespace.blobs.piecelayer',
      handle: async ({ req, res, parameters, signal }) => {
        const namespace = required(parameters, 'namespace');
        const digest = digestParameter(parameters);
        const root = prefixed('parse root: ', () => parsePiecesRoot(queryOf(req).get('root') ?? ''));
        const layer = await metaInfos.layer(namespace, digest, root, signal);
        if (layer === undefined) sendText(req, res, 404, 'no origin has this piece layer\n');
        else sendBody(req, res, 200, layer, { 'content-type': 'application/octet-stream' });
      },
    },
  ];
}

async function serve(
  req: IncomingMessage,
  res: ServerResponse,
  routes: readonly Route[],
  { logger, metrics }: { logger: Logger; metrics: Metrics },
): Promise<void> {
  const startedAt = performance.now();
  const exchange = new Exchange(req, res);
  const method = req.method ?? '';
  const [path = ''] = (req.url ?? '').split('?', 1);
  let endpoint = '';
  res.on('close', () => {
    exchange.closed();
    const labels = { endpoint, method };
    metrics.count('http_requests_total', 1, { ...labels, status: String(res.statusCode) });
    metrics.observe('http_request_duration_seconds', (performance.now() - startedAt) / 1000, labels);
  });
  try {
    const allowed: string[] = [];
    for (const route of routes) {
      const parameters = matchPath(route.pattern, path);
      if (parameters === undefined) continue;
      endpoint = route.endpoint;
      if (route.method === method) {
        exchange.parameters = parameters;
        await route.handle(exchange);
        return;
      }
      allowed.push(route.method);
    }
    if (allowed.length > 0) sendText(req, res, 405, '', { allow: allowed.join(', ') });
    else sendText(req, res, 404, '404 page not found\n', { 'x-content-type-options': 'nosniff' });
  } catch (thrown) {
    const error = asKrakenError(thrown, 'internal');
    if (res.headersSent || res.destroyed) {
      logger.debug({ code: error.code, method, path, reason: error.message }, 'client went away');
      res.destroy();
      return;
    }
    // An announce that finds nobody is Kraken's 500: a 502 would tell clients that this tracker is broken.
    const status = error.code === 'upstream-failed' ? 500 : error.httpStatus;
    if (error.code === 'internal') logger.error({ err: error, method, path }, 'request failed by a defect');
    else logger.info({ code: error.code, method, path, status, reason: error.message }, 'request refused');
    sendText(req, res, status, error.message);
  }
}

function queryOf(req: IncomingMessage): URLSearchParams {
  const url = req.url ?? '';
  const at = url.indexOf('?');
  return new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
}

/** A root that the blob did not fit; what is no root is ignored. */
function rejectedRoot(req: IncomingMessage): PiecesRoot | undefined {
  const text = queryOf(req).get('rejected_root');
  if (text === null) return undefined;
  try {
    return parsePiecesRoot(text);
  } catch {
    // A hint that says nothing.
    return undefined;
  }
}

function required(parameters: Readonly<Record<string, string>>, name: string): string {
  const value = parameters[name];
  if (value === undefined || value === '') throw new KrakenError('request-invalid', `param ${name} is required`);
  return value;
}

function infoHashParameter(parameters: Readonly<Record<string, string>>): InfoHash {
  const text = required(parameters, 'infohash');
  return prefixed('parse infohash: ', () => parseInfoHash(text));
}

/** Kraken wraps the reason twice. */
function digestParameter(parameters: Readonly<Record<string, string>>): ReturnType<typeof parseDigest> {
  const text = required(parameters, 'digest');
  return prefixed('parse digest: server error 400: parse digest: ', () => parseDigest(text));
}

function prefixed<T>(prefix: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const { message } = asKrakenError(error, 'request-invalid');
    throw new KrakenError('request-invalid', prefix + message, { cause: error });
  }
}
