/** The S3 backend against a real server: a Ceph RADOS gateway on an in-memory object store, all on loopback. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { silentLogger } from '@kraken/core/ports';
import { BACKEND_KINDS, Settings } from '@kraken/backends';
import { conformance } from '../conformance.js';

const TOOLS = ['ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'monmaptool', 'ceph'];
const missing = TOOLS.filter((tool) => spawnSync('which', [tool]).status !== 0);

const directory = mkdtempSync(join(tmpdir(), 'kraken-ceph-'));
const processes: ChildProcess[] = [];
let port = 0;
const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'SKTEST' };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port: free } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return free;
}

function command(name: string, ...args: string[]): void {
  const result = spawnSync(name, args, {
    env: { ...process.env, CEPH_CONF: join(directory, 'ceph.conf') },
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (result.status !== 0) throw new Error(`${name} ${args.join(' ')}: ${result.stderr}`);
}

function daemon(name: string, ...args: string[]): void {
  const log = openSync(join(directory, `${name}.out`), 'a');
  processes.push(
    spawn(name, args, {
      env: { ...process.env, CEPH_CONF: join(directory, 'ceph.conf') },
      stdio: ['ignore', log, log],
    }),
  );
}

if (missing.length > 0) {
  test('Ceph is installed', (t) => {
    if (process.env['CI'] === 'true') t.fail(`not installed: ${missing.join(', ')}`);
    else {
      t.log(`skipped, not installed: ${missing.join(', ')}`);
      t.pass();
    }
  });
} else {
  test.before(async (t) => {
    t.timeout(120_000);
    const [v2, v1] = [await freePort(), await freePort()];
    port = await freePort();
    const fsid = randomUUID();
    for (const name of ['mon', 'osd0', 'run', 'rgw', 'crash', 'log']) mkdirSync(join(directory, name));
    const settings: Record<string, string> = {
      fsid,
      mon_host: `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`,
      mon_initial_members: 'a',
      public_addr: '127.0.0.1',
      cluster_addr: '127.0.0.1',
      mon_data: join(directory, 'mon'),
      osd_data: join(directory, 'osd0'),
      rgw_data: join(directory, 'rgw'),
      run_dir: join(directory, 'run'),
      admin_socket: join(directory, 'run', '$name.$pid.asok'),
      log_file: join(directory, 'log', '$name.log'),
      pid_file: join(directory, 'run', '$name.pid'),
      crash_dir: join(directory, 'crash'),
      osd_pool_default_size: '1',
      osd_pool_default_min_size: '1',
      osd_pool_default_pg_num: '1',
      osd_pool_default_pgp_num: '1',
      osd_pool_default_pg_autoscale_mode: 'off',
      osd_crush_chooseleaf_type: '0',
      mon_allow_pool_size_one: 'true',
      mon_max_pg_per_osd: '1000',
      osd_objectstore: 'memstore',
      memstore_device_bytes: '2147483648',
    };
    for (const kind of ['cluster', 'service', 'client']) {
      settings[`auth_${kind}_required`] = 'none';
      // Without crc the gateway never authenticates.
      settings[`ms_${kind}_mode`] = 'crc';
      settings[`ms_mon_${kind}_mode`] = 'crc';
    }
    writeFileSync(
      join(directory, 'ceph.conf'),
      `[global]\n${Object.entries(settings)
        .map(([key, value]) => `${key} = ${value}`)
        .join('\n')}\n`,
    );
    command(
      'monmaptool',
      '--create',
      '--clobber',
      '--fsid',
      fsid,
      '--addv',
      'a',
      `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`,
      join(directory, 'monmap'),
    );
    command('ceph-mon', '-i', 'a', '--mkfs', '--monmap', join(directory, 'monmap'));
    daemon('ceph-mon', '-i', 'a', '-f');
    const osd = randomUUID();
    command('ceph', 'osd', 'new', osd);
    command('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd);
    daemon('ceph-osd', '-i', '0', '-f');
    command(
      'radosgw-admin',
      'user',
      'create',
      '--uid=k',
      '--display-name=k',
      '--access-key=AKTEST',
      '--secret-key=SKTEST',
    );
    daemon('radosgw', '-n', 'client.admin', '-f', '--rgw-frontends', `beast endpoint=127.0.0.1:${port}`);
    for (let i = 0; ; i++) {
      try {
        await createBucket('kraken-ready');
        return;
      } catch (error) {
        if (i > 200) throw error;
        await new Promise((done) => setTimeout(done, 200));
      }
    }
  });

  test.after.always(() => {
    for (const started of processes.reverse()) started.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });

  conformance(
    test,
    's3 on Ceph',
    async (namePath) => {
      const bucket = `kraken-${randomUUID()}`;
      await createBucket(bucket);
      const kind = BACKEND_KINDS.find(({ name }) => name === 's3');
      if (kind === undefined) throw new Error('no s3 kind');
      const backend = kind.open(
        new Settings(
          {
            username: 'me',
            bucket,
            endpoint: `127.0.0.1:${port}`,
            disable_ssl: true,
            force_path_style: true,
            name_path: namePath,
            root_directory: '/root',
            upload_part_size: '5MB',
          },
          's3',
        ),
        {
          auth: {
            me: {
              s3: { aws_access_key_id: credentials.accessKeyId, aws_secret_access_key: credentials.secretAccessKey },
            },
          },
          logger: silentLogger,
        },
      );
      return { backend, close: async () => backend.close() };
    },
    // The last one needs several parts.
    { sizes: [0, 1, 200_000, 17_000_000] },
  );
}

async function createBucket(bucket: string): Promise<void> {
  const client = new S3Client({
    region: 'us-east-1',
    endpoint: `http://127.0.0.1:${port}`,
    forcePathStyle: true,
    credentials,
    maxAttempts: 1,
  });
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
  } finally {
    client.destroy();
  }
}
