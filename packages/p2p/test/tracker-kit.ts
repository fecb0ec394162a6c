/** What the tracker tests share: scripted counterparts, a server on an ephemeral port, raw requests, the recorded exchanges. */
import { readFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { parsePeerId, type PeerInfo } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import type { OriginDirectory } from '@kraken/core/ports';
import { Random } from '@kraken/core/tracker';

/** Keeps everything in the order in which it came, so that answers can be compared with recorded ones. */
export class Unshuffled extends Random {
  constructor() {
    super(0);
  }
  override below(): number {
    return 0;
  }
  override shuffle<T>(items: T[]): T[] {
    return items;
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export const peer = (n: number, more: Partial<PeerInfo> = {}): PeerInfo => ({
  peerId: parsePeerId(n.toString(16).padStart(2, '0').repeat(20)),
  ip: `10.0.0.${n}`,
  port: 16001,
  origin: false,
  complete: false,
  ...more,
});

/** Origins that answer as told. */
export function originDirectory(script: Partial<OriginDirectory> = {}): OriginDirectory {
  return {
    originPeers: () => Promise.resolve([]),
    metaInfoResponse: () => Promise.reject(new KrakenError('origin-unavailable', 'not scripted')),
    checkReady: () => Promise.resolve(),
    ...script,
  };
}

export class Host {
  readonly #server: Server;
  readonly address: string;

  private constructor(server: Server) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(listener: RequestListener): Promise<Host> {
    const server = createServer(listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Host(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  ask(method: string, path: string, body = '', headers: Record<string, string> = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const length =
        body === '' || 'transfer-encoding' in headers ? {} : { 'content-length': String(Buffer.byteLength(body)) };
      const req = request({ host: '127.0.0.1', port: this.port, method, path, headers: { ...length, ...headers } });
      req.once('error', reject).once('response', (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk)).once('error', reject);
        res.once('end', () =>
          resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks).toString() }),
        );
      });
      req.end(body);
    });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, 'close');
  }
}

/** An address where nobody listens. */
export async function deadAddress(): Promise<string> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${port}`;
}

/** Sends bytes as they are and reads until the other side closes. */
export async function rawExchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

export interface RecordedExchange {
  readonly to: string;
  readonly request: { readonly head: string; readonly body: string };
  readonly response: { readonly head: string; readonly body: string };
}

/** The exchanges of a capture file: `>>> to …`, head, blank line, body, `<<< response`, head, blank line, body. */
export function readCapture(name: string): RecordedExchange[] {
  const text = readFileSync(new URL(`../test/fixtures/captures/${name}`, import.meta.url), 'utf8');
  const part = (lines: string): { head: string; body: string } => {
    const [head = '', ...rest] = lines.split('\n\n');
    const body = rest.join('\n\n');
    const noNewline = '\n<no newline at end of body>';
    const end = body.indexOf(noNewline);
    return { head, body: end >= 0 ? body.slice(0, end) : body.replace(/\n+$/, body.trim() === '' ? '' : '\n') };
  };
  return text
    .split('>>> to ')
    .slice(1)
    .map((exchange) => {
      const [first = '', response = ''] = exchange.split('<<< response\n');
      const [to = '', ...request] = first.split('\n');
      return { to: to.split(' ')[0] ?? '', request: part(request.join('\n')), response: part(response) };
    });
}
