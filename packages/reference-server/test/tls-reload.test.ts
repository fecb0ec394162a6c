/** The `tls` block of running roles: what is served, and what changed files do. */
import { copyFileSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { isKrakenError } from '@kraken/core/errors';
import { silentLogger, type Logger } from '@kraken/core/ports';
import { originKeys, trackerKeys, type OriginConfig, type TrackerConfig } from '../dist/config/component-keys.js';
import { choosePorts } from '../dist/cluster/ports.js';
import { configFromValues } from '../dist/config/from-values.js';
import { startOrigin } from '../dist/roles/origin.js';
import { Lifetime, type RoleContext } from '../dist/roles/role.js';
import { openTls, peerTlsOptions } from '../dist/roles/tls.js';
import { startTracker } from '../dist/roles/tracker.js';

const FIXTURES = fileURLToPath(new URL('../../p2p/test/fixtures/tls/', import.meta.url));
const fixture = (name: string): string => readFileSync(join(FIXTURES, name), 'utf8');

interface Files {
  readonly path: (name: string) => string;
  /** Put certificate and key of `name` where the configuration looks. */
  readonly install: (name: string, what?: readonly ('crt' | 'key')[]) => void;
  readonly identity: { readonly cert: { path: string }; readonly key: { path: string } };
}

function files(t: ExecutionContext): Files {
  const directory = mkdtempSync(join(tmpdir(), 'kraken-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string): string => join(directory, name);
  let version = 0;
  const install: Files['install'] = (name, what = ['crt', 'key']) => {
    version++;
    for (const part of what) {
      copyFileSync(join(FIXTURES, `${name}.${part}`), path(`node.${part}`));
      // File systems may keep coarse times.
      utimesSync(path(`node.${part}`), 1_000_000 + version, 1_000_000 + version);
    }
  };
  copyFileSync(join(FIXTURES, 'ca.crt'), path('ca.crt'));
  install('peer');
  return { path, install, identity: { cert: { path: path('node.crt') }, key: { path: path('node.key') } } };
}

function keeping(): Logger & { readonly said: string[] } {
  const said: string[] = [];
  const note = (_fields: object, message: string): void => void said.push(message);
  return { said, debug: () => undefined, info: note, warn: note, error: note };
}

const context = (logger: Logger): RoleContext => ({ logger, warnings: [], hasAccessBlock: true });

/** Common name of the certificate that `port` shows to a peer. */
function shownBy(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      cert: fixture('peer.crt'),
      key: fixture('peer.key'),
    });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
  });
}

const access = { listen: '127.0.0.1', allowed_cidrs: ['127.0.0.0/8'] };

test('HTTP server and peer port of an origin follow renewed files; half a renewal changes nothing', async (t) => {
  const { path, install, identity } = files(t);
  const logger = keeping();
  const free = await choosePorts({ blobs: 0 }, '127.0.0.1');
  const self = `127.0.0.1:${free.blobs}`;
  const config = configFromValues<OriginConfig>(originKeys, {
    tls: {
      cas: [{ path: path('ca.crt') }],
      name: 'peer.kraken',
      server: identity,
      client: identity,
      peer: { mode: 'required', ...identity },
      reload_interval: 3_600_000,
    },
    access,
    cluster: { static: [self] },
    castore: { upload_dir: path('upload'), cache_dir: path('cache') },
    localdb: { source: path('db') },
    metainfogen: { piece_lengths: { 0: 4096 } },
  });
  const origin = await startOrigin(
    config,
    { blobServerPort: free.blobs, blobServerHostname: '127.0.0.1', peerIp: '127.0.0.1', peerPort: 0 },
    context(logger),
  );
  t.teardown(() => origin.close(0));
  const ports = Object.values(origin.ports);
  t.is(ports.length, 2);
  const shown = (): Promise<string[]> => Promise.all(ports.map(async (port) => shownBy(port)));
  t.deepEqual(await shown(), ['peer', 'peer']);

  await origin.reloadTls();
  t.false(logger.said.includes('certificates reloaded'), 'nothing had changed');

  install('renewed', ['crt']);
  await origin.reloadTls();
  t.deepEqual(await shown(), ['peer', 'peer']);
  t.is(logger.said.filter((line) => line.startsWith('new certificates cannot be used')).length, 3);

  install('renewed', ['key']);
  await origin.reloadTls();
  t.deepEqual(await shown(), ['renewed', 'renewed']);

  rmSync(path('node.crt'));
  await origin.reloadTls();
  t.deepEqual(await shown(), ['renewed', 'renewed'], 'a file that is gone changes nothing');
});

