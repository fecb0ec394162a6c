/** Piece layers and rejected roots between tracker client, tracker and origins. */
import { createHash } from 'node:crypto';
import test from 'ava';
import {
  createMetaInfo,
  digestFromHex,
  HASH_BYTES,
  parsePiecesRoot,
  rootOfLayer,
  serializeMetaInfo,
  type MetaInfo,
} from '@kraken/core/content';
import { isKrakenError, KrakenError, type ErrorCode } from '@kraken/core/errors';
import { silentMetrics, type OriginDirectory } from '@kraken/core/ports';
import { createPassiveRing, createTrackerClient, createTrackerHandler } from '../dist/tracker/index.js';
import { DEFAULT_META_INFO_CACHE, MetaInfoService } from '../dist/tracker/metainfo-service.js';
import { Host, originDirectory } from './tracker-kit.js';

const PIECE = 16 * 1024;
const layer = new Uint8Array(5 * HASH_BYTES).map((_, i) => i);
const length = 4 * PIECE + 1;
const digest = digestFromHex('ab'.repeat(32));
const hash = (message: Uint8Array): Uint8Array => createHash('sha256').update(message).digest();
const root = rootOfLayer(layer, length, PIECE, (message, target, at) => target.set(hash(message), at));

function rooted(piecesRoot: string): MetaInfo {
  return createMetaInfo({ digest, length, pieceLength: PIECE, pieceSums: [1, 2, 3, 4, 5], piecesRoot });
}

async function cluster(
  t: { teardown(run: () => unknown): void },
  ...origins: OriginDirectory[]
): Promise<{ hosts: Host[]; client: ReturnType<typeof createTrackerClient> }> {
  const hosts: Host[] = [];
  for (const directory of origins) {
    const host = await Host.start(createTrackerHandler({ origins: directory }));
    t.teardown(() => host.close());
    hosts.push(host);
  }
  const ring = createPassiveRing({ hosts: () => hosts.map(({ address }) => address) });
  const client = createTrackerClient({ ring });
  t.teardown(() => client.close());
  return { hosts, client };
}

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return isKrakenError(error) ? error.code : 'internal';
  }
}

test('a layer comes from the tracker, which asks origins once', async (t) => {
  const asked: string[] = [];
  const origins = originDirectory({
    pieceLayer: (namespace, wanted, under) => {
      asked.push(`${namespace} ${wanted} ${under}`);
      return Promise.resolve(under === root ? layer : undefined);
    },
  });
  const { client, hosts } = await cluster(t, origins);
  for (let i = 0; i < 2; i++) {
    let got: Uint8Array | undefined;
    await client.pieceLayer?.('a/b', rooted(root), (bytes) => {
      got = bytes;
      return Promise.resolve();
    });
    t.deepEqual(got, layer);
  }
  t.deepEqual(asked, [`a/b ${digest} ${root}`]);
  const [host] = hosts;
  const path = `/namespace/ns/blobs/${digest}/piecelayer`;
  t.is((await host?.ask('GET', `${path}?root=${'00'.repeat(32)}`))?.status, 404);
  t.is((await host?.ask('GET', path))?.status, 400);
  t.is((await host?.ask('GET', `${path}?root=xyz`))?.status, 400);
  t.is((await host?.ask('POST', `${path}?root=${root}`))?.status, 405);
});

test('a tracker that remembers a layer does not keep the slab in which it came', async (t) => {
  const service = new MetaInfoService(originDirectory({ pieceLayer: () => Promise.resolve(Buffer.from(layer)) }), {
    cache: DEFAULT_META_INFO_CACHE,
    now: () => 0,
    metrics: silentMetrics,
  });
  const kept = await service.layer('ns', digest, root, new AbortController().signal);
  t.deepEqual(kept, layer);
  t.is(kept?.buffer.byteLength, layer.length);
});

test('a layer that the caller does not take is asked of the next tracker', async (t) => {
  const wrong = new Uint8Array(layer.length);
  let answers: (Uint8Array | undefined)[] = [wrong, layer];
  const directory = originDirectory({ pieceLayer: () => Promise.resolve(answers.shift()) });
  const { client } = await cluster(t, directory, directory);
  const seen: boolean[] = [];
  const check = (bytes: Uint8Array): Promise<void> => {
    seen.push(Buffer.compare(bytes, layer) === 0);
    return seen.at(-1) === true ? Promise.resolve() : Promise.reject(new KrakenError('layer-invalid', 'another root'));
  };
  await client.pieceLayer?.('ns', rooted(root), check);
  t.deepEqual(seen, [false, true]);

  answers = [wrong, wrong];
  const fresh = await cluster(t, directory, directory);
  t.is(await codeOf(fresh.client.pieceLayer?.('ns', rooted(root), check) ?? Promise.resolve()), 'layer-invalid');
  answers = [undefined, undefined];
  const none = await cluster(t, directory, directory);
  t.is(await codeOf(none.client.pieceLayer?.('ns', rooted(root), check) ?? Promise.resolve()), 'tracker-unavailable');
  // Longer than a layer of this blob can be.
  answers = [new Uint8Array(100_000)];
  const long = await cluster(t, directory);
  t.is(await codeOf(long.client.pieceLayer?.('ns', rooted(root), check) ?? Promise.resolve()), 'tracker-unavailable');
});

test('a tracker without origins that know layers says 404', async (t) => {
  const { hosts } = await cluster(t, originDirectory());
  t.is((await hosts[0]?.ask('GET', `/namespace/ns/blobs/${digest}/piecelayer?root=${root}`))?.status, 404);
});

test('a rejected root makes the tracker ask another origin; a root that was never handed out does not', async (t) => {
  const bad = rooted('77'.repeat(32));
  const good = rooted(root);
  const asked: (string | undefined)[] = [];
  const { client } = await cluster(
    t,
    originDirectory({
      metaInfoResponse: (_namespace, _digest, _signal, rejected) => {
        asked.push(rejected);
        return Promise.resolve({ status: 200, body: serializeMetaInfo(rejected === undefined ? bad : good) });
      },
    }),
  );
  t.is((await client.metaInfo('ns', digest)).piecesRoot, bad.piecesRoot);
  const strange = parsePiecesRoot('12'.repeat(32));
  t.is((await client.metaInfo('ns', digest, undefined, [strange])).piecesRoot, bad.piecesRoot);
  t.deepEqual(asked, [undefined]);
  const rejected = parsePiecesRoot(bad.piecesRoot ?? '');
  for (let i = 0; i < 2; i++) {
    t.is((await client.metaInfo('ns', digest, undefined, [rejected])).piecesRoot, root);
  }
  t.deepEqual(asked, [undefined, bad.piecesRoot]);
  // Nobody has another one.
  t.is(await codeOf(client.metaInfo('ns', digest, undefined, [root, rejected])), 'root-mismatch');
});
