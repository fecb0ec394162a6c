/** skopeo, podman and ctr push to the proxy and pull from two agents, over plain HTTP and over TLS. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ProcessCluster } from './harness/clusters.js';
import { Containerd } from './harness/containerd.js';
import { addIndex, layoutDigest, makeLayout } from './harness/images.js';
import { run } from './harness/processes.js';
import { haveTools } from './harness/tools.js';

const MANIFEST_LISTS = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];

async function rawDigest(image: string): Promise<string> {
  return (await run('skopeo', ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', image])).trim();
}

async function pullWithPodman(directory: string, image: string): Promise<string> {
  const podman = ['--root', join(directory, 'store'), '--runroot', join(directory, 'run'), '--storage-driver', 'vfs'];
  await run('podman', [...podman, 'pull', '--tls-verify=false', image]);
  return (await run('podman', [...podman, 'image', 'inspect', '--format', '{{.Digest}}', image])).trim();
}

async function digestInContainerd(containerd: Containerd, image: string): Promise<string> {
  await containerd.ctr('images', 'pull', '--plain-http', '--snapshotter', 'native', image);
  const line = (await containerd.ctr('images', 'ls', `name==${image}`)).split('\n')[1] ?? '';
  return /sha256:[0-9a-f]{64}/.exec(line)?.[0] ?? '';
}

test.serial(
  'OCI image, Docker v2s2 image and a two-platform index: pushed by skopeo, pulled by skopeo, podman and ctr',
  async (t) => {
    t.timeout(600_000);
    if (!haveTools(t, 'skopeo', 'umoci', 'podman', 'containerd', 'ctr', 'busybox')) return;
    const cluster = await new ProcessCluster({ origins: 3, agents: 2 }).start();
    let containerd: Containerd | undefined;
    try {
      const layout = await makeLayout(cluster.path('image'));
      const index = await addIndex(layout);
      const proxy = `docker://${cluster.at('proxy')}/test/app`;
      await run('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:v1`, `${proxy}:oci`]);
      await run('skopeo', ['copy', '--dest-tls-verify=false', '--format', 'v2s2', `oci:${layout}:v1`, `${proxy}:v2s2`]);
      await run('skopeo', ['copy', '--all', '--dest-tls-verify=false', `oci:${layout}:multi`, `${proxy}:multi`]);
      t.is(await rawDigest(`${proxy}:oci`), layoutDigest(layout, 'v1'));
      const v2s2 = await rawDigest(`${proxy}:v2s2`);
      t.not(v2s2, layoutDigest(layout, 'v1'));
      const expected = { oci: layoutDigest(layout, 'v1'), v2s2, multi: index };

      const [first, second] = [cluster.at('agent-1'), cluster.at('agent-2')];
      for (const tag of ['oci', 'v2s2', 'multi'] as const) {
        // skopeo checks every blob against its digest while copying.
        await run('skopeo', [
          'copy',
          '--all',
          '--src-tls-verify=false',
          `docker://${first}/test/app:${tag}`,
          `dir:${cluster.path(`pulled-${tag}`)}`,
        ]);
        await assertRaw(t, `docker://${first}/test/app:${tag}`, expected[tag]);
        await run('skopeo', [
          'copy',
          '--all',
          '--src-tls-verify=false',
          `${proxy}:${tag}`,
          `dir:${cluster.path(`from-proxy-${tag}`)}`,
        ]);
      }
      // A store for each: podman keeps one digest for images that share their configuration.
      t.is(await pullWithPodman(cluster.path('podman-oci'), `${second}/test/app:oci`), expected.oci);
      t.is(await pullWithPodman(cluster.path('podman-v2s2'), `${first}/test/app:v2s2`), expected.v2s2);
      await pullWithPodman(cluster.path('podman-multi'), `${second}/test/app:multi`);

      containerd = await Containerd.start(cluster.path('containerd'));
      for (const [tag, agent] of [
        ['oci', first],
        ['v2s2', second],
        ['multi', first],
      ] as const) {
        t.is(await digestInContainerd(containerd, `${agent}/test/app:${tag}`), expected[tag], tag);
      }

      const prefetch = await run('curl', [
        '-sf',
        '-d',
        JSON.stringify({ tag: 'any-host/test/app:oci', trace_id: 'e2e' }),
        `http://${cluster.at('proxy')}/proxy/v2/registry/prefetch`,
      ]);
      t.like(JSON.parse(prefetch), { prefetched: true, status: 'success', trace_id: 'e2e' });

      const tags = JSON.parse(await run('curl', ['-sf', `http://${cluster.at('proxy')}/v2/test/app/tags/list`])) as {
        tags: string[];
      };
      t.deepEqual(tags.tags.sort(), ['multi', 'oci', 'v2s2']);
      const catalog = JSON.parse(await run('curl', ['-sf', `http://${cluster.at('proxy')}/v2/_catalog`])) as {
        repositories: string[];
      };
      t.deepEqual(catalog.repositories, ['test/app']);
    } finally {
      await containerd?.stop();
      await cluster.stop();
    }
  },
);

/** The digest of the manifest or index as stored, whatever its kind. */
async function assertRaw(t: ExecutionContext, image: string, digest: string): Promise<void> {
  const [, host = '', name = '', tag = ''] = /^docker:\/\/([^/]+)\/(.+):([^:]+)$/.exec(image) ?? [];
  const accept = [
    ...MANIFEST_LISTS,
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v2+json',
  ].join(', ');
  const head = await run('curl', ['-sfI', '-H', `Accept: ${accept}`, `http://${host}/v2/${name}/manifests/${tag}`]);
  t.is(/docker-content-digest: (\S+)/i.exec(head)?.[1], digest, image);
}

test.serial('podman, ctr and buildah push', async (t) => {
  t.timeout(300_000);
  if (!haveTools(t, 'skopeo', 'umoci', 'podman', 'buildah', 'containerd', 'ctr', 'busybox')) return;
  const cluster = await new ProcessCluster({ origins: 1, agents: 1 }).start();
  let containerd: Containerd | undefined;
  try {
    const layout = await makeLayout(cluster.path('image'), 1_000_000);
    const proxy = cluster.at('proxy');
    const storage = ['--root', cluster.path('store'), '--runroot', cluster.path('run'), '--storage-driver', 'vfs'];
    await run('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:v1`, `docker://${proxy}/test/base:v1`]);
    await run('podman', [...storage, 'pull', '--tls-verify=false', `${proxy}/test/base:v1`]);
    await run('podman', [...storage, 'push', '--tls-verify=false', `${proxy}/test/base:v1`, `${proxy}/test/podman:v1`]);
    await run('buildah', [
      ...storage,
      'push',
      '--tls-verify=false',
      `${proxy}/test/base:v1`,
      `docker://${proxy}/test/buildah:v1`,
    ]);
    containerd = await Containerd.start(cluster.path('containerd'));
    await containerd.ctr('images', 'pull', '--plain-http', '--snapshotter', 'native', `${proxy}/test/base:v1`);
    await containerd.ctr('images', 'push', '--plain-http', `${proxy}/test/ctr:v1`, `${proxy}/test/base:v1`);
    for (const name of ['podman', 'buildah', 'ctr']) {
      await run('skopeo', [
        'copy',
        '--src-tls-verify=false',
        `docker://${cluster.at('agent-1')}/test/${name}:v1`,
        `dir:${cluster.path(`back-${name}`)}`,
      ]);
      t.pass(name);
    }
  } finally {
    await containerd?.stop();
    await cluster.stop();
  }
});
