/**
 * HTTP requests by Node's own client with kept connections, for embedding programs that bring no dispatcher: it needs a
 * tenth of the start-up time of a client library. Owns its connections. Never follows redirects.
 *
 * A kept connection that the server has just closed is no failure of the server: such a request is sent once more.
 */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { HttpAnswer, HttpSender, SentRequest } from './http-exchange.js';

export class NodeRequests implements HttpSender {
  readonly #plain = new Agent({ keepAlive: true });
  readonly #tls = new HttpsAgent({ keepAlive: true });

  async send(request: SentRequest, signal: AbortSignal): Promise<HttpAnswer> {
    try {
      return await this.#once(request, signal);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      return await this.#once(request, signal);
    }
  }

  /** Requests under way fail. */
  close(): void {
    this.#plain.destroy();
    this.#tls.destroy();
  }

  #once({ origin, path, method, body }: SentRequest, signal: AbortSignal): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const url = new URL(origin);
      const options = {
        host: url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname,
        port: url.port,
        path,
        method,
        signal,
        headers: body === undefined ? {} : { 'content-length': Buffer.byteLength(body) },
      };
      const answered = (response: IncomingMessage): void =>
        resolve({ status: response.statusCode ?? 0, body: response });
      const sent =
        url.protocol === 'https:'
          ? httpsRequest({ ...options, agent: this.#tls }, answered)
          : httpRequest({ ...options, agent: this.#plain }, answered);
      sent.once('error', (error: NodeJS.ErrnoException) => {
        const stale = sent.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        reject(stale ? new StaleConnection() : error);
      });
      sent.end(body);
    });
  }
}

/** The server closed a kept connection before the request was read. */
class StaleConnection extends Error {}
