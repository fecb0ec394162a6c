/**
 * The log of what TLS refused: who, which way, why. Owns the limit on lines, so that a stranger cannot fill the
 * disk; what is not written is counted and told with the next line.
 */
import type { Logger } from '@kraken/core/ports';
import type { Clock } from './clock.js';

export interface TlsRefusal {
  /** `in`: somebody dialled us. */
  readonly direction: 'in' | 'out';
  /** Address and port of the other side, as far as known. */
  readonly remote: string;
  readonly reason: string;
  /** Subject of the certificate that was shown. */
  readonly subject?: string;
}

/** Lines per window. Guess. */
const LINES_MAX = 20;
const WINDOW_MS = 10_000;

export class TlsRefusals {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #windowEndsAt = -Infinity;
  #lines = 0;
  #unwritten = 0;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  note(refusal: TlsRefusal): void {
    const now = this.#clock.now();
    if (now >= this.#windowEndsAt) {
      this.#windowEndsAt = now + WINDOW_MS;
      this.#lines = 0;
    }
    if (this.#lines >= LINES_MAX) {
      this.#unwritten++;
      return;
    }
    this.#lines++;
    const unwritten = this.#unwritten;
    this.#unwritten = 0;
    this.#logger.warn(unwritten === 0 ? refusal : { ...refusal, unwritten }, 'peer refused by transport security');
  }
}
