/**
 * One origin over HTTP. Source: spec origin-store-backends.md §4.1.
 *
 * Owns requests and what their answers mean; never chooses a host and never repeats anything. Uploads go out in chunks
 * that are streamed, not buffered. Timeouts bound silence, not the length of a transfer.
 */
import {
  HASH_BYTES,
  LAYER_PIECES_MAX,
  parseGoJson,
  parseMetaInfo,
  peerContextFromJson,
  type Digest,
  type MetaInfo,
  type PeerContext,
  type PiecesRoot,
} from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { escapePathSegment } from '@kraken/core/http';
import type { CancelSignal, UploadSource } from '@kraken/core/ports';
import { upstreamFailure, type HttpClient, type HttpRequestOptions, type HttpResponse } from '../http/index.js';
import { ChunkSplitter } from './chunk-splitter.js';
import { COPY_HEADER } from './origin-handler.js';

/** Kraken's chunk. */
export const DEFAULT_CHUNK_BYTES = 32 * 1024 * 1024;

/** Milliseconds until the head of the answer. Kraken's totals. */
const TIMEOUT_MS = { quick: 5000, stat: 15_000, default: 60_000, cleanup: 120_000, commit: 15 * 60_000 } as const;
/** Metainfo of the largest blobs that are practical: 11 bytes a piece, a million pieces and more. */
const METAINFO_MAX_BYTES = 64 * 1024 * 1024;

/** Which origin. */
export interface OriginClientOptions {
  readonly http: HttpClient;
  /** `host:port`. */
  readonly address: string;
  readonly chunkBytes?: number;
}

/** A blob on its way; `start` tells where the bytes begin (a server may ignore a range). */
export interface DownloadedBlob {
  /** Bytes of the whole blob, when the server says so. */
  readonly length: number | undefined;
  readonly start: number;
  readonly stream: AsyncIterable<Uint8Array>;
}

/** A client of one origin. */
export class OriginClient {
  readonly address: string;
  readonly #http: HttpClient;
  readonly #chunkBytes: number;

  constructor(options: OriginClientOptions) {
    this.address = options.address;
    this.#http = options.http;
    this.#chunkBytes = options.chunkBytes ?? DEFAULT_CHUNK_BYTES;
  }

  /** @throws KrakenError `not-ready`, `network-error` */
  async checkReady(signal?: CancelSignal): Promise<void> {
    try {
      await this.#text('/readiness', { headersTimeoutMs: TIMEOUT_MS.quick, signal });
    } catch (error) {
      const failure = upstreamFailure(error);
      if (failure === undefined) throw error;
      throw new KrakenError('not-ready', `origin ${this.address} is not ready: ${failure.body}`, { cause: error });
    }
  }

  /** Owners of a digest, best first. @throws KrakenError `upstream-failed`, `network-error` */
  async locations(digest: Digest, signal?: CancelSignal): Promise<readonly string[]> {
    const response = await this.#request(`/blobs/${digest}/locations`, { headersTimeoutMs: TIMEOUT_MS.quick, signal });
    await response.discard();
    const hosts = (response.header('origin-locations') ?? '').split(',').filter((host) => host !== '');
    if (hosts.length === 0) throw new KrakenError('upstream-failed', `origin ${this.address}: no locations found`);
    return hosts;
  }

  /** Length on the origin or in storage; `undefined`: nowhere. */
  stat(namespace: string, digest: Digest, signal?: CancelSignal): Promise<{ length: number } | undefined> {
    return this.#stat(namespace, digest, '', signal);
  }

  /** Length on the origin itself. */
  statLocal(namespace: string, digest: Digest, signal?: CancelSignal): Promise<{ length: number } | undefined> {
    return this.#stat(namespace, digest, '?local=true', signal);
  }

  /** @throws KrakenError `blob-unknown`, `blob-pinned` */
  async delete(digest: Digest, signal?: CancelSignal): Promise<void> {
    try {
      const response = await this.#request(`/internal/blobs/${digest}`, { method: 'DELETE', accept: [202], signal });
      await response.discard();
    } catch (error) {
      const failure = upstreamFailure(error);
      if (failure?.status === 404) throw new KrakenError('blob-unknown', undefined, { cause: error });
      if (failure?.body.endsWith('file is persisted') === true)
        throw new KrakenError('blob-pinned', failure.body, { cause: error });
      throw error;
    }
  }

