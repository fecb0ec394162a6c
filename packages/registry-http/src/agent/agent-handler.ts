/**
 * The agent server API: blobs and tags for local programs, health, and the operator's levers. Takes plain callbacks, so
 * any node can stand behind it. Never decides anything about the swarm. Source: spec tracker-agent-ring.md §7.2.
 *
 * Differs from Go: `Content-Length`, `Range` and HEAD on blobs; a copy that fails breaks the connection instead of
 * appending the error to the body.
 */
import { digestFromHex, parseDigest, type Digest, type InfoHash, type PeerId } from '@kraken/core/content';
import { isKrakenError, KrakenError, asKrakenError } from '@kraken/core/errors';
import { parseRangeHeader } from '@kraken/core/http';
import {
  silentLogger,
  silentMetrics,
  type BlobSource,
  type Logger,
  type Metrics,
  type TagSource,
} from '@kraken/core/ports';
import {
  createRouter,
  readBody,
  sendBytes,
  sendEmpty,
  sendJson,
  sendText,
  type HttpHandler,
  type RequestContext,
  type Route,
} from '../http/index.js';
import { hexBytes } from './hex-bytes.js';

/** A connection that is not tried again for a while. */
export interface BlacklistEntry {
  readonly peerId: PeerId;
  readonly infoHash: InfoHash;
  /** Negative once it has run out. */
  readonly remainingMs: number;
}

/** One thing that must answer before the agent is ready; the error text goes into the answer. */
export type ReadinessCheck = (signal: AbortSignal) => Promise<void>;

