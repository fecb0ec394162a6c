/** HTTP over a bare socket: for requests no client would send, and for what really came over the wire. */
import { connect, type Socket } from 'node:net';

export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The server ended the connection before `Content-Length` bytes came. */
  readonly truncated: boolean;
}

/** Everything until the server closes. */
export function rawExchange(port: number, request: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket: Socket = connect(port, '127.0.0.1', () => socket.write(request));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
  });
}

export function parseRawResponse(text: string): RawResponse {
  const cut = text.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = text.slice(0, cut).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const body = text.slice(cut + 4);
  const expected = headers['content-length'];
  return {
    status: Number(statusLine.split(' ')[1] ?? 0),
    headers,
    body,
    truncated: expected !== undefined && body.length < Number(expected),
  };
}

/** One request with `Connection: close`. */
export async function rawRequest(
  port: number,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body: string | Buffer = '',
): Promise<RawResponse> {
  const length = Buffer.byteLength(body);
  const head = Object.entries({
    host: '127.0.0.1',
    connection: 'close',
    ...(length > 0 ? { 'content-length': String(length) } : {}),
    ...headers,
  })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  return parseRawResponse(
    await rawExchange(
      port,
      Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${head}\r\n`), Buffer.from(body)]),
    ),
  );
}
