import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { isKrakenError } from '@kraken/core/errors';
import { silentLogger, type StorageBackend } from '@kraken/core/ports';
import S3rver from 's3rver';
import { BACKEND_KINDS, createBackendManager, NOOP_NAMESPACE, Settings } from '@kraken/backends';
import { conformance, type ConformanceOptions, type Subject } from './conformance.js';

function open(kind: string, settings: Record<string, unknown>, auth?: unknown): StorageBackend {
  const found = BACKEND_KINDS.find(({ name }) => name === kind);
  if (found === undefined) throw new Error(`no kind ${kind}`);
  return found.open(new Settings(settings, kind), { auth, logger: silentLogger });
}

const COVERED = new Set<string>();
const covers = (
  kind: string,
  openSubject: (namePath: string) => Promise<Subject>,
  options: ConformanceOptions = {},
): void => {
  COVERED.add(kind);
  conformance(test, kind, openSubject, options);
};

covers('memory', async (namePath) => {
  const backend = open('memory', { name_path: namePath });
  return Promise.resolve({ backend, close: async () => backend.close() });
});

covers('file', async (namePath) => {
  const directory = mkdtempSync(join(tmpdir(), 'kraken-file-'));
  const backend = open('file', { directory, name_path: namePath });
  return Promise.resolve({
    backend,
    close: async () => {
      await backend.close();
      rmSync(directory, { recursive: true });
    },
  });
});

covers('testfs', async (namePath) => {
  const { server, port } = await startTestfs();
  const backend = open('testfs', { addr: `127.0.0.1:${port}`, root: 'root', name_path: namePath });
  return {
    backend,
    close: async () => {
      await backend.close();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
});

covers(
  's3',
  async (namePath) => {
    const directory = mkdtempSync(join(tmpdir(), 'kraken-s3-'));
    const server = new S3rver({
      port: 0,
      address: '127.0.0.1',
      silent: true,
      directory,
      configureBuckets: [{ name: 'kraken', configs: [] }],
    });
    const { port } = await server.run();
    const backend = open(
      's3',
      {
        username: 'me',
        bucket: 'kraken',
        endpoint: `127.0.0.1:${port}`,
        disable_ssl: true,
        force_path_style: true,
        name_path: namePath,
        root_directory: '/root',
      },
      { me: { s3: { aws_access_key_id: 'S3RVER', aws_secret_access_key: 'S3RVER' } } },
    );
    return {
      backend,
      close: async () => {
        await backend.close();
        await server.close();
        rmSync(directory, { recursive: true });
      },
    };
  },
  {
    cannotPage:
      'this stand-in makes page tokens with DES, which OpenSSL 3 refuses; the end-to-end suite pages against Ceph',
  },
);

test('every kind in the table runs the conformance suite', (t) => {
  t.deepEqual(BACKEND_KINDS.map(({ name }) => name).sort(), [...COVERED].sort());
});

/** Kraken's test file server, as the recorded exchanges show it. */
async function startTestfs(): Promise<{ server: Server; port: number }> {
  const files = new Map<string, Buffer>();
  const server = createServer((req, res) => {
    const path = decodeURIComponent(new URL(req.url ?? '/', 'http://x').pathname);
    const name = path.replace(/^\/(files|list)\//, '').replaceAll(':', '/');
    if (path.startsWith('/list/')) {
      const found = [...files.keys()].filter((file) => file.startsWith(`${name}/`)).sort();
      if (found.length === 0) return void res.writeHead(500).end('no such directory');
      return void res.end(JSON.stringify(found));
    }
    if (req.method === 'POST') {
      const parts: Buffer[] = [];
      req.on('data', (part: Buffer) => parts.push(part));
      req.on('end', () => {
        files.set(name, Buffer.concat(parts));
        res.end();
      });
      return;
    }
    const found = files.get(name);
    if (found === undefined) return void res.writeHead(404).end();
    if (req.method === 'HEAD') return void res.writeHead(200, { Size: String(found.length) }).end();
    return void res.end(found);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { server, port: (server.address() as AddressInfo).port };
}

test('manager: the first matching pattern wins, unanchored; no match is an error', (t) => {
  const manager = createBackendManager([
    { namespace: 'library/.*', backend: { memory: { root: '/a' } } },
    { namespace: '^team/', backend: { memory: {} } },
  ]);
  t.is(manager.forNamespace('library/alpine'), manager.forNamespace('evil-library/x'));
  t.not(manager.forNamespace('team/x'), manager.forNamespace('library/alpine'));
  t.true(
    isKrakenError(
      t.throws(() => manager.forNamespace('other')),
      'backend-no-match',
    ),
  );
  t.is(manager.forNamespace(NOOP_NAMESPACE).kind, 'noop');
});

test('manager: bad rules say which and why', (t) => {
  const bad: [unknown, RegExp][] = [
    [{ namespace: '(', backend: { memory: {} } }, /backends\[0\]\.namespace/],
    [{ namespace: '.*', backend: {} }, /exactly one kind, got none/],
    [{ namespace: '.*', backend: { memory: {}, file: {} } }, /exactly one kind/],
    [{ namespace: '.*', backend: { floppy: {} } }, /unknown kind floppy/],
    [{ namespace: '.*', backend: { file: {} } }, /directory: required/],
    [{ namespace: '.*', backend: { memory: { roots: '/' } } }, /unknown key roots/],
    [{ namespace: '.*', backend: { memory: { name_path: 'zigzag' } } }, /name_path/],
    [
      { namespace: '.*', backend: { s3: { username: 'nobody', bucket: 'b', name_path: 'identity' } } },
      /auth\.s3\.nobody/,
    ],
  ];
  for (const [rule, pattern] of bad) {
    const error = t.throws(() => createBackendManager([rule as never]), { message: pattern });
    t.true(isKrakenError(error, 'config-invalid'));
  }
});

test('manager: readiness asks the must_ready backends and names the one that fails', async (t) => {
  const ready = createBackendManager([
    { namespace: '.*', backend: { memory: { name_path: 'docker_tag' } }, must_ready: true },
  ]);
  await t.notThrowsAsync(ready.checkReady());
  const down = createBackendManager([
    { namespace: 'x.*', backend: { testfs: { addr: '127.0.0.1:1', name_path: 'identity' } }, must_ready: true },
  ]);
  const error = await t.throwsAsync(down.checkReady(), { message: /namespace 'x\.\*' not ready/ });
  t.true(isKrakenError(error, 'not-ready'));
});

test('a storage that is down is storage-unavailable', async (t) => {
  for (const backend of [
    open('testfs', { addr: '127.0.0.1:1', name_path: 'identity' }),
    open(
      's3',
      { username: 'me', bucket: 'b', endpoint: '127.0.0.1:1', disable_ssl: true, name_path: 'identity' },
      { me: { s3: { aws_access_key_id: 'a', aws_secret_access_key: 'b' } } },
    ),
  ]) {
    t.true(isKrakenError(await t.throwsAsync(backend.stat('n', 'name')), 'storage-unavailable'), backend.kind);
    await backend.close();
  }
});
