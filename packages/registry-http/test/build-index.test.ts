/** Build-index over real HTTP and disk: puts, policies, neighbours, crashes, replication between two clusters. */
import { createRemotes, createTagTypes, parseTagName, type TagPolicy } from '@kraken/core/build-index';
import type { Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { RetrySchedule } from '@kraken/core/retry';
import test, { type ExecutionContext } from 'ava';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BuildIndexClient,
  createBuildIndexHandler,
  createHttpClient,
  TagService,
  TagStore,
  type TagServiceOptions,
} from '../dist/index.js';
import {
  ask,
  digestOf,
  managerOf,
  MemoryBackend,
  serve,
  sourceOf,
  startCluster,
  tempFolder,
  until,
  type Cluster,
} from './origin-fakes.js';

interface Host {
  readonly service: TagService;
  readonly store: TagStore;
  readonly client: BuildIndexClient;
  readonly address: string;
  readonly folder: string;
}

interface Options extends Omit<Partial<TagServiceOptions>, 'origins'> {
  readonly backend: MemoryBackend;
  readonly origins: Cluster;
  readonly folder?: string;
  readonly neighbourHosts?: () => readonly string[];
  readonly started?: boolean;
}

async function startHost(t: ExecutionContext, options: Options): Promise<Host> {
  const folder = options.folder ?? (await tempFolder(t));
  const http = createHttpClient({ connectTimeoutMs: 1000 });
  const store = await TagStore.open({ cacheDirectory: join(folder, 'cache'), uploadDirectory: join(folder, 'upload') });
  const service = await TagService.open({
    store,
    backends: managerOf(options.backend),
    tagTypes: createTagTypes([
      { namespace: '^plain', type: 'default' },
      { namespace: '.*', type: 'docker' },
    ]),
    remotes: createRemotes({}),
    remote: (address) => BuildIndexClient.of(address, http),
    neighbours: { hosts: options.neighbourHosts ?? (() => []) },
    neighbour: (address) => BuildIndexClient.of(address, http),
    stateDirectory: folder,
    schedule: new RetrySchedule({ initialMs: 5, maxMs: 20 }),
    cacheTtlMs: 0,
    ...options,
    origins: options.origins.client,
  });
  if (options.started !== false) service.start();
  t.teardown(async () => {
    await service.close();
    await http.close();
  });
  const { address } = await serve(
    t,
    createBuildIndexHandler({ service, originAddress: () => options.origins.nodes[0]?.address ?? '' }),
  );
  return { service, store, client: BuildIndexClient.of(address, http), address, folder };
}

async function pushed(cluster: Cluster, text: string): Promise<Digest> {
  await cluster.client.upload('ns', digestOf(text), sourceOf(text));
  return digestOf(text);
}

/** An index of two images, all of it on the origins; returns what a replica must have. */
async function pushIndex(cluster: Cluster): Promise<{ index: Digest; all: readonly Digest[] }> {
  const all: Digest[] = [];
  const children: Digest[] = [];
  for (const name of ['amd64', 'arm64']) {
    const config = await pushed(cluster, `config ${name}`);
    const layer = await pushed(cluster, `layer ${name}`);
    const descriptor = (digest: Digest, mediaType: string): object => ({ mediaType, digest, size: 1 });
    const manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
      layers: [descriptor(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')],
    };
    const child = await pushed(cluster, JSON.stringify(manifest));
    children.push(child);
    all.push(config, layer, child);
  }
  const manifests = children.map((digest) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest,
    size: 1,
  }));
  const index = await pushed(
    cluster,
    JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }),
  );
  return { index, all: [...all, index] };
}

