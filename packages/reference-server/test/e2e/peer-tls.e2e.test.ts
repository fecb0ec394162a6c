/** TLS between peers in separate processes: who gets blobs, who gets nothing, and what the logs say. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { request } from 'undici';
import { pull, testBlob, uploadToOrigins, type TestBlob } from './harness/blobs.js';
import { ProcessCluster, type NodeStatsAnswer, type ProcessClusterOptions } from './harness/clusters.js';
import { ROOT } from './harness/processes.js';

const MIB = 2 ** 20;
const FIXTURES = join(ROOT, 'packages/p2p/test/fixtures/tls');
const PLAIN_HTTP = 'server: {disabled: true}, client: {disabled: true}';

const tlsBlock = (mode: string, certificate: string, key: string): string =>
  `tls: {${PLAIN_HTTP}, peer: {mode: ${mode}, cert: {path: ${certificate}}, key: {path: ${key}}, cas: [{path: ${FIXTURES}/ca.crt}]}}`;
const tls = (mode: string, name = 'peer'): string =>
  tlsBlock(mode, `${FIXTURES}/${name}.crt`, `${FIXTURES}/${name}.key`);
/** As a node that was never told of TLS: the block of the role is replaced. */
const PLAIN = `tls: {${PLAIN_HTTP}}`;

async function started(t: ExecutionContext, options: ProcessClusterOptions): Promise<ProcessCluster> {
  const cluster = new ProcessCluster(options);
  t.teardown(() => cluster.stop());
  return cluster.start();
}

async function stats(
  cluster: ProcessCluster,
  name: string,
): Promise<NodeStatsAnswer['node'] & { host: Record<string, number> }> {
  const port = name.startsWith('agent') ? `${name} api` : name;
  const response = await request(`http://${cluster.at(port)}/x/stats`);
  return ((await response.body.json()) as { node: never }).node;
}

async function upload(cluster: ProcessCluster, origins: number, blob: TestBlob): Promise<void> {
  const hosts = Array.from({ length: origins }, (_, i) => cluster.at(`origin-${i + 1}`));
  await uploadToOrigins(hosts, 'library/tls', blob);
}

const urlOf = (cluster: ProcessCluster, agent: string, blob: TestBlob): string =>
  `http://${cluster.at(agent)}/v2/library/tls/blobs/${blob.digest}`;

async function gets(t: ExecutionContext, cluster: ProcessCluster, agent: string, blob: TestBlob): Promise<void> {
  const got = await pull(urlOf(cluster, agent, blob), { limitMs: 60_000 });
  t.like(got, { status: 200, digest: blob.digest, length: blob.length }, agent);
}

/** Reasons of the refusals in a process's log. */
function refusals(cluster: ProcessCluster, name: string): string[] {
  return cluster
    .process(name)
    .output()
    .split('\n')
    .filter((line) => line.includes('peer refused by transport security'))
    .map((line) => (JSON.parse(line) as { reason: string }).reason);
}

