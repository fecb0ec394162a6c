// One peer of the real side of the parity run, as a process of its own. Told what to do over the channel of its parent;
// ends when the channel does.
import { createCipheriv, createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseDigest, serializeMetaInfo } from '../../../packages/core/dist/content/index.js';
import { createPassiveRing, createPeerNode, createTrackerClient, DiskStore } from '../../../packages/p2p/dist/index.js';

const NAMESPACE = 'parity';
const CHUNK_BYTES = 2 ** 20;

const delay = monitorEventLoopDelay({ resolution: 5 });
const refusals = { count: 0 };
let store;
let tracker;
let node;
let cpuAtStart;
/** Counters when the measurement began. */
let before;

const commands = {
  /** Start the node; an origin makes the blobs first. */
  async start({ role, directory, limitBytesPerSec, swarm, seed, trackerPort, blobs, pieceBytes }) {
    mkdirSync(directory, { recursive: true });
    store = await DiskStore.open({
      cacheDir: join(directory, 'cache'),
      downloadDir: join(directory, 'download'),
      uploadDir: join(directory, 'upload'),
    });
    const made = [];
    if (role === 'origin') for (const blob of blobs) made.push(await makeBlob(blob, pieceBytes));
    else tracker = createTrackerClient({ ring: createPassiveRing({ hosts: () => [`127.0.0.1:${trackerPort}`] }) });
    node = await createPeerNode({
      store,
      tracker,
      peer: { ip: '127.0.0.1', origin: role === 'origin' },
      listen: { host: '127.0.0.1', port: 0 },
      bandwidth: { egressBytesPerSec: limitBytesPerSec, ingressBytesPerSec: limitBytesPerSec },
      swarm,
      seed,
      metrics: {
        count: (name, value = 1) => {
          if (name === 'connections_refused') refusals.count += value;
        },
        gauge: () => undefined,
        observe: () => undefined,
      },
    });
    const { peerId, ip, port } = node.context;
    return { peer: { peerId, ip, port, origin: role === 'origin', complete: role === 'origin' }, made };
  },

  /** From now on things count. */
  async measure() {
    before = counters();
    cpuAtStart = process.cpuUsage();
    delay.reset();
    delay.enable();
  },

  /** Pull the blob after so long, with a reader in order or without. Times in ms since the request; `startedAt` since 1970. */
  async pull({ digest: text, afterMs, streaming, limitMs }) {
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    const digest = parseDigest(text);
    const startedAt = performance.now();
    const since = () => performance.now() - startedAt;
    const pieceMs = [];
    const options = { namespace: NAMESPACE, deadlineMs: limitMs, onProgress: () => pieceMs.push(since()) };
    let firstByteMs;
    if (streaming) {
      const blob = await node.open(digest, options);
      for await (const chunk of blob.stream()) if (chunk.length > 0) firstByteMs ??= since();
      await blob.finished;
    } else {
      await node.download(digest, options);
    }
    const completionMs = since();
    return {
      startedAt: performance.timeOrigin + startedAt,
      firstByteMs: firstByteMs ?? completionMs,
      completionMs,
      pieceMs,
    };
  },

  async stats() {
    const cpu = process.cpuUsage(cpuAtStart);
    delay.disable();
    const now = counters();
    const since = Object.fromEntries(Object.entries(now).map(([name, value]) => [name, value - before[name]]));
    return { cpuSeconds: (cpu.user + cpu.system) / 1e6, loopDelayP99Ms: delay.percentile(99) / 1e6, ...since };
  },

  /** Digest of the blob as it lies on this disk. */
  async hash({ digest }) {
    const hash = createHash('sha256');
    const blob = await node.open(parseDigest(digest), { namespace: NAMESPACE });
    for await (const chunk of blob.stream()) hash.update(chunk);
    return { digest: `sha256:${hash.digest('hex')}` };
  },

  async stop() {
    await node?.close();
    await store?.close();
    await tracker?.close();
    return {};
  },
};

function counters() {
  const stats = node.stats();
  return {
    messages: stats.host.framesOut,
    dials: stats.host.dialled,
    refusals: refusals.count,
    pieces: stats.piecesReceived,
    requests: stats.piecesRequested,
    duplicates: stats.piecesDuplicate,
    rejected: stats.piecesRejected,
    expired: stats.requestsExpired,
    bytesSent: stats.bytesSent,
  };
}

/** AES-CTR over zeros: as random as it need be, and fast. */
function* content({ seed, bytes }) {
  const cipher = createCipheriv('aes-128-ctr', createHash('md5').update(seed).digest(), Buffer.alloc(16));
  const zeros = Buffer.alloc(CHUNK_BYTES);
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) yield cipher.update(zeros.subarray(0, Math.min(left, CHUNK_BYTES)));
}

async function makeBlob(blob, pieceBytes) {
  const hash = createHash('sha256');
  for (const chunk of content(blob)) hash.update(chunk);
  const digest = parseDigest(`sha256:${hash.digest('hex')}`);
  const upload = await store.uploads.create();
  const chunks = (async function* () {
    yield* content(blob);
  })();
  await store.uploads.write(upload, 0, chunks, blob.bytes);
  await store.uploads.commit(upload, digest);
  const metainfo = serializeMetaInfo(await store.generateMetaInfo(digest, pieceBytes));
  const layer = await store.pieceLayer(digest);
  return { digest, metainfo, layer: Buffer.from(layer ?? []).toString('base64') };
}

process.on('message', async ({ id, command, ...input }) => {
  try {
    process.send({ id, result: (await commands[command](input)) ?? {} });
  } catch (error) {
    process.send({ id, error: error instanceof Error ? error.stack : String(error) });
  }
  if (command === 'stop') process.disconnect();
});
process.on('disconnect', () => process.exit());
