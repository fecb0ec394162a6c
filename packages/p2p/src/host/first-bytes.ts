/**
 * The first bytes of an accepted socket, before it is known what speaks: a Kraken frame starts with 0, a TLS record
 * with 22. Never interprets more than that byte.
 */
import type { Socket } from 'node:net';

/** First byte of a TLS record that carries a handshake. */
export const TLS_RECORD = 0x16;

/**
 * Read once from a socket that was accepted with `pauseOnConnect`. Reading has stopped when `seen` is called; it is
 * not called when the socket ends first.
 */
export function readFirstBytes(socket: Socket, seen: (bytes: Buffer) => void): void {
  const look = (): void => {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) return;
    socket.off('readable', look);
    seen(bytes);
  };
  socket.on('readable', look);
}
