/**
 * The pushing half of the registry, blobs: sessions, chunks, commit. Owns the protocol of a session and that one body
 * at a time is written to it; the bytes are the `UploadStore`'s. Nothing is visible before its digest was verified and
 * the cluster has taken it. Source: OCI distribution spec 1.1 "Push"; spec index-proxy-registry-config.md §4.1.
 *
 * Differs from Go: `Content-Range` is honoured, a single POST with `?digest=` works, and `Location` is a path, which
 * stays right behind any balancer.
 */
import { parseDigest, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { parseOciContentRange } from '@kraken/core/http';
import type { OutgoingHttpHeaders } from 'node:http';
import { bodyBytes, contentLength, sendEmpty, type RequestContext } from '../http/index.js';
import type { Registry, RegistryWriter } from './registry-options.js';
import { sendOciErrors } from './respond-oci.js';

const UPLOAD_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** An id becomes a file name, so nothing but a UUID gets further. @throws KrakenError `upload-unknown` */
function uploadId(text: string): string {
  if (UPLOAD_ID.test(text)) return text;
  throw new KrakenError('upload-unknown', 'blob upload unknown to registry');
}

/** `Range` of a session: bytes held, end inclusive; `0-0` also when there are none (Docker's convention). */
const heldRange = (size: number): string => `0-${Math.max(0, size - 1)}`;

const sessionHeaders = (repository: string, id: string, size: number): OutgoingHttpHeaders => ({
  location: `/v2/${repository}/blobs/uploads/${id}`,
  range: heldRange(size),
  'docker-upload-uuid': id,
});

const blobHeaders = (repository: string, digest: Digest): OutgoingHttpHeaders => ({
  location: `/v2/${repository}/blobs/${digest}`,
  'docker-content-digest': digest,
});

function digestQuery(context: RequestContext): Digest {
  const text = context.query.get('digest');
  if (text === null || text === '') throw new KrakenError('digest-invalid', 'expected a digest query parameter');
  return parseDigest(text);
}

/** The blob endpoints that write. One per registry: it knows which sessions are being written. */
export class BlobUploads {
  readonly #busy = new Set<string>();

  constructor(
    private readonly registry: Registry,
    private readonly writer: RegistryWriter,
  ) {}

  /** `POST /v2/<name>/blobs/uploads/`: start a session, mount a blob, or take a whole blob. */
  async start(context: RequestContext, repository: string): Promise<void> {
    const mount = context.query.get('mount');
    if (mount !== null && (await this.#mount(context, repository, parseDigest(mount)))) return;
    if (context.query.has('digest')) {
      await this.#whole(context, repository, digestQuery(context));
      return;
    }
    const id = await this.writer.uploads.create();
    sendEmpty(context, 202, sessionHeaders(repository, id, 0));
  }

  /** `GET /v2/<name>/blobs/uploads/<id>`. */
  async status(context: RequestContext, repository: string, idText: string): Promise<void> {
    const id = uploadId(idText);
    const size = await this.writer.uploads.size(id);
    sendEmpty(context, 204, sessionHeaders(repository, id, size));
  }

  /** `PATCH /v2/<name>/blobs/uploads/<id>`: append. */
  async patch(context: RequestContext, repository: string, idText: string): Promise<void> {
    const id = uploadId(idText);
    await this.#exclusively(context, id, async () => {
      const size = await this.#chunkPosition(context, repository, id);
      if (size === undefined) return;
      const written = await this.#append(context, id, size);
      sendEmpty(context, 202, sessionHeaders(repository, id, size + written));
    });
  }

  /** `PUT /v2/<name>/blobs/uploads/<id>?digest=`: the last bytes, if any, and the commit. */
  async finish(context: RequestContext, repository: string, idText: string): Promise<void> {
    const id = uploadId(idText);
    const digest = digestQuery(context);
    await this.#exclusively(context, id, async () => {
      const size = await this.#chunkPosition(context, repository, id);
      if (size === undefined) return;
      if (contentLength(context.req) !== 0) await this.#append(context, id, size);
      await this.#commit(repository, id, digest);
      sendEmpty(context, 201, blobHeaders(repository, digest));
    });
  }

  /** `DELETE /v2/<name>/blobs/uploads/<id>`. */
  async cancel(context: RequestContext, idText: string): Promise<void> {
    const id = uploadId(idText);
    await this.#exclusively(context, id, async () => {
      await this.writer.uploads.size(id);
      await this.writer.uploads.abort(id);
      sendEmpty(context, 204);
    });
  }

  /** Answers 201 when the cluster has the blob under the target repository; a failed lookup means an ordinary upload. */
  async #mount(context: RequestContext, repository: string, digest: Digest): Promise<boolean> {
    try {
      if ((await this.registry.blobs.stat(repository, digest, context.signal)) === undefined) return false;
    } catch (error) {
      if (context.signal.aborted) throw error;
      this.registry.logger.warn({ err: error, repository, digest }, 'mount lookup failed; the client uploads instead');
      return false;
    }
    sendEmpty(context, 201, blobHeaders(repository, digest));
    return true;
  }

  async #whole(context: RequestContext, repository: string, digest: Digest): Promise<void> {
    this.#checkLength(context, 0);
    const id = await this.writer.uploads.create();
    try {
      await this.#exclusively(context, id, async () => {
        await this.#append(context, id, 0);
        await this.#commit(repository, id, digest);
        sendEmpty(context, 201, blobHeaders(repository, digest));
      });
    } catch (error) {
      await this.writer.uploads.abort(id);
      throw error;
    }
  }

  async #exclusively(context: RequestContext, id: string, run: () => Promise<void>): Promise<void> {
    if (this.#busy.has(id)) {
      const message = 'another request is writing to this upload';
      sendOciErrors(context, 409, [{ code: 'BLOB_UPLOAD_INVALID', message }], { 'retry-after': '1' });
      return;
    }
    const { uploadsMax } = this.registry.limits;
    if (this.#busy.size >= uploadsMax)
      throw new KrakenError('too-many-uploads', `${uploadsMax} uploads are in progress`);
    this.#busy.add(id);
    try {
      await run();
    } finally {
      this.#busy.delete(id);
    }
  }

  /** Where the request's bytes go. `undefined` after a 416: they do not follow the last ones. */
  async #chunkPosition(context: RequestContext, repository: string, id: string): Promise<number | undefined> {
    const size = await this.writer.uploads.size(id);
    const length = this.#checkLength(context, size);
    const header = context.req.headers['content-range'];
    if (header === undefined) return size;
    const range = parseOciContentRange(header.replace(/^bytes[ =]/, '').replace(/\/(?:\d+|\*)$/, ''));
    if (range.start !== size) {
      const message = `expected a chunk that starts at byte ${size}, got ${range.start}`;
      sendOciErrors(context, 416, [{ code: 'BLOB_UPLOAD_INVALID', message }], sessionHeaders(repository, id, size));
      return undefined;
    }
    if (length !== undefined && length !== range.end - range.start) {
      throw new KrakenError(
        'size-invalid',
        `Content-Range says ${range.end - range.start} bytes, Content-Length ${length}`,
      );
    }
    return size;
  }

  /** Refuses a body that is announced too large before a byte of it is read. */
  #checkLength(context: RequestContext, size: number): number | undefined {
    const length = contentLength(context.req);
    const { blobBytesMax } = this.registry.limits;
    if (size + (length ?? 0) > blobBytesMax)
      throw new KrakenError('body-too-large', `expected a blob of at most ${blobBytesMax} bytes`);
    return length;
  }

  async #append(context: RequestContext, id: string, size: number): Promise<number> {
    const left = this.registry.limits.blobBytesMax - size;
    const written = await this.writer.uploads.write(id, size, bodyBytes(context.req), left);
    this.registry.metrics.count('registry_blob_bytes_received_total', written);
    return written;
  }

  /** Verified, then taken by the cluster; only then acknowledged. */
  async #commit(repository: string, id: string, digest: Digest): Promise<void> {
    const { uploads, store } = this.writer;
    const { length } = await uploads.commit(id, digest);
    await this.writer.publish(repository, digest, {
      length,
      open: () => storedBytes(store, digest),
    });
    this.registry.logger.info({ repository, digest, length }, 'blob pushed');
  }
}

/** A committed blob as an upload source: opened anew for each attempt. */
async function* storedBytes(
  store: RegistryWriter['store'],
  digest: Digest,
): AsyncGenerator<Uint8Array, void, undefined> {
  const blob = await store.open(digest);
  if (blob === undefined)
    throw new KrakenError('io-error', `${digest} vanished from the local store before it was published`);
  try {
    yield* blob.stream();
  } finally {
    blob.close();
  }
}
