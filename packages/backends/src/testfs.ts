/**
 * Kraken's test file server over HTTP. Source: spec origin-store-backends.md §7.12.
 * Lists are never paged; the server turns `:` in paths into `/`.
 */
import { request, type Dispatcher } from 'undici';
import { KrakenError } from '@kraken/core/errors';
import type { CancelSignal, StorageBackend } from '@kraken/core/ports';
import type { BackendKind } from './kind.js';
import { createObjectPaths } from './object-path.js';

const LIST_BYTES_MAX = 64 << 20;

export const testfs: BackendKind = {
  name: 'testfs',
  open: (settings): StorageBackend => {
    const address = settings.text('addr');
    const root = settings.text('root', '');
    const paths = createObjectPaths(settings.text('name_path'), root.startsWith('/') ? root : `/${root}`);
    const urlOf = (kind: 'files' | 'list', path: string): string =>
      `http://${address}/${kind}/${path.replace(/^\/+/, '').split('/').map(encodeURIComponent).join('/')}`;

    return {
      kind: 'testfs',
      can: { upload: true, list: true, paginate: false },
      stat: async (_namespace, name, signal) => {
        const response = await call('HEAD', urlOf('files', paths.pathOf(name)), signal);
        await response.body.dump();
        const length = Number(response.headers['size']);
        if (!Number.isSafeInteger(length) || length < 0)
          throw new KrakenError('storage-unavailable', 'testfs answered without a Size header');
        return { length };
      },
      download: async (_namespace, name, signal) => {
        const response = await call('GET', urlOf('files', paths.pathOf(name)), signal);
        const length = response.headers['content-length'];
        return length === undefined ? { stream: response.body } : { length: Number(length), stream: response.body };
      },
      upload: async (_namespace, name, source, signal) => {
        const response = await call('POST', urlOf('files', paths.pathOf(name)), signal, source.open());
        await response.body.dump();
      },
      list: async (prefix, options = {}) => {
        if (options.limit !== undefined || options.continuation !== undefined) {
          throw new KrakenError('unsupported', 'testfs cannot page');
        }
        let response;
        try {
          response = await call('GET', urlOf('list', paths.directoryOf(prefix)), options.signal);
        } catch (error) {
          // The server answers 500 for a prefix that does not exist.
          if (error instanceof KrakenError && (error.detail as { status?: number } | undefined)?.status === 500)
            return { names: [] };
          throw error;
        }
        const found = (await readJson(response)) as string[] | null;
        const names = (found ?? []).map((path) => paths.nameOf(path.startsWith('/') ? path : `/${path}`));
        return { names: names.filter((name) => name !== undefined).sort() };
      },
      close: async () => Promise.resolve(),
    };
  },
};

async function call(
  method: 'GET' | 'HEAD' | 'POST',
  url: string,
  signal?: CancelSignal,
  body?: AsyncIterable<Uint8Array>,
): Promise<Dispatcher.ResponseData> {
  let response: Dispatcher.ResponseData;
  try {
    response = await request(url, {
      method,
      ...(body === undefined ? {} : { body: body as never }),
      ...(signal === undefined ? {} : { signal: signal }),
    });
  } catch (cause) {
    throw new KrakenError('storage-unavailable', `testfs: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  if (response.statusCode === 200) return response;
  await response.body.dump();
  if (response.statusCode === 404) throw new KrakenError('blob-unknown');
  throw new KrakenError('storage-unavailable', `testfs answered ${response.statusCode}`, {
    detail: { status: response.statusCode },
  });
}

async function readJson(response: Dispatcher.ResponseData): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LIST_BYTES_MAX)
      throw new KrakenError('storage-unavailable', `testfs list is longer than ${LIST_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}
