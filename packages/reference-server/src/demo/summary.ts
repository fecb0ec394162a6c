/** Where the bytes of the demonstration came from. */
import type { EmbeddedCluster } from '../cluster/embedded-cluster.js';
import type { PushedImage } from './demo.js';
import { mib } from './progress.js';

export interface DemoSummary {
  readonly seconds: number;
  readonly imageBytes: number;
  /** Payload bytes sent by origins to agents. */
  readonly fromOriginsBytes: number;
  /** Payload bytes sent by agents to agents. */
  readonly betweenAgentsBytes: number;
  readonly lines: readonly string[];
}

export function summarize(cluster: EmbeddedCluster, image: PushedImage, seconds: number): DemoSummary {
  const names = new Map<string, string>();
  cluster.origins.forEach((origin, i) => names.set(origin.node.context.peerId, `origin-${i + 1}`));
  cluster.agents.forEach((agent, i) => names.set(agent.node.context.peerId, `agent-${i + 1}`));
  let fromOriginsBytes = 0;
  let betweenAgentsBytes = 0;
  const rows: string[] = [];
  cluster.agents.forEach((agent, i) => {
    let fromOrigins = 0;
    const peers: string[] = [];
    for (const [peer, { bytes, origin }] of agent.node.stats().fromPeers) {
      if (origin) fromOrigins += bytes;
      else {
        betweenAgentsBytes += bytes;
        peers.push(`${names.get(peer) ?? peer} ${mib(bytes)} MiB`);
      }
    }
    fromOriginsBytes += fromOrigins;
    rows.push(
      `  agent-${i + 1}: ${mib(fromOrigins)} MiB from origins, ${peers.length === 0 ? 'nothing from peers' : peers.sort().join(', ')}`,
    );
  });
  const delivered = image.bytes * cluster.agents.length;
  return {
    seconds,
    imageBytes: image.bytes,
    fromOriginsBytes,
    betweenAgentsBytes,
    lines: [
      '',
      `Pulled ${mib(image.bytes)} MiB through ${cluster.agents.length} agents in ${seconds.toFixed(2)} s: ${(delivered / 1e6 / seconds).toFixed(0)} MB/s in all.`,
      ...rows,
      `  origins sent ${(fromOriginsBytes / image.bytes).toFixed(2)} copies of the image, agents sent each other ${(betweenAgentsBytes / image.bytes).toFixed(2)}`,
      '  (each origin is limited to 64 MiB/s with 1 MiB pieces here, so that peers matter as they do in a real cluster)',
    ],
  };
}
