/** What a storage backend kind is: a name and a factory. One file per kind, one line in `kinds.ts`. */
import type { Logger, StorageBackend } from '@kraken/core/ports';
import type { Settings } from './settings.js';

export interface BackendContext {
  /** The `auth.<kind>` block of the configuration, unread. */
  readonly auth: unknown;
  readonly logger: Logger;
}

export interface BackendKind {
  /** Key in `backends[].backend`. */
  readonly name: string;
  /**
   * Check the settings and make a backend. Does not connect.
   * @throws KrakenError `config-invalid`
   */
  open(settings: Settings, context: BackendContext): StorageBackend;
}
