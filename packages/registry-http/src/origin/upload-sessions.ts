/**
 * What an origin knows about open upload sessions beyond their files: which blob a session is for and how long it may get.
 * Source: spec origin-store-backends.md §1.3, §10 (45): a session cannot be used for another blob. A session that this
 * process did not start (it was restarted) is known to the store alone and is not refused here.
 */
import type { Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { ExpiringMap } from '../expiring-map.js';

interface Session {
  readonly digest: Digest;
  /** Bytes announced at the start. */
  readonly sizeBytes: number | undefined;
}

export class UploadSessions {
  /** Those that nobody ends go when there is no room; the oldest is no longer checked then. */
  readonly #sessions = new ExpiringMap<string, Session>(100_000);

  started(id: string, digest: Digest, sizeBytes: number | undefined): void {
    this.#sessions.set(id, { digest, sizeBytes }, 0, Infinity);
  }

  ended(id: string): void {
    this.#sessions.delete(id);
  }

  /** @throws KrakenError `upload-unknown`, `size-invalid` */
  check(id: string, digest: Digest, endBytes = 0): void {
    const session = this.#sessions.get(id, 0);
    if (session === undefined) return;
    if (session.digest !== digest) throw new KrakenError('upload-unknown', `upload ${id} is for another blob`);
    if (session.sizeBytes !== undefined && endBytes > session.sizeBytes) {
      throw new KrakenError('size-invalid', `chunk ends at byte ${endBytes} of an upload of ${session.sizeBytes}`);
    }
  }
}
