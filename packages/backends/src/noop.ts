/** The reserved namespace `__noop__`: stores nothing, has nothing. */
import { KrakenError } from '@kraken/core/errors';
import type { StorageBackend } from '@kraken/core/ports';

/** Namespace that always maps to this backend, before any configuration. */
export const NOOP_NAMESPACE = '__noop__';

const absent = async (): Promise<never> => Promise.reject(new KrakenError('blob-unknown'));

/** Has nothing and takes everything. */
export const noopBackend: StorageBackend = {
  kind: 'noop',
  can: { upload: true, list: true, paginate: true },
  stat: absent,
  download: absent,
  upload: async (_namespace, _name, source) => {
    // Take the source, so that its owner sees a normal upload.
    for await (const chunk of source.open()) if (chunk.length === 0) continue;
  },
  list: async () => Promise.resolve({ names: [] }),
  close: async () => Promise.resolve(),
};
