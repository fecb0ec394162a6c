/**
 * A tracker in front of ours that behaves as Kraken's own where it matters: metainfo is parsed and written again without
 * what it does not know, there are no other resources, and announces keep their known fields only.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { parseMetaInfo, serializeMetaInfo, withRoot } from '@kraken/core/content';
import {
  decodeAnnounceRequest,
  decodeAnnounceResponse,
  encodeAnnounceRequest,
  encodeAnnounceResponse,
} from '@kraken/core/tracker';

export interface StrippingTracker {
  /** `host:port`. */
  readonly address: string;
  close(): Promise<void>;
}

/** @param tracker where requests go, `host:port` */
export async function startStrippingTracker(tracker: string): Promise<StrippingTracker> {
  const forward = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const [path = ''] = (req.url ?? '').split('?', 1);
    const chunks: Buffer[] = [];
    for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString('utf8');
    const isAnnounce = path.startsWith('/announce');
    if (!isAnnounce && !path.endsWith('/metainfo') && path !== '/health' && path !== '/readiness') {
      res.writeHead(404).end('404 page not found\n');
      return;
    }
    const response = await request(`http://${tracker}${path}`, {
      method: req.method === 'POST' ? 'POST' : 'GET',
      ...(isAnnounce ? { body: stripAnnounce(body) } : {}),
    });
    const text = await response.body.text();
    res.writeHead(response.statusCode);
    if (response.statusCode !== 200) res.end(text);
    else if (isAnnounce) res.end(stripAnswer(text));
    else if (path.endsWith('/metainfo')) res.end(serializeMetaInfo(withRoot(parseMetaInfo(text), undefined)));
    else res.end(text);
  };
  const server = createServer((req, res) => {
    forward(req, res).catch((error: unknown) => {
      res.writeHead(502).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function stripAnnounce(body: string): string {
  const { digest, infoHash, peer } = decodeAnnounceRequest(body);
  return encodeAnnounceRequest({ digest, infoHash, peer });
}

function stripAnswer(text: string): string {
  const { peers, intervalMs } = decodeAnnounceResponse(text);
  return encodeAnnounceResponse(peers, intervalMs);
}
