/**
 * Any S3-compatible endpoint. Source: spec origin-store-backends.md §7.5. Object keys have no leading slash.
 * The SDK is loaded when the first request is made, so that roles without S3 do not pay for it.
 *
 * Differs from Go: lists are complete, uploads and downloads stream and are never cut.
 */
import { Readable } from 'node:stream';
import type * as Sdk from '@aws-sdk/client-s3';
import { KrakenError } from '@kraken/core/errors';
import type { CancelSignal, StorageBackend, UploadSource } from '@kraken/core/ports';
import type { BackendKind } from './kind.js';
import { createObjectPaths } from './object-path.js';

const MIB = 1 << 20;
/** S3's own limits for a part. */
const PART_BYTES_MIN = 5 * MIB;

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export const s3: BackendKind = {
  name: 's3',
  open: (settings, context): StorageBackend => {
    const username = settings.text('username', '');
    const region = settings.text('region', 'us-east-1');
    const bucket = settings.text('bucket');
    const endpoint = settings.text('endpoint', '');
    const useTls = !settings.flag('disable_ssl', false);
    const forcePathStyle = settings.flag('force_path_style', false);
    const root = settings.text('root_directory', '/');
    if (!root.startsWith('/'))
      throw new KrakenError(
        'config-invalid',
        `s3.root_directory: expected an absolute path, got ${JSON.stringify(root)}`,
      );
    const paths = createObjectPaths(settings.text('name_path'), root);
    const partBytes = Math.max(settings.byteSize('upload_part_size', 64 * MIB), PART_BYTES_MIN);
    // One part per concurrent request is held in memory by the uploader.
    const uploadConcurrency = Math.min(
      settings.integer('upload_concurrency', 10),
      Math.max(1, Math.floor((256 * MIB) / partBytes)),
    );
    const pageKeys = settings.integer('list_max_keys', 250, 1, 1000);
    // Ours are single streamed requests; Go's tuning keys are accepted.
    settings.byteSize('download_part_size', 64 * MIB);
    settings.integer('download_concurrency', 10);
    settings.byteSize('buffer_guard', 10 * MIB);
    const credentials = readCredentials(context.auth, username);

    const keyOf = (path: string): string => path.replace(/^\/+/, '');
    let connected: Promise<{ sdk: typeof Sdk; client: Sdk.S3Client }> | undefined;
    const connect = (): Promise<{ sdk: typeof Sdk; client: Sdk.S3Client }> =>
      (connected ??= import('@aws-sdk/client-s3').then((sdk) => ({
        sdk,
        client: new sdk.S3Client({
          region,
          forcePathStyle,
          maxAttempts: 3,
          // Checksums in trailers are refused by many compatible servers; ours are digests anyway.
          requestChecksumCalculation: 'WHEN_REQUIRED',
          responseChecksumValidation: 'WHEN_REQUIRED',
          ...(endpoint === ''
            ? {}
            : { endpoint: /^https?:\/\//.test(endpoint) ? endpoint : `${useTls ? 'https' : 'http'}://${endpoint}` }),
          ...(credentials === undefined ? {} : { credentials }),
        }),
      })));

    return {
      kind: 's3',
      can: { upload: true, list: true, paginate: true },
      stat: async (_namespace, name, signal) => {
        const { sdk, client } = await connect();
        const head = await attempt(async () =>
          client.send(new sdk.HeadObjectCommand({ Bucket: bucket, Key: keyOf(paths.pathOf(name)) }), abort(signal)),
        );
        return { length: head.ContentLength ?? 0 };
      },
      download: async (_namespace, name, signal) => {
        const { sdk, client } = await connect();
        const object = await attempt(async () =>
          client.send(new sdk.GetObjectCommand({ Bucket: bucket, Key: keyOf(paths.pathOf(name)) }), abort(signal)),
        );
        const stream = object.Body as AsyncIterable<Uint8Array> | undefined;
        if (stream === undefined) throw new KrakenError('storage-unavailable', 's3 answered without a body');
        return object.ContentLength === undefined
          ? { stream: guarded(stream) }
          : { length: object.ContentLength, stream: guarded(stream) };
      },
      upload: async (_namespace, name, source, signal) => {
        const { client, sdk } = await connect();
        const key = keyOf(paths.pathOf(name));
        if (source.length <= partBytes) {
          await putWhole(source, signal, async (body, abortSignal) =>
            client.send(
              new sdk.PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentLength: source.length }),
              { abortSignal },
            ),
          );
          return;
        }
        const { Upload } = await import('@aws-sdk/lib-storage');
        const upload = new Upload({
          client,
          params: { Bucket: bucket, Key: key, Body: Readable.from(source.open(), { objectMode: false }) },
          partSize: Math.max(partBytes, Math.ceil(source.length / 10_000)),
          queueSize: uploadConcurrency,
          leavePartsOnError: false,
        });
        const stop = (): void => void upload.abort();
        signal?.addEventListener('abort', stop, { once: true });
        try {
          await attempt(async () => upload.done());
        } finally {
          signal?.removeEventListener('abort', stop);
        }
      },
      list: async (prefix, options = {}) => {
        const { sdk, client } = await connect();
        const directory = keyOf(paths.directoryOf(prefix));
        const names: string[] = [];
        // The last key, not the service's token: it means the same to every compatible server, and survives restarts.
        let after = options.continuation;
        for (;;) {
          const wanted = options.limit === undefined ? pageKeys : Math.min(pageKeys, options.limit - names.length);
          const page = await attempt(async () =>
            client.send(
              new sdk.ListObjectsV2Command({
                Bucket: bucket,
                Prefix: directory === '' ? '' : `${directory}/`,
                MaxKeys: wanted,
                ...(after === undefined ? {} : { StartAfter: after }),
              }),
              abort(options.signal),
            ),
          );
          for (const object of page.Contents ?? []) {
            const name = paths.nameOf(`/${object.Key ?? ''}`);
            if (name !== undefined) names.push(name);
          }
          after = page.IsTruncated === true ? page.Contents?.at(-1)?.Key : undefined;
          if (after === undefined) return { names };
          if (options.limit !== undefined && names.length >= options.limit) return { names, continuation: after };
        }
      },
      close: async () => {
        if (connected !== undefined) (await connected).client.destroy();
      },
    };
  },
};

