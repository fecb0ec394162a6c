/**
 * What an origin knows about open upload sessions beyond their files: which blob a session is for and how long it may get.
 * Source: spec origin-store-backends.md §1.3, §10 (45): a session cannot be used for another blob. A session that this
 * process did not start (it was restarted) is known to the store alone and is not refused here.
 */
import type { Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { ExpiringMap } from '../expiring-map.js';
import type { Clock } from '../retry/index.js';

interface Session {
  readonly digest: Digest;
  /** Bytes announced at the start. */
  readonly sizeBytes: number | undefined;
}

/** A session that rests for so long is no longer checked: longer than stores keep one. */
const IDLE_MS = 86_400_000;

export class UploadSessions {
  readonly #clock: Clock;
  readonly #sessions = new ExpiringMap<string, Session>(100_000);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  started(id: string, digest: Digest, sizeBytes: number | undefined): void {
    this.#used(id, { digest, sizeBytes });
  }

  ended(id: string): void {
    this.#sessions.delete(id);
  }

  /** @throws KrakenError `upload-unknown`, `size-invalid` */
  check(id: string, digest: Digest, endBytes = 0): void {
    const session = this.#sessions.get(id, this.#clock.nowMs());
    if (session === undefined) return;
    this.#used(id, session);
    if (session.digest !== digest) throw new KrakenError('upload-unknown', `upload ${id} is for another blob`);
    if (session.sizeBytes !== undefined && endBytes > session.sizeBytes) {
      throw new KrakenError('size-invalid', `chunk ends at byte ${endBytes} of an upload of ${session.sizeBytes}`);
    }
  }

  #used(id: string, session: Session): void {
    const nowMs = this.#clock.nowMs();
    this.#sessions.set(id, session, nowMs, nowMs + IDLE_MS);
  }
}
