/**
 * The demonstration: push a sample image, pull it through every agent at once, check every digest, and show where the
 * bytes came from.
 */
import type { Logger } from '@kraken/core/ports';
import { startCluster, type EmbeddedCluster } from '../cluster/embedded-cluster.js';
import { formatRoles } from '../cluster/role-table.js';
import { mib, ProgressDisplay, type ProgressLine } from './progress.js';
import { RegistryClient } from './registry-client.js';
import { assembleImage, digestOf, randomLayer, type Descriptor } from './sample-image.js';
import { summarize, type DemoSummary } from './summary.js';

const REPOSITORY = 'demo/sample';
const TAG = 'latest';
const MIB = 2 ** 20;
const LAYER_BYTES = [24 * MIB, 24 * MIB, 20 * MIB];
export const PIECE_LENGTH_BYTES = MIB;
/** A real origin is one of a few hosts that serve thousands: peers matter because its uplink is scarce. */
export const ORIGIN_EGRESS_BYTES_PER_SEC = 64 * MIB;

export interface DemoResult {
  readonly cluster: EmbeddedCluster;
  /** Empty when everything was right. */
  readonly problems: readonly string[];
  readonly summary: DemoSummary;
}

/** Run it. The cluster keeps serving; the caller closes it. `print` gets whole lines. */
export async function runDemo(
  dataDirectory: string,
  logger: Logger,
  print: (line: string) => void,
): Promise<DemoResult> {
  print('Starting a cluster on loopback: 1 tracker, 3 origins, 1 build-index, 1 proxy, 3 agents.');
  const cluster = await startCluster({
    dataDirectory,
    pieceLengthBytes: PIECE_LENGTH_BYTES,
    originEgressBytesPerSec: ORIGIN_EGRESS_BYTES_PER_SEC,
    logger,
  });
  try {
    print(formatRoles(cluster));
    const image = await pushSample(cluster, print);
    const problems: string[] = [];
    const startedAt = performance.now();
    await pullEverywhere(cluster, image, problems, print);
    const seconds = (performance.now() - startedAt) / 1000;
    const summary = summarize(cluster, image, seconds);
    for (const line of summary.lines) print(line);
    for (const problem of problems) print(`PROBLEM: ${problem}`);
    print(problems.length === 0 ? 'Every digest is right.' : `${problems.length} problems.`);
    return { cluster, problems, summary };
  } catch (error) {
    await cluster.close(0);
    throw error;
  }
}

export interface PushedImage {
  readonly manifestDigest: string;
  readonly blobs: readonly Descriptor[];
  readonly bytes: number;
}

async function pushSample(cluster: EmbeddedCluster, print: (line: string) => void): Promise<PushedImage> {
  const total = LAYER_BYTES.reduce((sum, bytes) => sum + bytes, 0);
  print(
    `Pushing ${REPOSITORY}:${TAG} to the proxy: ${LAYER_BYTES.length} layers of random content, ${mib(total)} MiB.`,
  );
  const line: ProgressLine = { label: 'push', doneBytes: 0, totalBytes: total };
  const display = new ProgressDisplay([line]);
  try {
    const registry = new RegistryClient(`${cluster.host}:${cluster.proxyPort}`);
    const count = (bytes: number): void => {
      line.doneBytes = Math.min(total, line.doneBytes + bytes);
    };
    const layers: { digest: string; size: number }[] = [];
    for (const [i, bytes] of LAYER_BYTES.entries()) {
      const layer = randomLayer(`layer-${i + 1}.bin`, bytes);
      layers.push({ digest: await registry.pushBlob(REPOSITORY, layer, count), size: layer.size });
    }
    const { config, manifest } = assembleImage(layers);
    const configLayer = {
      size: config.length,
      read: async function* () {
        yield await Promise.resolve(config);
      },
    };
    const configDigest = await registry.pushBlob(REPOSITORY, configLayer, () => undefined);
    await registry.pushManifest(REPOSITORY, TAG, manifest);
    const blobs: Descriptor[] = [
      { mediaType: 'config', digest: configDigest, size: config.length },
      ...layers.map(({ digest, size }) => ({ mediaType: 'layer', digest, size })),
    ];
    return { manifestDigest: digestOf(manifest), blobs, bytes: blobs.reduce((sum, { size }) => sum + size, 0) };
  } finally {
    display.finish();
  }
}

async function pullEverywhere(
  cluster: EmbeddedCluster,
  image: PushedImage,
  problems: string[],
  print: (line: string) => void,
): Promise<void> {
  print(`Pulling it through ${cluster.agents.length} agents at once.`);
  const lines = cluster.agents.map((_, i): ProgressLine => ({
    label: `agent-${i + 1}`,
    doneBytes: 0,
    totalBytes: image.bytes,
  }));
  const display = new ProgressDisplay(lines);
  try {
    await Promise.all(
      cluster.agents.map(async (agent, i) => {
        const name = `agent-${i + 1}`;
        const line = lines[i];
        const registry = new RegistryClient(`${cluster.host}:${agent.ports['registry'] ?? 0}`);
        try {
          const manifest = await registry.pullManifest(REPOSITORY, TAG);
          if (manifest.digest !== image.manifestDigest)
            problems.push(`${name}: the manifest is ${manifest.digest}, pushed was ${image.manifestDigest}`);
          await Promise.all(
            image.blobs.map(async (blob) => {
              const pulled = await registry.pullBlob(REPOSITORY, blob, (bytes) => {
                if (line !== undefined) line.doneBytes += bytes;
              });
              if (pulled.digest !== blob.digest || pulled.length !== blob.size) {
                problems.push(
                  `${name}: ${blob.digest} came as ${pulled.digest}, ${pulled.length} of ${blob.size} bytes`,
                );
              }
            }),
          );
        } catch (error) {
          problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }),
    );
  } finally {
    display.finish();
  }
}

/** What to try next, with the ports of this cluster. */
export function nextCommands(cluster: EmbeddedCluster): readonly string[] {
  const proxy = `${cluster.host}:${cluster.proxyPort}`;
  const agent = `${cluster.host}:${cluster.agents[0]?.ports['registry'] ?? 0}`;
  const image = `${REPOSITORY}:${TAG}`;
  return [
    'Try next, in another terminal:',
    `  skopeo copy --src-tls-verify=false docker://${agent}/${image} oci:sample:latest`,
    `  skopeo copy --dest-tls-verify=false oci:sample:latest docker://${proxy}/demo/copy:v1`,
    `  docker pull ${agent}/${image}`,
    `  podman pull --tls-verify=false ${agent}/${image}`,
    `  ctr images pull --plain-http ${agent}/${image}`,
    `  curl http://${proxy}/v2/_catalog`,
  ];
}
