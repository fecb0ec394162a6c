/**
 * The origin's HTTP API over an origin service. Source: spec origin-store-backends.md §1.
 *
 * Owns paths, statuses and headers; byte-compatible with Kraken except where it states a fact better: blobs carry their
 * length and can be read by range, a failed stream breaks the connection, a digest mismatch is 400, a backend that is down
 * is 503. Never decides what happens to a blob.
 */
import { peerContextToJson, serializeMetaInfo, type PeerContext } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { parseContentRange, parseGoBool, parseRangeHeader } from '@kraken/core/http';
import { refreshStatus, type RefreshOutcome } from '@kraken/core/origin';
import type { Logger, Metrics } from '@kraken/core/ports';
import {
  bodyBytes,
  contentLength,
  createRouter,
  readBody,
  sendBuffer,
  sendBytes,
  sendEmpty,
  sendErrorText,
  sendText,
  type ErrorResponder,
  type HttpHandler,
  type RequestContext,
  type Route,
} from '../http/index.js';
import { delayFromBody, digestParam, parseGoInteger, requiredParam, rootParam } from './origin-params.js';
import type { Found, OriginService } from './origin-service.js';

/** Marks the start and chunks of a copy between our origins; Go origins ignore it. Source: spec §10 (20). */
export const COPY_HEADER = 'kraken-copy';

/** A small JSON body: a delay, or the scheduler's settings. */
const JSON_BODY_MAX_BYTES = 1024 * 1024;
/** Largest chunk of an upload. Go sends 32 MiB; other clients may send a blob whole. */
const CHUNK_MAX_BYTES = 2 ** 40;