test('a tag is on disk and pinned at once, then in storage; a re-pushed tag moves, here and there', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const backend = new MemoryBackend();
  const host = await startHost(t, { backend, origins, started: false });
  const [one, two] = [await pushed(origins, 'one'), await pushed(origins, 'two')];
  t.true(isKrakenError(await t.throwsAsync(host.client.get('plain/a:1')), 'tag-unknown'));
  await host.client.putOnly('plain/a:1', one);
  t.is(await readFile(join(host.folder, 'cache', 'plain', 'a:1', 'data'), 'utf8'), one);
  t.is(await readFile(join(host.folder, 'cache', 'plain', 'a:1', '_persist'), 'utf8'), 'true');
  t.is(await host.client.get('plain/a:1'), one);
  t.true(await host.client.has('plain/a:1'));
  t.deepEqual(await host.client.listRepository('plain/a'), ['1'], 'listed before storage has it');
  host.service.start();
  await until(() => host.service.backlog.writeBack === 0);
  t.is(backend.objects.get('plain/a:1')?.toString(), one);
  t.false((await readdir(join(host.folder, 'cache', 'plain', 'a:1'))).includes('_persist'));
  await host.client.putOnly('plain/a:1', two);
  t.is(await host.client.get('plain/a:1'), two);
  await until(() => host.service.backlog.writeBack === 0);
  t.is(backend.objects.get('plain/a:1')?.toString(), two);
  // Back and forth faster than storage: the last one stays.
  backend.down = true;
  for (const digest of [one, two, one]) await host.client.putOnly('plain/a:1', digest);
  backend.down = false;
  await until(() => host.service.backlog.writeBack === 0);
  t.is(backend.objects.get('plain/a:1')?.toString(), one);
  t.is(await host.service.cleanup(-1), 1);
  t.is(await host.client.get('plain/a:1'), one, 'read through');
});

test('policies: immutable refuses with 409, first-write-wins keeps with 200, also when only storage knows the tag', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const [one, two] = [await pushed(origins, 'one'), await pushed(origins, 'two')];
  for (const policy of ['immutable', 'first-write-wins'] as TagPolicy[]) {
    const backend = new MemoryBackend();
    backend.objects.set('plain/old:1', Buffer.from(one));
    const host = await startHost(t, { backend, origins, policy });
    await host.client.putOnly('plain/new:1', one);
    await host.client.putOnly('plain/new:1', one);
    for (const tag of ['plain/new:1', 'plain/old:1']) {
      if (policy === 'immutable') t.true(isKrakenError(await t.throwsAsync(host.client.put(tag, two)), 'tag-conflict'));
      else await host.client.put(tag, two);
      t.is(await host.client.get(tag), one, `${policy} ${tag}`);
    }
    await until(() => host.service.backlog.writeBack === 0);
    t.is(backend.objects.get('plain/new:1')?.toString(), one);
  }
});

test('write-through acknowledges what storage has and leaves nothing behind when it fails', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const backend = new MemoryBackend();
  const host = await startHost(t, {
    backend,
    origins,
    writeThrough: true,
    writeThroughBackoff: { initialMs: 1, factor: 2, maxMs: 5, jitter: 0, attemptsMax: 3 },
  });
  const one = await pushed(origins, 'one');
  backend.down = true;
  const refused = await t.throwsAsync(host.client.putOnly('plain/a:1', one));
  t.regex(refused.message, /503/);
  t.is(backend.calls.filter((call) => call.startsWith('upload')).length, 3);
  backend.down = false;
  t.true(isKrakenError(await t.throwsAsync(host.client.get('plain/a:1')), 'tag-unknown'));
  await host.client.putOnly('plain/a:1', one);
  t.is(host.service.backlog.writeBack, 0);
  t.is(backend.objects.get('plain/a:1')?.toString(), one);
});

test('storage that is down: 404 with the reason for Go, a coded error for us, the last value while there is one', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const backend = new MemoryBackend();
  const host = await startHost(t, { backend, origins });
  const one = await pushed(origins, 'one');
  await host.client.putOnly('plain/a:1', one);
  await until(() => host.service.backlog.writeBack === 0);
  backend.down = true;
  const answer = await ask(host.address, 'GET', '/tags/plain%2Fb:1');
  t.deepEqual([answer.status, answer.body, answer.headers['kraken-error']], [404, '', 'storage-unavailable']);
  t.true(isKrakenError(await t.throwsAsync(host.client.get('plain/b:1')), 'storage-unavailable'));
  t.is(await host.client.get('plain/a:1'), one);
  await writeFile(join(host.folder, 'cache', 'plain', 'a:1', 'data'), 'junk');
  t.is((await ask(host.address, 'GET', '/tags/plain%2Fa:1')).status, 500);
  t.is((await ask(host.address, 'GET', '/tags/nowhere:1')).status, 500);
});

