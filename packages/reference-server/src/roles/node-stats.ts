/** `GET /x/stats`: counters of a peer node and its process as JSON. Behind the same access policy as its port. */
import type { PeerNode } from '@kraken/p2p';
import type { HttpHandler } from '@kraken/registry-http';
import type { ProcessMonitor } from '../telemetry/process-stats.js';

const PATH = '/x/stats';

/** `handler` with the route in front. */
export function withNodeStats(handler: HttpHandler, node: PeerNode, monitor: ProcessMonitor): HttpHandler {
  return (req, res) => {
    if (req.method !== 'GET' || req.url?.split('?', 1)[0] !== PATH) {
      handler(req, res);
      return;
    }
    const body = JSON.stringify({ process: monitor.read(), node: plain(node.stats()) });
    res.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    });
    res.end(body);
  };
}

/** Maps as objects, so that JSON shows them. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}