/** `auth.s3.<username>.s3.{aws_access_key_id, aws_secret_access_key, aws_session_token}`; without a username the SDK's own chain. */
function readCredentials(auth: unknown, username: string): Credentials | undefined {
  if (username === '') return undefined;
  const block = (auth as Record<string, { s3?: Record<string, unknown> } | undefined> | null | undefined)?.[username]
    ?.s3;
  const id = block?.['aws_access_key_id'];
  const secret = block?.['aws_secret_access_key'];
  const token = block?.['aws_session_token'];
  if (typeof id !== 'string' || typeof secret !== 'string') {
    throw new KrakenError(
      'config-invalid',
      `auth.s3.${username}.s3: expected aws_access_key_id and aws_secret_access_key`,
    );
  }
  return {
    accessKeyId: id,
    secretAccessKey: secret,
    ...(typeof token === 'string' && token !== '' ? { sessionToken: token } : {}),
  };
}

/**
 * One request with a streamed body. A body that fails must end the request: the SDK would wait for a response that
 * the server never sends.
 */
async function putWhole(
  source: UploadSource,
  signal: CancelSignal | undefined,
  put: (body: Readable, abortSignal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const stop = new AbortController();
  const cancel = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', cancel, { once: true });
  let bodyError: Error | undefined;
  const body = Readable.from(source.open(), { objectMode: false }).on('error', (error) => {
    bodyError = error;
    stop.abort(error);
  });
  try {
    await put(body, stop.signal);
  } catch (error) {
    throw bodyError ?? asStorageError(error);
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

function abort(signal: CancelSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal as AbortSignal };
}

async function attempt<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asStorageError(error);
  }
}

async function* guarded(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* stream;
  } catch (error) {
    throw asStorageError(error);
  }
}

function asStorageError(error: unknown): KrakenError {
  if (error instanceof KrakenError) return error;
  const { name, message } = error as Error;
  if (name === 'NotFound' || name === 'NoSuchKey') return new KrakenError('blob-unknown', undefined, { cause: error });
  if (name === 'AbortError') return new KrakenError('cancelled', undefined, { cause: error });
  return new KrakenError('storage-unavailable', `s3: ${name}: ${message}`, { cause: error });
}