/** What the origin server stands on. */
export interface OriginHandlerOptions {
  readonly service: OriginService;
  /** Who this origin is in the swarm. */
  readonly peerContext: PeerContext;
  /** `PATCH /x/config/scheduler`: the JSON text. Absent: the route does not exist. */
  readonly reloadScheduler?: (json: string) => Promise<void>;
  /** May blobs be copied to the origins at `host:port`? Default: nowhere (Kraken: anywhere). */
  readonly allowRemote?: (hostPort: string) => boolean;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** A listener for `node:http`; mounts in any framework. */
export function createOriginHandler(options: OriginHandlerOptions): HttpHandler {
  return createRouter(originRoutes(options), {
    wrongMethod: 'not-found',
    onError: sendOriginError,
    ...(options.logger === undefined ? {} : { logger: options.logger }),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  });
}

/** The routes alone, to serve them beside others. */
export function originRoutes(options: OriginHandlerOptions): readonly Route[] {
  const { service, reloadScheduler } = options;
  const blob = '/namespace/{namespace}/blobs/{digest}';
  const internal = '/internal/blobs/{digest}';

  const start = async (context: RequestContext): Promise<void> => {
    const digest = digestParam(context);
    const sizeBytes = announcedSize(context);
    const namespace = 'namespace' in context.params ? requiredParam(context, 'namespace') : undefined;
    const session = { ...(sizeBytes === undefined ? {} : { sizeBytes }), isCopy: isCopy(context) };
    const id =
      namespace === undefined
        ? await service.startTransfer(digest, session)
        : await service.startUpload(namespace, digest, session);
    sendEmpty(context, 200, { location: id });
  };

  const chunk = async (context: RequestContext): Promise<void> => {
    const digest = digestParam(context);
    const namespace = 'namespace' in context.params ? requiredParam(context, 'namespace') : undefined;
    const id = requiredParam(context, 'uid');
    const range = parseContentRange(context.req.headers['content-range']);
    const expected = Math.max(0, range.end - range.start);
    const length = contentLength(context.req);
    if (expected > CHUNK_MAX_BYTES)
      throw new KrakenError('body-too-large', `a chunk may have at most ${CHUNK_MAX_BYTES} bytes`);
    if (length !== undefined && length !== expected && range.end > range.start) {
      throw new KrakenError('size-invalid', `Content-Range says ${expected} bytes, Content-Length ${length}`);
    }
    await service.writeChunk(
      namespace,
      digest,
      id,
      { start: range.start, end: Math.max(range.start, range.end) },
      bodyBytes(context.req),
      {
        isCopy: isCopy(context),
      },
    );
    sendEmpty(context, 200);
  };

  const routes: Route[] = [
    { method: 'GET', path: '/health', handler: (context) => sendText(context, 200, 'OK\n') },
    {
      method: 'GET',
      path: '/readiness',
      async handler(context) {
        try {
          await service.checkReady(context.signal);
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error);
          throw new KrakenError('not-ready', `not ready to serve traffic: ${why}`, { cause: error });
        }
        sendText(context, 200, 'OK\n');
      },
    },
    {
      method: 'GET',
      path: '/blobs/{digest}/locations',
      handler: (context) =>
        sendEmpty(context, 200, { 'origin-locations': service.locations(digestParam(context)).join(',') }),
    },
    { method: 'POST', path: `${blob}/uploads`, handler: start },
    { method: 'PATCH', path: `${blob}/uploads/{uid}`, handler: chunk },
    {
      method: 'PUT',
      path: `${blob}/uploads/{uid}`,
      async handler(context) {
        const digest = digestParam(context);
        await service.commitUpload(requiredParam(context, 'namespace'), digest, requiredParam(context, 'uid'));
        sendEmpty(context, 200);
      },
    },
    { method: 'POST', path: `${internal}/uploads`, handler: start },
    { method: 'PATCH', path: `${internal}/uploads/{uid}`, handler: chunk },
    {
      method: 'PUT',
      path: `${internal}/uploads/{uid}`,
      async handler(context) {
        await service.commitTransfer(digestParam(context), requiredParam(context, 'uid'));
        sendEmpty(context, 200);
      },
    },
    {
      method: 'PUT',
      path: '/internal/duplicate/namespace/{namespace}/blobs/{digest}/uploads/{uid}',
      async handler(context) {
        const digest = digestParam(context);
        const namespace = requiredParam(context, 'namespace');
        const id = requiredParam(context, 'uid');
        const delayMs = delayFromBody((await readBody(context.req, JSON_BODY_MAX_BYTES)).toString('utf8'));
        await service.commitDuplicate(namespace, digest, id, delayMs);
        sendEmpty(context, 200);
      },
    },
    {
      method: 'GET',
      path: blob,
      async handler(context) {
        const namespace = requiredParam(context, 'namespace');
        const digest = digestParam(context);
        const found = await service.open(namespace, digest);
        if (found.kind !== 'found') {
          sendOutcome(context, found);
          return;
        }
        const { value: opened } = found;
        try {
          const range = parseRangeHeader(context.req.headers.range, opened.length);
          const headers = { 'accept-ranges': 'bytes', 'content-type': 'application/octet-stream', etag: `"${digest}"` };
          if (range === 'unsatisfiable') {
            sendEmpty(context, 416, { 'content-range': `bytes */${opened.length}` });
          } else if (range === undefined) {
            await sendBytes(context, opened.stream(), { length: opened.length, headers });
          } else {
            await sendBytes(context, opened.stream(range), {
              length: range.end - range.start,
              status: 206,
              headers: { ...headers, 'content-range': `bytes ${range.start}-${range.end - 1}/${opened.length}` },
            });
          }
        } finally {
          opened.close();
        }
      },
    },
    {
      method: 'POST',
      path: `${blob}/prefetch`,
      handler: async (context) =>
        sendOutcome(context, await service.prefetch(requiredParam(context, 'namespace'), digestParam(context))),
    },
    {
      method: 'POST',
      path: `${blob}/remote/{remote}`,
      async handler(context) {
        const namespace = requiredParam(context, 'namespace');
        const digest = digestParam(context);
        const remote = requiredParam(context, 'remote');
        if (options.allowRemote?.(remote) !== true)
          throw new KrakenError('forbidden', `${JSON.stringify(remote)} is not a configured remote cluster`);
        sendOutcome(context, await service.replicateToRemote(namespace, digest, remote, context.signal));
      },
    },
    {
      method: 'DELETE',
      path: internal,
      async handler(context) {
        const digest = digestParam(context);
        try {
          sendEmpty(context, (await service.delete(digest)) ? 202 : 404);
        } catch (error) {
          if (!isKrakenError(error, 'blob-pinned')) throw error;
          throw new KrakenError(
            'blob-pinned',
            `cannot delete blob data for digest ${JSON.stringify(digest)}: file is persisted`,
            { cause: error },
          );
        }
      },
    },
    {
      method: 'POST',
      path: `${internal}/metainfo`,
      async handler(context) {
        const digest = digestParam(context);
        const text = context.query.get('piece_length') ?? '';
        const pieceLength = parseGoInteger(text);
        if (pieceLength === undefined) {
          throw new KrakenError(
            'request-invalid',
            `invalid piece_length argument: strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`,
          );
        }
        await service.overwriteMetaInfo(digest, pieceLength);
        sendEmpty(context, 200);
      },
    },
    {
      method: 'GET',
      path: '/internal/peercontext',
      handler: (context) => sendText(context, 200, `${peerContextToJson(options.peerContext)}\n`),
    },
    {
      method: 'HEAD',
      path: '/internal/namespace/{namespace}/blobs/{digest}',
      handler: (context) => stat(service, context),
    },
    {
      method: 'GET',
      path: '/internal/namespace/{namespace}/blobs/{digest}/metainfo',
      async handler(context) {
        const namespace = requiredParam(context, 'namespace');
        const found = await service.metaInfo(namespace, digestParam(context));
        if (found.kind === 'found') sendText(context, 200, serializeMetaInfo(found.value));
        else sendOutcome(context, found);
      },
    },
    {
      // Ours: Kraken has no piece layers. The root in the query says which one is meant.
      method: 'GET',
      path: '/internal/namespace/{namespace}/blobs/{digest}/piecelayer',
      async handler(context) {
        requiredParam(context, 'namespace');
        const root = rootParam(context);
        const layer = await service.pieceLayer(digestParam(context), root);
        if (layer === undefined) sendEmpty(context, 404);
        else sendBuffer(context, 200, layer, { 'content-type': 'application/octet-stream' });
      },
    },
    { method: 'POST', path: '/forcecleanup', handler: (context) => forceCleanup(service, context) },
    {
      method: 'POST',
      path: '/forcecleanup/v2',
      handler: (context) => sendText(context, 501, 'migration to disk.Store not yet done'),
    },
  ];
  if (reloadScheduler !== undefined) {
    routes.push({
      method: 'PATCH',
      path: '/x/config/scheduler',
      async handler(context) {
        await reloadScheduler((await readBody(context.req, JSON_BODY_MAX_BYTES)).toString('utf8'));
        sendEmpty(context, 200);
      },
    });
  }
  return routes;
}

