/**
 * Build-index over HTTP: one host, or any of a cluster. Source: spec index-proxy-registry-config.md §0.2, §1.2.
 *
 * Owns requests, what their answers mean, and which host is asked next: a host without an answer is passed over, an
 * answer is final. Never caches.
 */
import {
  asObject,
  getArray,
  getField,
  getObject,
  getString,
  parseDigest,
  parseGoJson,
  type Digest,
} from '@kraken/core/content';
import { ERRORS, isKrakenError, KrakenError, type ErrorCode } from '@kraken/core/errors';
import { escapePathSegment } from '@kraken/core/http';
import type { CancelSignal, TagSource } from '@kraken/core/ports';
import { Random } from '@kraken/core/retry';
import { randomInt } from 'node:crypto';
import type { HostSource } from '../cluster/index.js';
import { upstreamFailure, type HttpClient, type HttpRequestOptions, type HttpResponse } from '../http/index.js';
import { ERROR_HEADER, PUT_AT_HEADER, REPLACES_HEADER } from './build-index-handler.js';
import type { RemoteBuildIndex } from './tag-replication.js';
import type { BuildIndexNeighbour } from './tag-service.js';
import type { Replaced } from './tag-write-back.js';

/** Milliseconds until the head of the answer. Kraken's totals. */
const TIMEOUT_MS = { quick: 5000, lookup: 10_000, put: 30_000, replicate: 15_000, list: 60_000 } as const;
const LIST_MAX_BYTES = 256 * 1024 * 1024;
/** Pages of one listing; a server that never ends is stopped. */
const PAGES_MAX = 100_000;
/** Hosts that one call tries. */
const HOSTS_TRIED_MAX = 3;

/** Which hosts are asked. */
export interface BuildIndexClientOptions {
  readonly source: HostSource;
  readonly http: HttpClient;
  readonly random?: Random;
}

export class BuildIndexClient implements TagSource, RemoteBuildIndex, BuildIndexNeighbour {
  readonly #source: HostSource;
  readonly #http: HttpClient;
  readonly #random: Random;

  constructor(options: BuildIndexClientOptions) {
    this.#source = options.source;
    this.#http = options.http;
    this.#random = options.random ?? new Random(randomInt(2 ** 32));
  }

  /** A client of one host. */
  static of(address: string, http: HttpClient): BuildIndexClient {
    return new BuildIndexClient({ source: { hosts: () => [address] }, http });
  }

