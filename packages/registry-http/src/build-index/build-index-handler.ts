/**
 * The build-index HTTP API over a tag service. Source: spec index-proxy-registry-config.md §1.
 *
 * Owns paths, statuses and bodies; byte-compatible with Kraken except where a status blamed the server for a bad request.
 * A tag that cannot be looked up because storage is down stays 404 for Go's sake (a client that asks before it pushes must
 * not be stopped), with the reason in a header.
 */
import {
  asObject,
  getArray,
  getInteger,
  goJsonString,
  parseDigest,
  parseGoJson,
  type Digest,
} from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { parseGoBool, unescapePathParameter } from '@kraken/core/http';
import type { ListPage, Logger, Metrics } from '@kraken/core/ports';
import {
  createRouter,
  readBody,
  sendEmpty,
  sendErrorText,
  sendText,
  type ErrorResponder,
  type HttpHandler,
  type RequestContext,
  type Route,
} from '../http/index.js';
import { delayFromBody, delayMsOf, digestParam, parseGoInteger, requiredParam } from '../origin/origin-params.js';
import type { TagService } from './tag-service.js';
import { parseReplaced } from './tag-write-back.js';

/** Why a lookup that answers 404 failed. Go clients ignore it. */
export const ERROR_HEADER = 'kraken-error';
/** On a neighbour's put: what it replaced, and when it happened (ms since the epoch). */
export const REPLACES_HEADER = 'kraken-replaces';
export const PUT_AT_HEADER = 'kraken-put-at';

const LIST_PATH = '/list/';

/** Dependencies of one tag: 10,000 digests of 74 bytes. */
const BODY_MAX_BYTES = 768 * 1024;

