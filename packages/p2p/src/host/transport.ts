/**
 * How bytes come out of a TCP socket: straight into buffers that the sink names (`onread` with a function),
 * which saves an allocation and a copy per read; by `'data'` events where that is not to be had. Owns nothing
 * but the choice. Source: performance measurements.
 *
 * Node offers `onread` only for sockets that are created to connect. An accepted socket's handle is therefore
 * handed over to a fresh socket. The handle is an undocumented field: its shape is checked, and without it the
 * accepted socket is used as it is.
 */
import { connect, Socket } from 'node:net';

/** What receives the bytes of a socket. */
export interface ReadSink {
  /** Where the next bytes go; asked for once per read. */
  buffer(): Uint8Array;
  /** `length` bytes lie at the start of the buffer that `buffer` returned last. */
  filled(length: number): void;
  /** Bytes that came in a chunk of the socket's own. Valid only during the call. */
  data(chunk: Uint8Array): void;
}

/** Parts of Node's internal TCP handle that `onread` needs. */
interface TcpHandle {
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  reading?: boolean;
}

interface WithHandle {
  _handle?: unknown;
}

const onread = (sink: ReadSink): { buffer: () => Uint8Array; callback: (length: number) => boolean } => ({
  buffer: () => sink.buffer(),
  callback: (length) => {
    sink.filled(length);
    return true;
  },
});

/** A socket that connects to `host:port`; IPv6 addresses without brackets. */
export function openSocket(host: string, port: number, sink: ReadSink): Socket {
  return connect({ host, port, noDelay: true, onread: onread(sink) });
}

/** Feed `sink` with the chunks of a socket that allocates its own buffers (TLS). Reading starts at once. */
export function followSocket<S extends Socket>(socket: S, sink: ReadSink): S {
  socket.setNoDelay(true);
  socket.on('data', (chunk: Uint8Array) => sink.data(chunk));
  socket.resume();
  return socket;
}

/**
 * Take over a socket that a server accepted with `pauseOnConnect`, and of which everything that was read has been
 * taken out. Reading starts at once.
 * @param direct false forces `'data'` events
 */
export function adoptSocket(accepted: Socket, sink: ReadSink, direct = true): Socket {
  const handle = (accepted as WithHandle)._handle;
  if (!direct || !isTcpHandle(handle)) return followSocket(accepted, sink);
  // Somebody may have looked at the first bytes; the new socket starts reading by itself.
  handle.reading = false;
  handle.readStop();
  // The shell must not close the handle when it goes.
  (accepted as WithHandle)._handle = null;
  accepted.destroy();
  const socket = new Socket({ handle, onread: onread(sink) } as ConstructorParameters<typeof Socket>[0]);
  socket.setNoDelay(true);
  return socket;
}

function isTcpHandle(value: unknown): value is TcpHandle {
  if (typeof value !== 'object' || value === null) return false;
  const handle = value as Partial<TcpHandle>;
  return (
    typeof handle.useUserBuffer === 'function' &&
    typeof handle.readStart === 'function' &&
    typeof handle.readStop === 'function'
  );
}
