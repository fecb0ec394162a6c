/** What clients see when something is missing or broken. Named by the disaster. */
import test from 'ava';
import { request } from 'undici';
import { pull, testBlob, uploadToOrigins } from './harness/blobs.js';
import { ProcessCluster } from './harness/clusters.js';
import { stopProcess } from './harness/processes.js';

const MIB = 2 ** 20;

interface OciErrors {
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

async function ask(method: 'GET' | 'HEAD', url: string): Promise<{ status: number; text: string }> {
  const response = await request(url, { method, headersTimeout: 60_000 });
  return { status: response.statusCode, text: await response.body.text() };
}

test.serial('nobody has it: 404 with the OCI error body, from agent and proxy', async (t) => {
  t.timeout(120_000);
  const cluster = await new ProcessCluster({ origins: 1, agents: 1 }).start();
  try {
    const absent = `sha256:${'ab'.repeat(32)}`;
    for (const name of ['agent-1', 'proxy']) {
      for (const [path, code] of [
        [`blobs/${absent}`, 'BLOB_UNKNOWN'],
        [`manifests/${absent}`, 'MANIFEST_UNKNOWN'],
        ['manifests/nowhere', 'MANIFEST_UNKNOWN'],
      ] as const) {
        const url = `http://${cluster.at(name)}/v2/library/none/${path}`;
        const got = await ask('GET', url);
        t.is(got.status, 404, `${name} GET ${path}: ${got.text}`);
        t.is((JSON.parse(got.text) as OciErrors).errors[0]?.code, code, `${name} ${path}`);
        const head = await ask('HEAD', url);
        t.is(head.status, 404, `${name} HEAD ${path}`);
        t.is(head.text, '');
      }
    }
    t.is(
      (await ask('GET', `http://${cluster.at('agent-1 api')}/namespace/library%2Fnone/blobs/${absent}`)).status,
      404,
    );
  } finally {
    await cluster.stop();
  }
});

test.serial('storage is down: 503 with the reason, from agent and proxy', async (t) => {
  t.timeout(120_000);
  const originBackends =
    "backends: [{namespace: '.*', backend: {testfs: {addr: '127.0.0.1:1', root: r, name_path: sharded_docker_blob}}}]";
  const cluster = await new ProcessCluster({ origins: 1, agents: 1, originBackends }).start();
  try {
    const absent = `sha256:${'cd'.repeat(32)}`;
    for (const name of ['agent-1', 'proxy']) {
      const got = await ask('GET', `http://${cluster.at(name)}/v2/library/none/blobs/${absent}`);
      t.is(got.status, 503, `${name}: ${got.text}`);
      t.regex((JSON.parse(got.text) as OciErrors).errors[0]?.message ?? '', /testfs/, name);
    }
  } finally {
    await cluster.stop();
  }
});

test.serial('all peers vanish: the pull breaks off before its deadline and the agent lives', async (t) => {
  t.timeout(180_000);
  const slow =
    'scheduler: {conn: {bandwidth: {enable: true, egress_bits_per_sec: 83886080, ingress_bits_per_sec: 8589934592}}}';
  const impatient = 'scheduler: {leecher_tti: 5s, preemption_interval: 1s}';
  const cluster = await new ProcessCluster({
    origins: 1,
    agents: 1,
    extra: { origin: slow, agent: impatient },
  }).start();
  try {
    const blob = testBlob('vanish', 128 * MIB);
    await uploadToOrigins([cluster.at('origin-1')], 'library/vanish', blob);
    const broken = t.throwsAsync(
      pull(`http://${cluster.at('agent-1')}/v2/library/vanish/blobs/${blob.digest}`, { limitMs: 60_000 }),
    );
    await new Promise((resolve) => setTimeout(resolve, 1500));
    cluster.process('origin-1').child.kill('SIGKILL');
    const startedAt = Date.now();
    await broken;
    t.log(`the stream broke ${Date.now() - startedAt} ms after the origin died`);
    t.is((await ask('GET', `http://${cluster.at('agent-1 api')}/health`)).status, 200);
    await cluster.startRole('origin-1');
    t.is(
      (await pull(`http://${cluster.at('agent-1')}/v2/library/vanish/blobs/${blob.digest}`, { limitMs: 120_000 }))
        .digest,
      blob.digest,
    );
  } finally {
    await cluster.stop();
  }
});

test.serial('every role stops with code 0 on SIGTERM', async (t) => {
  t.timeout(120_000);
  const cluster = await new ProcessCluster({ origins: 1, agents: 1 }).start();
  try {
    for (const [name, started] of cluster.processes)
      t.is(await stopProcess(started), 0, `${name}: ${started.output()}`);
  } finally {
    await cluster.stop();
  }
});

test.serial('malformed requests are refused with the right status and leave nothing behind', async (t) => {
  t.timeout(120_000);
  const cluster = await new ProcessCluster({ origins: 1, agents: 1 }).start();
  try {
    const proxy = `http://${cluster.at('proxy')}`;
    const cases: [string, string, number, Record<string, string>?, string?][] = [
      ['GET', '/v2/library/x/blobs/sha256:zz', 400],
      ['GET', '/v2/library/x/blobs/sha512:00', 400],
      ['GET', '/v2/UPPER/x/manifests/latest', 400],
      ['GET', '/v2/library/x/manifests/..', 404],
      ['PUT', '/v2/library/x/manifests/v1', 400, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }, '{'],
      [
        'PUT',
        '/v2/library/x/manifests/v1',
        413,
        { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
        'x'.repeat(4 * MIB + 1),
      ],
      ['PATCH', '/v2/library/x/blobs/uploads/not-a-session', 404, {}, 'x'],
      ['DELETE', '/v2/library/x/manifests/latest', 405],
    ];
    for (const [method, path, status, headers, body] of cases) {
      const response = await request(`${proxy}${path}`, {
        method: method as 'GET',
        headers: headers ?? {},
        ...(body === undefined ? {} : { body }),
      });
      t.is(response.statusCode, status, `${method} ${path}: ${await response.body.text()}`);
    }
    const tags = await ask('GET', `${proxy}/v2/_catalog`);
    t.deepEqual(JSON.parse(tags.text), { repositories: [] });
  } finally {
    await cluster.stop();
  }
});