  /** @throws KrakenError `not-ready` */
  async checkReady(signal?: CancelSignal): Promise<void> {
    try {
      await (await this.#request('/readiness', { headersTimeoutMs: TIMEOUT_MS.quick, signal })).discard();
    } catch (error) {
      if (isKrakenError(error, 'cancelled')) throw error;
      throw new KrakenError('not-ready', `build-index: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  async get(tag: string, signal?: CancelSignal): Promise<Digest> {
    const response = await this.#request(tagPath(tag), {
      accept: [200, 404],
      headersTimeoutMs: TIMEOUT_MS.lookup,
      signal,
    });
    if (response.status === 404) throw await missingTag(response, tag);
    return parseDigest((await response.text(1024)).trim());
  }

  /** Whether the tag exists. @throws KrakenError `build-index-unavailable`, `upstream-failed` */
  async has(tag: string, signal?: CancelSignal): Promise<boolean> {
    const response = await this.#request(tagPath(tag), {
      method: 'HEAD',
      accept: [200, 404],
      headersTimeoutMs: TIMEOUT_MS.lookup,
      signal,
    });
    await response.discard();
    return response.status === 200;
  }

  /** Put and replicate to the clusters that the tag matches. */
  put(tag: string, digest: Digest, signal?: CancelSignal): Promise<void> {
    return this.#put(`${tagPath(tag)}/digest/${digest}?replicate=true`, signal);
  }

  /** Put without replication. */
  putOnly(tag: string, digest: Digest, signal?: CancelSignal): Promise<void> {
    return this.#put(`${tagPath(tag)}/digest/${digest}`, signal);
  }

  /** Copy an existing tag to the clusters it matches. @throws KrakenError `tag-unknown`, `build-index-unavailable` */
  async replicate(tag: string, signal?: CancelSignal): Promise<void> {
    const response = await this.#request(`/remotes${tagPath(tag)}`, {
      method: 'POST',
      accept: [200, 404],
      headersTimeoutMs: TIMEOUT_MS.replicate,
      signal,
    });
    if (response.status === 404) throw await missingTag(response, tag);
    await response.discard();
  }

  /** `host:port` of the origins there. */
  async origin(signal?: CancelSignal): Promise<string> {
    return (await this.#request('/origin', { headersTimeoutMs: TIMEOUT_MS.quick, signal })).text(1024);
  }

  /** Tell a neighbour of a put. @throws KrakenError `build-index-unavailable`, `upstream-failed` */
  async duplicatePut(
    tag: string,
    digest: Digest,
    options: { delayMs: number; replaces: Replaced; putAtMs: number },
    signal?: CancelSignal,
  ): Promise<void> {
    const response = await this.#request(`/internal/duplicate${tagPath(tag)}/digest/${digest}`, {
      method: 'PUT',
      headers: { [REPLACES_HEADER]: options.replaces, [PUT_AT_HEADER]: String(Math.round(options.putAtMs)) },
      body: `{"delay":${nanoseconds(options.delayMs)}}`,
      headersTimeoutMs: TIMEOUT_MS.lookup,
      signal,
    });
    await response.discard();
  }

  /** Tell a neighbour of a replication. @throws KrakenError `build-index-unavailable`, `upstream-failed` */
  async duplicateReplicate(
    tag: string,
    digest: Digest,
    dependencies: readonly Digest[],
    delayMs: number,
    signal?: CancelSignal,
  ): Promise<void> {
    const response = await this.#request(`/internal/duplicate/remotes${tagPath(tag)}/digest/${digest}`, {
      method: 'POST',
      body: `{"dependencies":${JSON.stringify(dependencies)},"delay":${nanoseconds(delayMs)}}`,
      headersTimeoutMs: TIMEOUT_MS.lookup,
      signal,
    });
    await response.discard();
  }

  async listRepository(repository: string, signal?: CancelSignal): Promise<readonly string[]> {
    // Escaped twice, as Go's client does; servers decode until nothing is left to decode.
    const path = `/repositories/${escapePathSegment(escapePathSegment(repository))}/tags`;
    const tags: string[] = [];
    let offset: string | undefined;
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const page = await this.#page(path, offset === undefined ? {} : { offset }, signal);
      tags.push(...page.names);
      if (page.offset === undefined) {
        if (tags.length === 0) throw new KrakenError('repository-unknown', `repository ${repository} has no tags`);
        return tags;
      }
      offset = page.offset;
    }
    throw new KrakenError('upstream-failed', `build-index gave more than ${PAGES_MAX} pages of ${path}`);
  }

  list(
    prefix: string,
    page: { limit?: number; offset?: string } = {},
    signal?: CancelSignal,
  ): Promise<{ names: readonly string[]; offset?: string }> {
    return this.#page(`/list/${prefix.split('/').map(escapePathSegment).join('/')}`, page, signal);
  }

  async #page(
    path: string,
    page: { limit?: number; offset?: string },
    signal: CancelSignal | undefined,
  ): Promise<{ names: readonly string[]; offset?: string }> {
    const query = new URLSearchParams();
    if (page.limit !== undefined) query.set('limit', String(page.limit));
    if (page.offset !== undefined) query.set('offset', page.offset);
    const text = query.size === 0 ? '' : `?${query.toString()}`;
    const response = await this.#request(`${path}${text}`, { headersTimeoutMs: TIMEOUT_MS.list, signal });
    const body = asObject(parseGoJson(await response.text(LIST_MAX_BYTES), { allowTrailing: true }), 'listing');
    const names = getArray(body, 'result').filter((name) => typeof name === 'string');
    const next = getField(body, 'links') === undefined ? '' : getString(getObject(body, 'links'), 'next');
    if (next === '') return { names };
    const offset = new URL(next, 'http://build-index').searchParams.get('offset');
    if (offset === null || offset === '')
      throw new KrakenError('upstream-failed', 'build-index gave a next page without an offset');
    return { names, offset };
  }

  async #put(path: string, signal: CancelSignal | undefined): Promise<void> {
    try {
      await (await this.#request(path, { method: 'PUT', headersTimeoutMs: TIMEOUT_MS.put, signal })).discard();
    } catch (error) {
      throw putError(error);
    }
  }

  async #request(path: string, options: HttpRequestOptions): Promise<HttpResponse> {
    const hosts = this.#random.shuffle([...this.#source.hosts()]).slice(0, HOSTS_TRIED_MAX);
    let last: unknown;
    for (const host of hosts) {
      try {
        return await this.#http.request(host, path, options);
      } catch (error) {
        if (!isKrakenError(error, 'network-error')) throw error;
        this.#source.failed?.(host);
        last = error;
      }
    }
    const why = last instanceof Error ? last.message : 'cluster client: no hosts could be resolved';
    throw new KrakenError('build-index-unavailable', why, { cause: last });
  }
}

/** A 404, or the failure of storage that looks like one to Go clients. */
async function missingTag(response: HttpResponse, tag: string): Promise<KrakenError> {
  await response.discard();
  const code = response.header(ERROR_HEADER);
  if (code !== undefined && code in ERRORS)
    return new KrakenError(code as ErrorCode, `build-index cannot look up ${tag}: ${ERRORS[code as ErrorCode].says}`);
  return new KrakenError('tag-unknown', `tag ${tag} does not exist`);
}

/** The reasons of a refused put, as ours and Go's build-index word them. */
function putError(error: unknown): unknown {
  const failure = upstreamFailure(error);
  if (failure === undefined) return error;
  const { status, body } = failure;
  if (body.startsWith('cannot upload tag, missing dependency') || body.includes('download manifest: blob not found')) {
    return new KrakenError('manifest-blob-unknown', body, { cause: error });
  }
  if (status === 409) return new KrakenError('tag-conflict', body, { cause: error });
  if (status === 400 && body.startsWith('resolve dependencies:'))
    return new KrakenError('manifest-invalid', body, { cause: error });
  return error;
}

function tagPath(tag: string): string {
  return `/tags/${escapePathSegment(tag)}`;
}

function nanoseconds(milliseconds: number): bigint {
  return BigInt(Math.round(milliseconds)) * 1_000_000n;
}