test('an index needs its manifests, their configs and layers; what is missing is named', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const host = await startHost(t, { backend: new MemoryBackend(), origins });
  const { index, all } = await pushIndex(origins);
  await host.client.putOnly('lab/multi:1', index);
  const layer = all[4] as Digest;
  origins.nodes[0]?.store.blobs.delete(layer);
  origins.nodes[0]?.store.pinned.delete(layer);
  origins.backend.objects.clear();
  const missing = await t.throwsAsync(host.client.putOnly('lab/multi:2', index));
  t.true(isKrakenError(missing, 'manifest-blob-unknown'));
  t.is(missing.message, `cannot upload tag, missing dependency ${layer}`);
  const absent = await t.throwsAsync(host.client.putOnly('lab/multi:3', digestOf('absent')));
  t.true(isKrakenError(absent, 'manifest-blob-unknown'));
  const text = await pushed(origins, 'not a manifest');
  t.true(isKrakenError(await t.throwsAsync(host.client.putOnly('lab/multi:4', text)), 'manifest-invalid'));
});

test('an upload folder that contains the cache is refused before it is emptied', async (t) => {
  const folder = await tempFolder(t);
  await writeFile(join(folder, 'kept'), '');
  for (const cacheDirectory of [folder, join(folder, 'cache')]) {
    const error = await t.throwsAsync(TagStore.open({ cacheDirectory, uploadDirectory: folder }));
    t.true(isKrakenError(error, 'config-invalid'));
  }
  t.deepEqual(await readdir(folder), ['kept']);
});

test('names that would leave their folder are refused, in every spelling', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const host = await startHost(t, { backend: new MemoryBackend(), origins });
  const one = await pushed(origins, 'one');
  for (const name of [
    '..',
    '.',
    'plain%2F..',
    '..%2Fplain',
    'plain%2F..%2Fx',
    '%252e%252e',
    'plain%2F%2Fx:1',
    'plain%5Cx:1',
    'plain%2Fx:1%2Fdata',
    'plain%00x:1',
  ]) {
    for (const method of ['GET', 'HEAD']) t.is((await ask(host.address, method, `/tags/${name}`)).status, 400, name);
    t.is((await ask(host.address, 'PUT', `/tags/${name}/digest/${one}`)).status, 400, name);
    t.is(
      (await ask(host.address, 'PUT', `/internal/duplicate/tags/${name}/digest/${one}`, { body: '{"delay":0}' }))
        .status,
      400,
      name,
    );
  }
  t.deepEqual(await readdir(join(host.folder, 'cache')), []);
});

test('neighbours hold every put; a late backup writes what its host could not, and never undoes a newer put', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const backend = new MemoryBackend();
  const hosts: Host[] = [];
  const others = (index: number) => () => hosts.filter((_, each) => each !== index).map(({ address }) => address);
  // Their tasks do not run before `start`.
  for (let index = 0; index < 2; index++)
    hosts.push(
      await startHost(t, { backend, origins, started: false, putStaggerMs: 0, neighbourHosts: others(index) }),
    );
  const [first, second] = hosts as [Host, Host];
  const [one, two, three] = [
    await pushed(origins, 'one'),
    await pushed(origins, 'two'),
    await pushed(origins, 'three'),
  ];
  backend.objects.set('plain/lost:1', Buffer.from(one));
  backend.objects.set('plain/newer:1', Buffer.from(one));
  await first.client.putOnly('plain/lost:1', two);
  await first.client.putOnly('plain/newer:1', two);
  t.is(await second.client.get('plain/lost:1'), two);
  // The first host is gone for good; somebody else moved one of the tags on meanwhile.
  backend.objects.set('plain/newer:1', Buffer.from(three));
  second.service.start();
  await until(() => second.service.backlog.writeBack === 0);
  t.is(backend.objects.get('plain/lost:1')?.toString(), two);
  t.is(backend.objects.get('plain/newer:1')?.toString(), three);
  t.is(await second.client.get('plain/newer:1'), three);

  // Two puts that cross: both hosts end with the later one.
  await second.service.duplicatePut('plain/cross:1', two, { delayMs: 0, replaces: 'nothing', putAtMs: 2000 });
  await second.service.duplicatePut('plain/cross:1', one, { delayMs: 0, replaces: 'nothing', putAtMs: 1000 });
  await until(() => second.service.backlog.writeBack === 0);
  t.is(backend.objects.get('plain/cross:1')?.toString(), two);
});

