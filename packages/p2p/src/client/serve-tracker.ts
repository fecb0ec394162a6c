/** A tracker on a port of its own. Owns the HTTP server; what it answers is {@link createTrackerHandler}'s. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KrakenError } from '@kraken/core/errors';
import { createTrackerHandler, type TrackerHandlerOptions } from '../tracker/index.js';

/** A tracker and where it listens. */
export interface ServeTrackerOptions extends TrackerHandlerOptions {
  /** Default 127.0.0.1: this machine only. */
  readonly host?: string;
  /** Default: any free port. */
  readonly port?: number;
}

/** A tracker that listens. */
export interface ServedTracker {
  /** What `fetchBlob` and the others take as `tracker`. */
  readonly url: string;
  /** Where it listens. */
  readonly port: number;
  /** Stop listening and end all connections. */
  close(): Promise<void>;
}

/**
 * Run a tracker in this process. To put it into an HTTP server that exists, use {@link createTrackerHandler}.
 * @throws KrakenError `network-error` when the port cannot be had
 */
export async function serveTracker(options: ServeTrackerOptions): Promise<ServedTracker> {
  const host = options.host ?? '127.0.0.1';
  const server = createServer(createTrackerHandler(options));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new KrakenError('network-error', `cannot listen on ${host}: ${error.message}`, { cause: error })),
    );
    server.listen(options.port ?? 0, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
