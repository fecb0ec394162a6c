/**
 * Sockets whose connection is over for us while what we sent last is still on its way. They are shut for writing, what
 * comes is thrown away, and they end when the peer ends or after a while. To destroy a socket that has unread input makes the
 * kernel reset it, and the peer then loses the end of a payload that we counted as sent.
 */
import type { Socket } from 'node:net';
import type { Clock } from './clock.js';

/** A peer that does not end by itself is cut off after so long. Guess: 5 s, as a handshake. */
const LINGER_MS = 5000;
/** More are destroyed at once. Guess. */
const SOCKETS_MAX = 256;

export class Lingering {
  readonly #clock: Clock;
  readonly #sockets = new Set<Socket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sockets that have not ended. */
  get size(): number {
    return this.#sockets.size;
  }

  /** Take a socket over. Its owner ignores what it reads from now on. */
  add(socket: Socket): void {
    if (this.#sockets.size >= SOCKETS_MAX || socket.destroyed) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    const cancel = this.#clock.after(LINGER_MS, () => socket.destroy());
    socket.once('close', () => {
      cancel();
      this.#sockets.delete(socket);
    });
    socket.end();
    socket.resume();
  }

  /** Destroy all. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
