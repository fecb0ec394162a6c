/**
 * Ends the waits of one stream from outside: abort signal, close, shutdown. Owns the first reason and the
 * waits under way; a wait that is over leaves nothing behind, however long the stream lives.
 */
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import type { CancelSignal } from '@kraken/core/ports';

export class Interrupt {
  #reason: Error | undefined;
  readonly #waits = new Set<(reason: Error) => void>();

  /** Why it was raised, if it was. */
  get reason(): Error | undefined {
    return this.#reason;
  }

  /** @throws the reason once it was raised */
  check(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** End all waits, now and later. The first reason stays. */
  raise(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const end of this.#waits) end(reason);
    this.#waits.clear();
  }

  /**
   * Wait for what `start` subscribes to. `start` returns how to leave, which is called when the wait is interrupted.
   * @throws the reason of the interrupt, or what was passed to `reject`
   */
  wait<T>(start: (resolve: (value: T) => void, reject: (error: Error) => void) => () => void): Promise<T> {
    if (this.#reason !== undefined) return Promise.reject(this.#reason);
    return new Promise<T>((resolve, reject) => {
      const leave = start(
        (value) => {
          this.#waits.delete(end);
          resolve(value);
        },
        (error) => {
          this.#waits.delete(end);
          reject(error);
        },
      );
      const end = (reason: Error): void => {
        leave();
        reject(reason);
      };
      this.#waits.add(end);
    });
  }
}

/** What a reader throws when its signal was aborted. */
export function cancelledBy(signal: CancelSignal): KrakenError {
  if (isKrakenError(signal.reason)) return signal.reason;
  return new KrakenError('cancelled', 'the reader gave up', { cause: signal.reason });
}