  /** Copy without write-back (Kraken: TransferBlob). */
  async transfer(digest: Digest, source: UploadSource, signal?: CancelSignal): Promise<void> {
    await this.#upload(
      `/internal/blobs/${digest}/uploads`,
      (id) => `/internal/blobs/${digest}/uploads/${id}`,
      undefined,
      source,
      signal,
      true,
    );
  }

  /** Resolves when the origin acknowledged the commit, or has the blob. @throws KrakenError `upstream-failed`, `network-error` */
  async upload(namespace: string, digest: Digest, source: UploadSource, signal?: CancelSignal): Promise<void> {
    const uploads = `${blobPath(namespace, digest)}/uploads`;
    await this.#upload(uploads, (id) => `${uploads}/${id}`, undefined, source, signal, false);
  }

  /** Copy whose write-back waits `delayMs` (Kraken: DuplicateUploadBlob). */
  async duplicateUpload(
    namespace: string,
    digest: Digest,
    source: UploadSource,
    delayMs: number,
    signal?: CancelSignal,
  ): Promise<void> {
    const commit = (id: string): string => `/internal/duplicate${blobPath(namespace, digest)}/uploads/${id}`;
    const body = `{"Delay":${BigInt(Math.round(delayMs)) * 1_000_000n}}`;
    await this.#upload(`${blobPath(namespace, digest)}/uploads`, commit, body, source, signal, true);
  }

  /** @throws KrakenError `blob-pending` while the origin fetches it; `upstream-failed`, `network-error` */
  async download(
    namespace: string,
    digest: Digest,
    options: { start?: number; end?: number; signal?: CancelSignal | undefined } = {},
  ): Promise<DownloadedBlob> {
    const { start = 0, end, signal } = options;
    const ranged = start > 0 || end !== undefined;
    const response = await this.#request(blobPath(namespace, digest), {
      accept: [200, 202, 206],
      ...(ranged ? { headers: { range: `bytes=${start}-${end === undefined ? '' : end - 1}` } } : {}),
      signal,
    });
    if (response.status === 202) {
      await response.discard();
      throw new KrakenError('blob-pending');
    }
    const contentRange = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.header('content-range') ?? '');
    if (response.status === 206 && contentRange !== null) {
      return { length: Number(contentRange[2]), start: Number(contentRange[1]), stream: response.body };
    }
    if (response.status === 206)
      throw new KrakenError('upstream-failed', `origin ${this.address} answered 206 without a Content-Range`);
    const length = response.header('content-length');
    return { length: length === undefined ? undefined : Number(length), start: 0, stream: response.body };
  }

  /** @returns `pending` while the origin fetches it */
  async prefetch(namespace: string, digest: Digest, signal?: CancelSignal): Promise<'ready' | 'pending'> {
    return this.#accepted(`${blobPath(namespace, digest)}/prefetch`, signal);
  }

  /** Copy to the origins of another cluster. @returns `pending` while the origin fetches the blob itself */
  async replicateToRemote(
    namespace: string,
    digest: Digest,
    remote: string,
    signal?: CancelSignal,
  ): Promise<'ready' | 'pending'> {
    return this.#accepted(`${blobPath(namespace, digest)}/remote/${remote}`, signal, TIMEOUT_MS.commit);
  }

  /** @throws KrakenError `blob-pending`, `upstream-failed`, `network-error`, `metainfo-invalid` */
  async metaInfo(namespace: string, digest: Digest, signal?: CancelSignal): Promise<MetaInfo> {
    const { status, body } = await this.metaInfoResponse(namespace, digest, signal);
    if (status === 202) throw new KrakenError('blob-pending');
    if (status === 404) throw new KrakenError('blob-unknown');
    if (status !== 200) throw new KrakenError('upstream-failed', `origin ${this.address} answered ${status}: ${body}`);
    return parseMetaInfo(body);
  }

  /** The answer as it is, whatever its status. @throws KrakenError `network-error` */
  async metaInfoResponse(
    namespace: string,
    digest: Digest,
    signal?: CancelSignal,
  ): Promise<{ status: number; body: string }> {
    const path = `/internal${blobPath(namespace, digest)}/metainfo`;
    try {
      const response = await this.#request(path, { accept: [200, 202], headersTimeoutMs: TIMEOUT_MS.stat, signal });
      return { status: response.status, body: await response.text(METAINFO_MAX_BYTES) };
    } catch (error) {
      const failure = upstreamFailure(error);
      if (failure === undefined) throw error;
      return { status: failure.status, body: failure.body };
    }
  }

  /** The piece layer under `root`, unchecked; `undefined` when this origin has none. @throws KrakenError `upstream-failed`, `network-error`, `body-too-large` */
  async pieceLayer(
    namespace: string,
    digest: Digest,
    root: PiecesRoot,
    signal?: CancelSignal,
  ): Promise<Uint8Array | undefined> {
    const path = `/internal${blobPath(namespace, digest)}/piecelayer?root=${root}`;
    try {
      const response = await this.#request(path, { headersTimeoutMs: TIMEOUT_MS.default, signal });
      return await response.bytes(HASH_BYTES * LAYER_PIECES_MAX);
    } catch (error) {
      if (upstreamFailure(error)?.status === 404) return undefined;
      throw error;
    }
  }

  /** Make the metainfo of a blob anew with another piece length, in bytes. */
  async overwriteMetaInfo(digest: Digest, pieceLength: number, signal?: CancelSignal): Promise<void> {
    await this.#text(`/internal/blobs/${digest}/metainfo?piece_length=${pieceLength}`, { method: 'POST', signal });
  }

  /** Who the origin is in the swarm. @throws KrakenError `request-invalid` when the answer makes no sense */
  async peerContext(signal?: CancelSignal): Promise<PeerContext> {
    const text = await this.#text('/internal/peercontext', { headersTimeoutMs: TIMEOUT_MS.quick, signal });
    return peerContextFromJson(parseGoJson(text, { allowTrailing: true }));
  }

  /** Drop blobs that were not used for so long. @param ttlMs rounded up to hours */
  async forceCleanup(ttlMs: number, signal?: CancelSignal): Promise<void> {
    await this.#text(`/forcecleanup?ttl_hr=${Math.ceil(ttlMs / 3_600_000)}`, {
      method: 'POST',
      headersTimeoutMs: TIMEOUT_MS.cleanup,
      signal,
    });
  }

  async #stat(
    namespace: string,
    digest: Digest,
    query: string,
    signal: CancelSignal | undefined,
  ): Promise<{ length: number } | undefined> {
    const path = `/internal${blobPath(namespace, digest)}${query}`;
    try {
      const response = await this.#request(path, { method: 'HEAD', headersTimeoutMs: TIMEOUT_MS.stat, signal });
      await response.discard();
      return { length: Number(response.header('content-length') ?? 0) };
    } catch (error) {
      if (upstreamFailure(error)?.status === 404) return undefined;
      throw error;
    }
  }

  async #accepted(
    path: string,
    signal: CancelSignal | undefined,
    headersTimeoutMs: number = TIMEOUT_MS.default,
  ): Promise<'ready' | 'pending'> {
    const response = await this.#request(path, { method: 'POST', accept: [200, 202], headersTimeoutMs, signal });
    await response.discard();
    return response.status === 202 ? 'pending' : 'ready';
  }

  /** A conflict at any step means that the origin has the blob. */
  async #upload(
    uploads: string,
    commitPath: (id: string) => string,
    commitBody: string | undefined,
    source: UploadSource,
    signal: CancelSignal | undefined,
    isCopy: boolean,
  ): Promise<void> {
    const headers: Record<string, string> = isCopy ? { [COPY_HEADER]: '1' } : {};
    const started = await this.#unlessConflict(`${uploads}?size=${source.length}`, { method: 'POST', headers, signal });
    if (started === undefined) return;
    const id = escapePathSegment(started.header('location') ?? '');
    await started.discard();
    if (id === '') throw new KrakenError('upstream-failed', `origin ${this.address} gave no upload id`);
    const splitter = new ChunkSplitter(source.open());
    try {
      for (let start = 0; start < source.length;) {
        const end = Math.min(start + this.#chunkBytes, source.length);
        const patched = await this.#unlessConflict(`${uploads}/${id}`, {
          method: 'PATCH',
          headers: { ...headers, 'content-range': `${start}-${end}`, 'content-length': String(end - start) },
          body: splitter.next(end - start),
          signal,
        });
        if (patched === undefined) return;
        await patched.discard();
        start = end;
      }
    } finally {
      await splitter.close();
    }
    const committed = await this.#unlessConflict(commitPath(id), {
      method: 'PUT',
      ...(commitBody === undefined ? {} : { body: commitBody }),
      headersTimeoutMs: TIMEOUT_MS.commit,
      signal,
    });
    await committed?.discard();
  }

  async #unlessConflict(path: string, options: HttpRequestOptions): Promise<HttpResponse | undefined> {
    try {
      return await this.#request(path, options);
    } catch (error) {
      if (upstreamFailure(error)?.status === 409) return undefined;
      throw error;
    }
  }

  async #text(path: string, options: HttpRequestOptions): Promise<string> {
    return (await this.#request(path, options)).text();
  }

  #request(path: string, options: HttpRequestOptions): Promise<HttpResponse> {
    return this.#http.request(this.address, path, options);
  }
}

function blobPath(namespace: string, digest: Digest): string {
  return `/namespace/${escapePathSegment(namespace)}/blobs/${digest}`;
}