async function stat(service: OriginService, context: RequestContext): Promise<void> {
  const text = context.query.get('local');
  const local = text === null || text === '' ? false : parseGoBool(text);
  if (local === undefined) {
    // Kraken answers 500 here and a test of its own pins that.
    sendText(
      context,
      500,
      `parse arg \`local\` as bool: strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
    return;
  }
  const namespace = requiredParam(context, 'namespace');
  const found = await service.stat(namespace, digestParam(context), local);
  if (found === undefined) {
    sendEmpty(context, 404);
    return;
  }
  context.res.writeHead(200, { 'content-length': found.length }).end();
}

async function forceCleanup(service: OriginService, context: RequestContext): Promise<void> {
  const text = context.query.get('ttl_hr') ?? '';
  if (text === '') throw new KrakenError('request-invalid', 'query arg ttl_hr required');
  const hours = parseGoInteger(text);
  // A negative age would delete everything, which nobody means.
  if (hours === undefined || hours < 0)
    throw new KrakenError(
      'request-invalid',
      `invalid ttl_hr: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  const { deleted, errors } = await service.forceCleanup(hours * 3_600_000);
  sendText(
    context,
    200,
    `${JSON.stringify({ deleted: deleted.length === 0 ? null : deleted, errors: errors.length === 0 ? null : errors })}\n`,
  );
}

function sendOutcome(
  context: RequestContext,
  outcome: RefreshOutcome | Exclude<Found<unknown>, { kind: 'found' }>,
): void {
  if (outcome.kind === 'failed') throw new KrakenError(outcome.code, outcome.message);
  sendEmpty(context, refreshStatus(outcome));
}

/** Absence and conflict have no body in Kraken; everything else says why. */
const sendOriginError: ErrorResponder = (context, error) => {
  const status = error.httpStatus;
  if (status === 404 || error.code === 'blob-exists') sendEmpty(context, status);
  else sendErrorText(context, error);
};

function isCopy(context: RequestContext): boolean {
  return context.req.headers[COPY_HEADER] !== undefined;
}

function announcedSize(context: RequestContext): number | undefined {
  const text = context.query.get('size');
  const size = text === null ? undefined : parseGoInteger(text);
  return size === undefined || size < 0 ? undefined : size;
}