test.serial(
  'required: seven nodes with certificates share a blob; nodes without, or with foreign ones, get nothing',
  async (t) => {
    t.timeout(180_000);
    const renewing = mkdtempSync(join(tmpdir(), 'kraken-renew-'));
    t.teardown(() => rmSync(renewing, { recursive: true, force: true }));
    for (const part of ['crt', 'key']) copyFileSync(join(FIXTURES, `peer.${part}`), join(renewing, `node.${part}`));
    const cluster = await started(t, {
      origins: 3,
      agents: 6,
      pieceLength: '256KB',
      extra: { origin: tls('required'), agent: tls('required') },
      own: {
        'agent-4': { yaml: tlsBlock('required', `${renewing}/node.crt`, `${renewing}/node.key`) },
        'agent-5': { yaml: PLAIN },
        'agent-6': { yaml: tls('required', 'stranger') },
      },
    });
    const blob = testBlob('peer-tls', 8 * MIB + 3);
    await upload(cluster, 3, blob);

    await Promise.all(['agent-1', 'agent-2', 'agent-3', 'agent-4'].map(async (agent) => gets(t, cluster, agent, blob)));
    for (const name of ['agent-1', 'agent-2', 'agent-3', 'agent-4']) {
      const { host, bytesReceived } = await stats(cluster, name);
      t.true((host['tlsSessions'] ?? 0) > 0, name);
      t.true(bytesReceived >= blob.length, name);
    }

    for (const outsider of ['agent-5', 'agent-6']) {
      const got = await pull(urlOf(cluster, outsider, blob), { limitMs: 4000 }).catch(
        (error: unknown) => error as Error,
      );
      t.true(got instanceof Error || got.status !== 200, outsider);
      t.is((await stats(cluster, outsider)).bytesReceived, 0, outsider);
    }
    const insiders = ['origin-1', 'origin-2', 'origin-3', 'agent-1', 'agent-2', 'agent-3', 'agent-4'];
    const reasons = insiders.flatMap((name) => refusals(cluster, name));
    t.true(reasons.includes('plain connection, TLS is required'), reasons.join('\n'));
    t.true(
      reasons.some((reason) => reason.includes('UNABLE_TO_VERIFY_LEAF_SIGNATURE')),
      reasons.join('\n'),
    );

    for (const part of ['crt', 'key']) copyFileSync(join(FIXTURES, `renewed.${part}`), join(renewing, `node.${part}`));
    cluster.process('agent-4').child.kill('SIGHUP');
    let shown = '';
    for (let i = 0; i < 100 && shown !== 'renewed'; i++) {
      shown = await certificateOf(cluster.port('agent-4 peer'));
      if (shown !== 'renewed') await new Promise((resolve) => setTimeout(resolve, 50));
    }
    t.is(shown, 'renewed', 'SIGHUP takes renewed certificates up');
    const second = testBlob('peer-tls-renewed', MIB);
    await upload(cluster, 3, second);
    await gets(t, cluster, 'agent-4', second);
  },
);

test.serial('preferred: plain peers, required ones and IPv6 ones share a blob', async (t) => {
  t.timeout(180_000);
  const everywhere = "access: {listen: '', allowed_cidrs: [127.0.0.0/8, '::1']}";
  const cluster = await started(t, {
    origins: 2,
    agents: 4,
    pieceLength: '256KB',
    extra: { origin: `${tls('preferred')}\n${everywhere}`, agent: tls('preferred') },
    own: {
      'origin-2': { flags: ['--peer-ip', '::1'] },
      'agent-1': { yaml: `${PLAIN}\n${everywhere}` },
      'agent-2': { yaml: tls('required') },
      'agent-4': { yaml: everywhere, flags: ['--peer-ip', '::1'] },
    },
  });
  const blob = testBlob('peer-tls-mixed', 4 * MIB + 1);
  await upload(cluster, 2, blob);
  await Promise.all(['agent-1', 'agent-2', 'agent-3', 'agent-4'].map(async (agent) => gets(t, cluster, agent, blob)));
  t.is((await stats(cluster, 'agent-1')).host['tlsSessions'], 0, 'a plain peer');
  for (const name of ['agent-2', 'agent-3', 'agent-4'])
    t.true(((await stats(cluster, name)).host['tlsSessions'] ?? 0) > 0, name);
  t.true(cluster.process('origin-1').output().includes('an attacker on the path'), 'it says so at start');

  // The origin that is known by its IPv6 address alone is enough.
  await cluster.halt('origin-1');
  const second = testBlob('peer-tls-ipv6', MIB);
  await uploadToOrigins([cluster.at('origin-2')], 'library/tls', second);
  await gets(t, cluster, 'agent-2', second);
  await gets(t, cluster, 'agent-1', second);
});

/** Common name of the certificate that a peer port shows. */
function certificateOf(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.removeListener('error', reject);
      socket.on('error', () => undefined);
      socket.destroy();
    });
  });
}
