/** The five files of `examples/cluster` as five processes (two agents), over plain HTTP and over TLS. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { createHttpClient, type HttpClient } from '@kraken/registry-http';
import { layoutDigest, makeLayout } from './harness/images.js';
import { ROOT, run, startServer, stopProcess, type StartedProcess } from './harness/processes.js';
import { haveTools } from './harness/tools.js';

const HOST = '127.0.0.1';
/** Role → flags, as examples/cluster/README.md gives them. */
const ROLES: readonly [name: string, role: string, flags: readonly string[], health: number][] = [
  [
    'origin',
    'origin',
    ['--blobserver-hostname', HOST, '--blobserver-port', '15002', '--peer-ip', HOST, '--peer-port', '15001'],
    15002,
  ],
  ['tracker', 'tracker', ['--port', '15003'], 15003],
  ['build-index', 'build-index', ['--port', '15004'], 15004],
  ['proxy', 'proxy', ['--port', '15000'], 15000],
  [
    'agent-1',
    'agent',
    ['--agent-registry-port', '16000', '--agent-server-port', '16002', '--peer-ip', HOST, '--peer-port', '16001'],
    16000,
  ],
  [
    'agent-2',
    'agent',
    ['-agent-registry-port=17000', '-agent-server-port=17002', `-peer-ip=${HOST}`, '-peer-port=17001'],
    17000,
  ],
];

async function untilReady(http: HttpClient, started: StartedProcess, port: number): Promise<void> {
  for (let i = 0; i < 300; i++) {
    if (started.child.exitCode !== null) break;
    try {
      const response = await http.request(`${HOST}:${port}`, '/readiness');
      await response.discard();
      return;
    } catch {
      // Not ready yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${started.name} is not ready:\n${started.output()}`);
}

async function withCluster(
  files: string,
  prepare: (directory: string) => Promise<HttpClient>,
  use: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'kraken-example-'));
  const running: StartedProcess[] = [];
  let http: HttpClient | undefined;
  try {
    // Each process has its own working directory, so that two agents can share one file.
    for (const [name] of ROLES) mkdirSync(join(directory, name), { recursive: true });
    http = await prepare(directory);
    for (const [name, role, flags] of ROLES) {
      running.push(
        startServer(name, [role, '--config', join(ROOT, files, `${role}.yaml`), ...flags], join(directory, name)),
      );
    }
    for (const [i, [, , , port]] of ROLES.entries()) {
      const started = running[i];
      if (started !== undefined) await untilReady(http, started, port);
    }
    await use(directory);
  } finally {
    await Promise.all(running.reverse().map((started) => stopProcess(started)));
    await http?.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function pushAndPull(
  t: ExecutionContext,
  directory: string,
  push: readonly string[],
  pull: readonly string[],
): Promise<void> {
  const layout = await makeLayout(join(directory, 'image'));
  await run('skopeo', ['copy', ...push, `oci:${layout}:v1`, `docker://${HOST}:15000/test/app:v1`]);
  for (const port of [16000, 17000, 15000]) {
    const target = join(directory, `pulled-${port}`);
    await run('skopeo', ['copy', ...pull, `docker://${HOST}:${port}/test/app:v1`, `oci:${target}:v1`]);
    t.is(layoutDigest(target, 'v1'), layoutDigest(layout, 'v1'), `port ${port}`);
  }
}

test.serial('the example files serve a push and pulls over plain HTTP', async (t) => {
  t.timeout(180_000);
  if (!haveTools(t, 'skopeo', 'umoci', 'busybox')) return;
  await withCluster(
    'examples/cluster',
    () => Promise.resolve(createHttpClient()),
    (directory) => pushAndPull(t, directory, ['--dest-tls-verify=false'], ['--src-tls-verify=false']),
  );
});

test.serial(
  'the example files serve them over TLS, and an upload without a client certificate is refused',
  async (t) => {
    t.timeout(180_000);
    if (!haveTools(t, 'skopeo', 'umoci', 'busybox', 'openssl')) return;
    let certificates = '';
    await withCluster(
      'examples/cluster/tls',
      async (directory) => {
        certificates = join(directory, 'certs');
        await makeCertificates(certificates);
        for (const [name] of ROLES) {
          mkdirSync(join(directory, name, '.kraken'), { recursive: true });
          await run('cp', ['-r', certificates, join(directory, name, '.kraken', 'tls')]);
        }
        const pem = (name: string): Buffer => readFileSync(join(certificates, name));
        return createHttpClient({
          tls: { ca: [pem('ca.crt')], cert: pem('client.crt'), key: pem('client.key'), serverName: 'kraken' },
        });
      },
      async (directory) => {
        const skopeoCertificates = join(directory, 'skopeo');
        mkdirSync(skopeoCertificates);
        for (const [from, to] of [
          ['ca.crt', 'ca.crt'],
          ['client.crt', 'client.cert'],
          ['client.key', 'client.key'],
        ] as const) {
          await run('cp', [join(certificates, from), join(skopeoCertificates, to)]);
        }
        await pushAndPull(
          t,
          directory,
          ['--dest-cert-dir', skopeoCertificates],
          ['--src-cert-dir', skopeoCertificates],
        );

        const anonymous = createHttpClient({
          tls: { ca: [readFileSync(join(certificates, 'ca.crt'))], serverName: 'kraken' },
        });
        try {
          const targets = [
            [15000, '/v2/test/app/blobs/uploads/'],
            [15002, `/namespace/test%2Fapp/blobs/sha256:${'ab'.repeat(32)}/uploads`],
          ] as const;
          for (const [port, path] of targets) {
            const refused = await anonymous.request(`${HOST}:${port}`, path, {
              method: 'POST',
              accept: [200, 202, 400, 403],
            });
            t.is(refused.status, 403, `POST ${port}${path}`);
            await refused.discard();
          }
          const allowed = await anonymous.request(`${HOST}:16000`, '/v2/test/app/manifests/v1', {
            headers: { accept: '*/*' },
          });
          t.is(allowed.status, 200);
          await allowed.discard();
          await t.throwsAsync(
            run('curl', ['-sf', '--max-time', '5', `http://${HOST}:15000/v2/`]),
            undefined,
            'plain HTTP is not served',
          );
        } finally {
          await anonymous.close();
        }
      },
    );
  },
);

/** As examples/cluster/README.md says. */
async function makeCertificates(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const openssl = (...args: string[]): Promise<string> => run('openssl', args, { cwd: directory });
  await openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '30',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-subj',
    '/CN=kraken-test-ca',
  );
  for (const name of ['server', 'client']) {
    await openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      '/CN=kraken',
    );
    writeFileSync(join(directory, `${name}.ext`), 'subjectAltName=DNS:kraken,DNS:localhost,IP:127.0.0.1\n');
    await openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '30',
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.crt`,
    );
  }
}
