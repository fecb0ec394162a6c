/** Objects in memory: tests and throw-away clusters. Holds at most `max_bytes`; more is `storage-unavailable`. */
import { KrakenError } from '@kraken/core/errors';
import type { StorageBackend } from '@kraken/core/ports';
import type { BackendKind } from './kind.js';
import { createObjectPaths } from './object-path.js';
import { pageOf } from './paging.js';

const CHUNK_BYTES = 1 << 20;
/** Guess: what a test machine can spare. */
const MAX_BYTES_DEFAULT = 2 ** 30;

export const memory: BackendKind = {
  name: 'memory',
  open: (settings): StorageBackend => {
    const paths = createObjectPaths(settings.text('name_path', 'identity'), settings.text('root', '/'));
    const maxBytes = settings.byteSize('max_bytes', MAX_BYTES_DEFAULT);
    const objects = new Map<string, Uint8Array>();
    let heldBytes = 0;
    const find = (name: string): Uint8Array => {
      const object = objects.get(paths.pathOf(name));
      if (object === undefined) throw new KrakenError('blob-unknown');
      return object;
    };
    return {
      kind: 'memory',
      can: { upload: true, list: true, paginate: true },
      stat: async (_namespace, name) => Promise.resolve({ length: find(name).length }),
      download: async (_namespace, name) => {
        const object = find(name);
        return Promise.resolve({ length: object.length, stream: chunks(object) });
      },
      upload: async (_namespace, name, source) => {
        const path = paths.pathOf(name);
        if (heldBytes - (objects.get(path)?.length ?? 0) + source.length > maxBytes) {
          throw new KrakenError('storage-unavailable', `memory backend holds at most ${maxBytes} bytes`);
        }
        const object = new Uint8Array(source.length);
        let at = 0;
        for await (const chunk of source.open()) {
          if (at + chunk.length > source.length)
            throw new KrakenError('size-invalid', 'the source is longer than announced');
          object.set(chunk, at);
          at += chunk.length;
        }
        if (at !== source.length) throw new KrakenError('content-truncated');
        heldBytes += object.length - (objects.get(path)?.length ?? 0);
        objects.set(path, object);
      },
      list: async (prefix, options = {}) => {
        const directory = paths.directoryOf(prefix);
        const inside = directory === '/' ? '/' : `${directory}/`;
        const found = [...objects.keys()].filter((path) => path.startsWith(inside)).sort();
        return Promise.resolve(pageOf(found, (path) => paths.nameOf(path), options));
      },
      close: async () => {
        objects.clear();
        heldBytes = 0;
        return Promise.resolve();
      },
    };
  },
};

async function* chunks(object: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < object.length; at += CHUNK_BYTES) {
    yield await Promise.resolve(object.subarray(at, at + CHUNK_BYTES));
  }
}
