/** `PATCH /x/config/scheduler`: a new configuration for a running node. Downloads go on. */
import { KrakenError } from '@kraken/core/errors';
import type { Logger } from '@kraken/core/ports';
import type { PeerNode } from '@kraken/p2p';
import { swarmConfigFromGoJson } from '../config/scheduler-json.js';

/** The body replaces the configuration. @throws KrakenError `request-invalid` */
export function reconfigure(node: PeerNode, json: unknown, logger: Logger): void {
  const { swarm, bandwidth, ignored } = swarmConfigFromGoJson(json);
  if (ignored.length > 0) logger.warn({ ignored }, 'fields of the new configuration without effect');
  node.reconfigure(swarm);
  node.setBandwidth(bandwidth);
}

/** @throws KrakenError `request-invalid` */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KrakenError('request-invalid', `json decode: ${String(cause)}`, { cause });
  }
}
