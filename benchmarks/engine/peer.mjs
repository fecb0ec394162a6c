// Peers of ours in a process of their own; peer-process.cjs starts it. Arguments: one JSON object.
//   role      import | seeder | leecher; rehearsal: all of them in one process, with `dir` alone
//   dir       directory of the store
//   file      import: what to put into the store
//   digest    of the blob
//   tracker   host:port, not for import
//   pieceLayer, blobHash   what is checked beside the CRC-32 of each piece
//   loopDelay leecher: measure the delay of its event loop
//   nodes     seeder: so many peers over one store
//   node      settings of the node that differ from the defaults
//   tls       absent, or PEM files of transport security
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { parseDigest, serializeMetaInfo } from '@kraken/core/content';
import {
  createLocalOrigins,
  createPassiveRing,
  createPeerNode,
  createTrackerClient,
  DiskStore,
  serveTracker,
} from '@kraken/p2p';
import { BlobHasher } from '../../packages/p2p/dist/store/blob-hasher.js';
import { commands, say, usage } from '../lib/events.mjs';

const NAMESPACE = 'bench';
const REHEARSAL_BYTES = 16 * 2 ** 20;

/** @returns the exit code */
export async function main([argument]) {
  const options = JSON.parse(argument);
  if (options.role === 'rehearsal') return rehearse(options.dir);
  const digest = parseDigest(options.digest);
  const { dir, role, pieceLayer = true, blobHash = true } = options;

  if (!blobHash) leaveOutBlobHash(digest);
  const store = await openStore(dir, pieceLayer);

  if (role === 'import') {
    const { size } = statSync(options.file);
    const content = createReadStream(options.file, { highWaterMark: 2 ** 20 });
    await importBlob(store, digest, content, size, options.pieceLength);
    await store.close();
    say('imported');
  } else if (role === 'seeder') {
    const metainfo = await store.metaInfo(digest);
    const layer = await store.pieceLayer?.(digest);
    const nodes = [];
    for (let n = 0; n < (options.nodes ?? 1); n++) nodes.push(await startNode(store, options, { origin: n === 0 }));
    for (const node of nodes) await node.seed(digest, NAMESPACE);
    const peers = nodes.map(({ context: { peerId, ip, port, origin } }) => ({
      peerId,
      ip,
      port,
      origin,
      complete: true,
    }));
    say('ready', {
      blob: {
        metainfo: serializeMetaInfo(metainfo),
        peers,
        ...(layer === undefined ? {} : { layer: Buffer.from(layer).toString('base64') }),
      },
      hasRoot: metainfo.piecesRoot !== undefined,
      ...usage(),
    });
    commands(() => say('usage', usage()));
  } else {
    const node = await startNode(store, options, {});
    // A thousand wake-ups a second cost something: only where they are asked for.
    const delay = options.loopDelay ? monitorEventLoopDelay({ resolution: 1 }) : undefined;
    delay?.enable();
    // As the agent's HTTP route pulls, but nobody reads along.
    const blob = await node.open(digest, { namespace: NAMESPACE });
    await blob.finished;
    delay?.disable();
    const delays =
      delay === undefined
        ? {}
        : { loopDelayP99Ms: delay.percentile(99) / 1e6 - 1, loopDelayMaxMs: delay.max / 1e6 - 1 };
    say('done', { ...usage(), ...delays });
    commands(() => say('usage', usage()));
  }
  return 0;
}

function openStore(dir, pieceLayer) {
  for (const name of ['cache', 'download', 'upload']) mkdirSync(join(dir, name), { recursive: true });
  return DiskStore.open({
    cacheDir: join(dir, 'cache'),
    downloadDir: join(dir, 'download'),
    uploadDir: join(dir, 'upload'),
    pieceLayer,
  });
}

/** A pull in one process, for the bundle: what is called is compiled ahead, as in the bundle of the server. */
async function rehearse(dir) {
  const bytes = randomBytes(REHEARSAL_BYTES);
  const digest = parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  const seeding = await openStore(join(dir, 'seeder'), true);
  await importBlob(seeding, digest, Readable.from([bytes]), bytes.length, REHEARSAL_BYTES / 16);
  // Its own announces go nowhere: the tracker knows it as an origin.
  const seeder = await startNode(seeding, { tracker: '127.0.0.1:1' }, { origin: true });
  const tracker = await serveTracker({ origins: createLocalOrigins([{ node: seeder, store: seeding }]) });
  await seeder.seed(digest, NAMESPACE);
  const pulling = await openStore(join(dir, 'leecher'), true);
  const leecher = await startNode(pulling, { tracker: `127.0.0.1:${tracker.port}` }, {});
  const blob = await leecher.open(digest, { namespace: NAMESPACE });
  await blob.finished;
  for (const part of [leecher, seeder, tracker, pulling, seeding]) await part.close();
  return 0;
}

async function importBlob(store, digest, content, length, pieceLength) {
  const id = await store.uploads.create();
  await store.uploads.write(id, 0, content, length);
  await store.uploads.commit(id, digest);
  await store.generateMetaInfo(digest, pieceLength);
}

function startNode(store, options, { origin = false }) {
  const tracker = createTrackerClient({ ring: createPassiveRing({ hosts: () => [options.tracker] }) });
  return createPeerNode({
    store,
    tracker,
    peer: { ip: '127.0.0.1', origin },
    listen: { host: '127.0.0.1', port: 0 },
    ...(options.node ?? {}),
    ...(options.tls === undefined ? {} : { tls: tlsOf(options.tls) }),
  });
}

function tlsOf({ ca, cert, key }) {
  return { mode: 'required', ca: [readFileSync(ca)], cert: readFileSync(cert), key: readFileSync(key) };
}

/**
 * The product always checks the whole blob before it counts as complete. To tell what that costs, the bench takes the
 * check out from below.
 */
function leaveOutBlobHash(digest) {
  const unchecked = {
    jobOn: () => undefined,
    advance: () => undefined,
    cancel: () => undefined,
    finish: () => Promise.resolve(digest.slice('sha256:'.length)),
  };
  BlobHasher.prototype.followGrown = () => unchecked;
  BlobHasher.prototype.followAhead = () => unchecked;
  BlobHasher.prototype.follow = () => unchecked;
}