/** What the build-index server stands on. */
export interface BuildIndexHandlerOptions {
  readonly service: TagService;
  /** `host:port` under which other clusters reach the origins of this one. */
  readonly originAddress: () => string;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** A listener for `node:http`; mounts in any framework. */
export function createBuildIndexHandler(options: BuildIndexHandlerOptions): HttpHandler {
  return createRouter(buildIndexRoutes(options), {
    onError: sendTagError,
    ...(options.logger === undefined ? {} : { logger: options.logger }),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  });
}

/** The routes alone, to serve them beside others. */
export function buildIndexRoutes({ service, originAddress }: BuildIndexHandlerOptions): readonly Route[] {
  return [
    { method: 'GET', path: '/health', handler: (context) => sendText(context, 200, 'OK\n') },
    {
      method: 'GET',
      path: '/readiness',
      async handler(context) {
        try {
          await service.checkReady(context.signal);
        } catch (error) {
          throw new KrakenError(
            'not-ready',
            `not ready to serve traffic: ${error instanceof Error ? error.message : String(error)}`,
            { cause: error },
          );
        }
        sendText(context, 200, 'OK\n');
      },
    },
    {
      method: 'PUT',
      path: '/tags/{tag}/digest/{digest}',
      async handler(context) {
        const tag = requiredParam(context, 'tag');
        const digest = digestParam(context);
        const text = context.query.get('replicate') ?? '';
        const replicate = text === '' ? false : parseGoBool(text);
        if (replicate === undefined) {
          throw new KrakenError(
            'request-invalid',
            `parse query arg \`replicate\`: strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`,
          );
        }
        await service.put(tag, digest, { replicate, signal: context.signal });
        sendEmpty(context, 200);
      },
    },
    {
      method: 'HEAD',
      path: '/tags/{tag}',
      handler: async (context) => sendEmpty(context, (await service.has(requiredParam(context, 'tag'))) ? 200 : 404),
    },
    {
      method: 'GET',
      path: '/tags/{tag}',
      async handler(context) {
        const digest = await lookup(context, () => service.get(requiredParam(context, 'tag')));
        if (digest !== undefined) sendText(context, 200, digest);
      },
    },
    {
      method: 'POST',
      path: '/remotes/tags/{tag}',
      async handler(context) {
        const found = await lookup(context, async () =>
          (await service.replicate(requiredParam(context, 'tag'), context.signal)) ? true : undefined,
        );
        if (found !== undefined) sendEmpty(context, 200);
      },
    },
    {
      method: 'GET',
      path: '/repositories/{repo}/tags',
      async handler(context) {
        const repository = requiredParam(context, 'repo');
        await sendPage(context, (page) => service.listRepository(repository, page));
      },
    },
    {
      method: 'GET',
      // Everything behind the slash, double slashes included.
      path: (rawPath) => (rawPath.startsWith(LIST_PATH) ? {} : undefined),
      endpoint: 'list.*',
      async handler(context) {
        const prefix = unescapePathParameter('prefix', context.rawPath.slice(LIST_PATH.length));
        await sendPage(context, (page) => service.list(prefix, page));
      },
    },
    { method: 'GET', path: '/origin', handler: (context) => sendText(context, 200, originAddress()) },
    {
      method: 'PUT',
      path: '/internal/duplicate/tags/{tag}/digest/{digest}',
      async handler(context) {
        const tag = requiredParam(context, 'tag');
        const digest = digestParam(context);
        const delayMs = delayFromBody(await bodyText(context));
        const { headers } = context.req;
        const putAtMs = parseGoInteger(String(headers[PUT_AT_HEADER] ?? ''));
        await service.duplicatePut(tag, digest, {
          delayMs,
          replaces: parseReplaced(headers[REPLACES_HEADER]),
          ...(putAtMs === undefined ? {} : { putAtMs }),
        });
        sendEmpty(context, 200);
      },
    },
    {
      method: 'POST',
      path: '/internal/duplicate/remotes/tags/{tag}/digest/{digest}',
      async handler(context) {
        const tag = requiredParam(context, 'tag');
        const digest = digestParam(context);
        const { dependencies, delayMs } = duplicateReplicateBody(await bodyText(context));
        await service.duplicateReplicate(tag, digest, dependencies, delayMs);
        sendEmpty(context, 200);
      },
    },
  ];
}

async function bodyText(context: RequestContext): Promise<string> {
  return (await readBody(context.req, BODY_MAX_BYTES)).toString('utf8');
}

function duplicateReplicateBody(text: string): { dependencies: Digest[]; delayMs: number } {
  try {
    if (text.trim() === '') throw new KrakenError('request-invalid', 'EOF');
    const body = asObject(parseGoJson(text, { allowTrailing: true }), 'body');
    const dependencies = getArray(body, 'dependencies').map((value) =>
      parseDigest(typeof value === 'string' ? value : ''),
    );
    return { dependencies, delayMs: delayMsOf(getInteger(body, 'delay')) };
  } catch (error) {
    if (isKrakenError(error))
      throw new KrakenError('request-invalid', `decode body: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Answers 404 itself, with the reason when it is not simply absence. */
async function lookup<T>(context: RequestContext, find: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    const found = await find();
    if (found === undefined) sendEmpty(context, 404);
    return found;
  } catch (error) {
    if (!isKrakenError(error, 'storage-unavailable')) throw error;
    sendEmpty(context, 404, { [ERROR_HEADER]: error.code });
    return undefined;
  }
}

type Page = { limit?: number; continuation?: string } | undefined;

async function sendPage(context: RequestContext, list: (page: Page) => Promise<ListPage>): Promise<void> {
  const page = pageQuery(context.query);
  let listed: ListPage;
  try {
    listed = await list(page);
  } catch (error) {
    if (!isKrakenError(error) || error.code === 'backend-no-match') throw error;
    throw new KrakenError(error.code, `error listing from backend: ${error.message}`, { cause: error });
  }
  const { names, continuation } = listed;
  let next = '';
  if (continuation !== undefined && continuation !== '') {
    const query = new URLSearchParams();
    const limit = context.query.get('limit');
    if (limit !== null) query.set('limit', limit);
    query.set('offset', continuation);
    next = `${context.rawPath}?${query.toString()}`;
  }
  const result = names.length === 0 ? 'null' : `[${names.map(goJsonString).join()}]`;
  sendText(
    context,
    200,
    `{"Links":{"next":${goJsonString(next)},"self":${goJsonString(context.req.url ?? '')}},"size":${names.length},"result":${result}}\n`,
  );
}

/** @throws KrakenError `request-invalid` with Go's words */
function pageQuery(query: URLSearchParams): Page {
  let page: Page;
  for (const key of new Set(query.keys())) {
    if (key !== 'limit' && key !== 'offset') throw new KrakenError('request-invalid', `invalid query ${key}`);
    const values = query.getAll(key);
    const [value = ''] = values;
    if (values.length > 1) throw new KrakenError('request-invalid', `invalid query ${key}:[${values.join(' ')}]`);
    if (key === 'offset') {
      page = { ...page, continuation: value };
      continue;
    }
    const limit = parseGoInteger(value);
    if (limit === undefined)
      throw new KrakenError(
        'request-invalid',
        `invalid limit [${value}]: strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
      );
    if (limit === 0) throw new KrakenError('request-invalid', 'invalid limit 0');
    page = { ...page, limit };
  }
  return page;
}

const sendTagError: ErrorResponder = (context, error) => {
  if (error.httpStatus === 404) sendEmpty(context, 404);
  else sendErrorText(context, error);
};
