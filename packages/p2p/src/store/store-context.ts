/** What the parts of one disk store share. Owns nothing: `DiskStore` makes and closes them. */
import type { Digest } from '@kraken/core/content';
import type { Logger, Metrics } from '@kraken/core/ports';
import type { AccessTimes } from './access-times.js';
import type { FilePool } from './file-pool.js';
import type { HashThreads } from './hash-threads.js';
import type { KeyedLock } from './keyed-lock.js';
import type { StateDirectory } from './layout.js';
import type { PieceLayers } from './piece-layers.js';
import type { ReadBuffers } from './read-buffers.js';

export interface StoreContext {
  readonly cache: StateDirectory;
  /** Absent on nodes that never download from peers. */
  readonly download: StateDirectory | undefined;
  /** Held while files of a blob change place, never while bytes are hashed for long or streamed. */
  readonly locks: KeyedLock<Digest>;
  readonly files: FilePool;
  readonly buffers: ReadBuffers;
  readonly hash: HashThreads;
  readonly layers: PieceLayers;
  readonly access: AccessTimes;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}