/** What the agent server stands on. */
export interface AgentHandlerOptions {
  readonly blobs: BlobSource;
  readonly tags: Pick<TagSource, 'get'>;
  /** Drop the torrent and its file; no error when there is none. */
  remove(digest: Digest): Promise<void>;
  /** Resolves when the event loop of the swarm answers. */
  probe(): Promise<void>;
  /** Asked in parallel beside `probe`, reported in this order. Go: build-index, tracker. */
  readonly ready: readonly ReadinessCheck[];
  /** Peers that are left alone. */
  blacklist(): readonly BlacklistEntry[] | Promise<readonly BlacklistEntry[]>;
  /** A whole scheduler configuration in Go's field names (`SeederTTI`, …; durations in ns). @throws KrakenError `request-invalid` */
  reconfigure(config: unknown): Promise<void>;
  /** Make a container runtime on this host pull a tag. Absent: 501. */
  preload?(request: PreloadRequest, signal: AbortSignal): Promise<void>;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** An image that a container runtime of this host should pull. */
export interface PreloadRequest {
  readonly runtime: 'docker' | 'containerd';
  readonly repository: string;
  readonly tag: string;
  /** Namespace of containerd; '' is its default. */
  readonly namespace: string;
}

const CONFIG_BYTES_MAX = 1_048_576;
const NS_PER_MS = 1_000_000;

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Bare hex or the full form. @throws KrakenError `digest-invalid` with Go's prefix */
function digestParameter(text: string): Digest {
  try {
    return /^[0-9a-f]{64}$/i.test(text) ? digestFromHex(text) : parseDigest(text);
  } catch (error) {
    throw new KrakenError('digest-invalid', `parse digest: ${textOf(error)}`, { cause: error });
  }
}

/** Our own limits, which Go does not have, keep their status; for the rest clients rely on Go's 500. */
const OWN_STATUS: ReadonlySet<string> = new Set(['too-many-pulls', 'queue-full', 'shutting-down', 'cancelled']);

function sendPullFailure(context: RequestContext, thrown: unknown): void {
  const error = asKrakenError(thrown, 'internal');
  if (error.code === 'blob-unknown') sendEmpty(context, 404);
  else sendText(context, OWN_STATUS.has(error.code) ? error.httpStatus : 500, `download torrent: ${error.message}`);
}

async function headBlob(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  const digest = digestParameter(context.params['digest'] ?? '');
  const found = await options.blobs.stat(context.params['namespace'] ?? '', digest, context.signal);
  if (found === undefined) throw new KrakenError('blob-unknown');
  context.res
    .writeHead(200, {
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      etag: `"${digest}"`,
      'content-length': found.length,
    })
    .end();
}

async function getBlob(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  const digest = digestParameter(context.params['digest'] ?? '');
  const namespace = context.params['namespace'] ?? '';
  const { signal } = context;
  const header = context.req.headers.range;
  let range: { start: number; end: number } | undefined;
  if (header !== undefined) {
    const found = await options.blobs.stat(namespace, digest, signal);
    if (found === undefined) throw new KrakenError('blob-unknown');
    const wanted = parseRangeHeader(header, found.length);
    if (wanted === 'unsatisfiable') {
      sendEmpty(context, 416, { 'content-range': `bytes */${found.length}` });
      return;
    }
    range = wanted;
  }
  const blob = await options.blobs.open(namespace, digest, { signal, ...(range === undefined ? {} : { range }) });
  try {
    await sendBytes(context, blob.stream(range), {
      length: range === undefined ? blob.length : range.end - range.start,
      status: range === undefined ? 200 : 206,
      headers: {
        'content-type': 'application/octet-stream',
        'accept-ranges': 'bytes',
        etag: `"${digest}"`,
        ...(range === undefined ? {} : { 'content-range': `bytes ${range.start}-${range.end - 1}/${blob.length}` }),
      },
    });
  } finally {
    blob.close();
  }
}

async function getTag(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  try {
    sendText(context, 200, await options.tags.get(context.params['tag'] ?? '', context.signal));
  } catch (error) {
    if (isKrakenError(error, 'tag-unknown')) sendEmpty(context, 404);
    else sendText(context, 500, `get tag: ${textOf(error)}`);
  }
}

async function readiness(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  const checks = [options.probe(), ...options.ready.map((check) => check(context.signal))];
  const problems = (await Promise.allSettled(checks)).flatMap((result) =>
    result.status === 'rejected' ? [textOf(result.reason)] : [],
  );
  if (problems.length === 0) sendText(context, 200, 'OK');
  else sendText(context, 503, `agent not ready: ${problems.join('\n')}`);
}

async function health(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  try {
    await options.probe();
  } catch (error) {
    sendText(context, 500, `probe torrent client: ${textOf(error)}`);
    return;
  }
  sendText(context, 200, 'OK');
}

async function removeBlob(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  const digest = digestParameter(context.params['digest'] ?? '');
  try {
    await options.remove(digest);
  } catch (error) {
    sendText(context, 500, `remove torrent: ${textOf(error)}`);
    return;
  }
  sendEmpty(context, 200);
}

async function reconfigure(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  const body = await readBody(context.req, CONFIG_BYTES_MAX);
  let config: unknown;
  try {
    config = JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new KrakenError('request-invalid', `json decode: ${textOf(error)}`, { cause: error });
  }
  await options.reconfigure(config);
  sendEmpty(context, 200);
}

async function blacklist(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  const entries = await options.blacklist();
  const listed = entries.map((entry) => ({
    peer_id: hexBytes(entry.peerId),
    info_hash: hexBytes(entry.infoHash),
    remaining: Math.round(entry.remainingMs * NS_PER_MS),
  }));
  // Go writes a list that was never filled as null, and lets the content type be sniffed.
  sendJson(context, 200, listed.length === 0 ? null : listed, { 'content-type': 'text/plain; charset=utf-8' });
}

async function preload(options: AgentHandlerOptions, context: RequestContext): Promise<void> {
  const parts = (context.params['tag'] ?? '').split(':');
  const [repository, tag] = parts;
  if (parts.length !== 2 || repository === undefined || tag === undefined) {
    sendText(context, 500, 'failed to parse docker image tag');
    return;
  }
  const runtime = context.query.get('runtime') ?? '';
  if (runtime !== '' && runtime !== 'docker' && runtime !== 'containerd') {
    sendText(context, 500, 'unsupported container runtime');
    return;
  }
  if (options.preload === undefined) {
    sendText(context, 501, 'preloading into a container runtime is not configured on this agent');
    return;
  }
  const wanted = {
    runtime: runtime === '' ? 'docker' : runtime,
    repository,
    tag,
    namespace: context.query.get('namespace') ?? '',
  } as const;
  try {
    await options.preload(wanted, context.signal);
  } catch (error) {
    sendText(context, 500, `${wanted.runtime} pull: ${textOf(error)}`);
    return;
  }
  sendEmpty(context, 200);
}

/** The agent server as a request listener. Go serves it on a port of its own, apart from the registry. */
export function createAgentHandler(options: AgentHandlerOptions): HttpHandler {
  const { logger = silentLogger, metrics = silentMetrics } = options;
  const blob = '/namespace/{namespace}/blobs/{digest}';
  const onBlobError: Route['onError'] = (context, error) =>
    error.code === 'digest-invalid' ? sendText(context, 400, error.message) : sendPullFailure(context, error);
  const routes: readonly Route[] = [
    { method: 'GET', path: '/health', handler: (context) => health(options, context) },
    { method: 'GET', path: '/readiness', handler: (context) => readiness(options, context) },
    { method: 'GET', path: '/tags/{tag}', handler: (context) => getTag(options, context) },
    { method: 'GET', path: blob, handler: (context) => getBlob(options, context), onError: onBlobError },
    { method: 'HEAD', path: blob, handler: (context) => headBlob(options, context), onError: onBlobError },
    { method: 'DELETE', path: '/blobs/{digest}', handler: (context) => removeBlob(options, context) },
    { method: 'GET', path: '/preload/tags/{tag}', handler: (context) => preload(options, context) },
    { method: 'PATCH', path: '/x/config/scheduler', handler: (context) => reconfigure(options, context) },
    { method: 'GET', path: '/x/blacklist', handler: (context) => blacklist(options, context) },
  ];
  return createRouter(routes, { wrongMethod: 'not-found', logger, metrics });
}