test('a crash between the value and its task is repaired at the next start; tasks survive', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const backend = new MemoryBackend();
  const folder = await tempFolder(t);
  const one = await pushed(origins, 'one');
  const before = await startHost(t, { backend, origins, folder, started: false });
  await before.client.putOnly('plain/task:1', one);
  await before.store.write(parseTagName('plain/deep/er/pinned:1'), one, { pinned: true, putAtMs: Date.now() });
  await mkdir(join(folder, 'upload'), { recursive: true });
  await writeFile(join(folder, 'upload', 'rest'), 'x');
  await before.service.close();
  const after = await startHost(t, { backend, origins, folder });
  await until(() => after.service.backlog.writeBack === 0);
  t.deepEqual([...backend.objects.keys()].sort(), ['plain/deep/er/pinned:1', 'plain/task:1']);
  t.deepEqual(await readdir(join(folder, 'upload')), []);
});

test('a tag and everything it needs goes to another cluster, and on; tasks to clusters that are gone are dropped', async (t) => {
  const remoteOrigins = await startCluster(t, { size: 2 });
  const remoteBackend = new MemoryBackend();
  const remote = await startHost(t, { backend: remoteBackend, origins: remoteOrigins });
  const localOrigins = await startCluster(t, { size: 2, remoteCluster: () => remoteOrigins.client });
  const backend = new MemoryBackend();
  const folder = await tempFolder(t);
  const remotes = createRemotes({ [remote.address]: ['^lab/', 'multi'] });
  const local = await startHost(t, { backend, origins: localOrigins, remotes, folder, started: false });
  const { index, all } = await pushIndex(localOrigins);
  await local.client.put('lab/multi:1', index);
  t.is(local.service.backlog.replication, 1);
  await local.service.close();
  const restarted = await startHost(t, { backend, origins: localOrigins, remotes, folder });
  await until(() => restarted.service.backlog.replication === 0);
  t.is(await remote.client.get('lab/multi:1'), index);
  for (const digest of all) t.true(remoteOrigins.nodes.some(({ store }) => store.blobs.has(digest)));

  // The tag moves: an existing remote tag is compared, not taken for done.
  const child = all[2] as Digest;
  await restarted.client.put('lab/multi:1', child);
  await until(() => restarted.service.backlog.replication === 0);
  t.is(await remote.client.get('lab/multi:1'), child);
  await t.notThrowsAsync(restarted.client.replicate('lab/multi:1'));
  t.true(isKrakenError(await t.throwsAsync(restarted.client.replicate('lab/none:1')), 'tag-unknown'));
  await restarted.service.close();
  const without = await startHost(t, { backend, origins: localOrigins, folder, started: false });
  t.is(without.service.backlog.replication, 0);
});

test('a client passes over hosts that are dead and stops at answers', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const host = await startHost(t, { backend: new MemoryBackend(), origins });
  const dead = await serve(t, () => undefined);
  await dead.close();
  const http = createHttpClient({ connectTimeoutMs: 500 });
  t.teardown(() => http.close());
  const failed: string[] = [];
  const client = new BuildIndexClient({
    source: { hosts: () => [dead.address, host.address], failed: (address) => failed.push(address) },
    http,
  });
  const one = await pushed(origins, 'one');
  await client.put('plain/a:1', one);
  for (let n = 0; n < 10; n++) t.is(await client.get('plain/a:1'), one);
  t.true(failed.length > 0 && failed.every((address) => address === dead.address));
  const nobody = new BuildIndexClient({ source: { hosts: () => [] }, http });
  t.true(isKrakenError(await t.throwsAsync(nobody.get('x:1')), 'build-index-unavailable'));
  t.true(isKrakenError(await t.throwsAsync(nobody.checkReady()), 'not-ready'));
  t.true(isKrakenError(await t.throwsAsync(client.listRepository('plain/none')), 'repository-unknown'));
  t.is(new KrakenError('tag-conflict').httpStatus, 409);
});

test('pages of a backend without pages are cut here', async (t) => {
  const origins = await startCluster(t, { size: 1 });
  const backend = new MemoryBackend();
  Object.assign(backend.can, { paginate: false });
  for (const tag of ['3', '1', '2']) backend.objects.set(`lab/a:${tag}`, Buffer.from(digestOf('x')));
  const host = await startHost(t, { backend, origins });
  const first = await host.client.list('lab/a/_manifests/tags', { limit: 2 });
  t.deepEqual(first, { names: ['lab/a:1', 'lab/a:2'], offset: 'lab/a:2' });
  t.deepEqual(await host.client.list('lab/a/_manifests/tags', { limit: 2, offset: first.offset ?? '' }), {
    names: ['lab/a:3'],
  });
  t.deepEqual(await host.client.listRepository('lab/a'), ['1', '2', '3']);
});