test('files are looked at by themselves', async (t) => {
  const { path, install, identity } = files(t);
  const config = configFromValues<TrackerConfig>(trackerKeys, {
    tls: { cas: [{ path: path('ca.crt') }], server: identity, client: { disabled: true }, reload_interval: 20 },
    access,
    origin: { hosts: { static: ['127.0.0.1:1'] } },
  });
  const tracker = await startTracker(config, { port: 0 }, context(silentLogger));
  t.teardown(() => tracker.close(0));
  const port = tracker.ports['tracker'] ?? 0;
  t.is(await shownBy(port), 'peer');
  install('renewed');
  for (let i = 0; i < 500 && (await shownBy(port)) !== 'renewed'; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.is(await shownBy(port), 'renewed');
});

test('HTTP clients show the renewed certificate', async (t) => {
  const { path, install, identity } = files(t);
  const seen: string[] = [];
  const server = createServer(
    { cert: fixture('peer.crt'), key: fixture('peer.key'), ca: fixture('ca.crt'), requestCert: true },
    (req, res) => {
      seen.push(String((req.socket as unknown as ReturnType<typeof connect>).getPeerCertificate().subject.CN));
      res.writeHead(200, { connection: 'close' });
      res.end();
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const { tls } = configFromValues<TrackerConfig>(trackerKeys, {
    tls: { name: 'peer.kraken', cas: [{ path: path('ca.crt') }], server: { disabled: true }, client: identity },
  });
  const lifetime = new Lifetime(silentLogger);
  t.teardown(() => lifetime.close(0));
  const running = openTls(tls, silentLogger, lifetime);
  const call = async (): Promise<void> => {
    const response = await running.http.request(`127.0.0.1:${(server.address() as AddressInfo).port}`, '/');
    await response.discard();
  };
  await call();
  install('renewed');
  await running.reload();
  await call();
  writeFileSync(path('node.key'), 'no key');
  await running.reload();
  await call();
  t.deepEqual(seen, ['peer', 'renewed', 'renewed']);
});

test('tls.peer: modes, authorities, what is missing', (t) => {
  const { path, identity } = files(t);
  const read = (tls: object): ReturnType<typeof peerTlsOptions> =>
    peerTlsOptions(configFromValues<TrackerConfig>(trackerKeys, { tls }).tls);
  t.is(read({}), undefined);
  t.is(read({ peer: { mode: 'off' } }), undefined);
  const cas = [{ path: path('ca.crt') }];
  t.like(read({ cas, peer: { mode: 'preferred', ...identity } }), {
    mode: 'preferred',
    ca: [Buffer.from(fixture('ca.crt'))],
  });
  t.like(read({ peer: { mode: 'required', name: 'kraken', cas, ...identity } }), { mode: 'required', name: 'kraken' });
  const complaint = (tls: object): string => {
    const error = t.throws(() => read(tls));
    t.true(isKrakenError(error, 'config-invalid'));
    return error.message;
  };
  t.regex(
    complaint({ cas, peer: { mode: 'on', ...identity } }),
    /tls\.peer\.mode: expected required, preferred or off, got "on"/,
  );
  t.regex(complaint({ cas, peer: { mode: 'required' } }), /tls\.peer\.cert\.path/);
  t.regex(complaint({ cas: [{ path: path('none') }], peer: { mode: 'required', ...identity } }), /tls\.cas\[0\]\.path/);
});
