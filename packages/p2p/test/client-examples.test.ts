/** The examples and the five-line client, against a tracker over HTTP. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { serializeMetaInfo } from '@kraken/core/content';
import { createTrackerHandler, fetchBlob } from '@kraken/p2p';
import { request } from 'undici';
import { MemoryTracker, readAll, startOrigin, tempDir } from './client-kit.js';
import { MIB, testBlob, type TestBlob } from './host-kit.js';

const example = (name: string): string => fileURLToPath(new URL(`../examples/${name}`, import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

function start(t: ExecutionContext, name: string, args: string[]): { child: ChildProcess; outcome: Promise<Outcome> } {
  const child = spawn(process.execPath, [example(name), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => void child.kill('SIGKILL'));
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() }),
    );
  });
  return { child, outcome };
}

/** An origin with `blob` and a tracker over HTTP. */
async function cluster(t: ExecutionContext, blob: TestBlob): Promise<string> {
  const origin = await startOrigin(t, new MemoryTracker(), blob);
  const { peerId, ip, port } = origin.node.context;
  const server: Server = createServer(
    createTrackerHandler({
      origins: {
        originPeers: () => Promise.resolve([{ peerId, ip, port, origin: true, complete: true }]),
        metaInfoResponse: (_namespace, digest) =>
          Promise.resolve(
            digest === blob.digest
              ? { status: 200, body: serializeMetaInfo(blob.metainfo) }
              : { status: 404, body: '' },
          ),
        checkReady: () => Promise.resolve(),
      },
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('fetchBlob: once from the swarm, then from the disk, and errors leave nothing behind', async (t) => {
  const blob = testBlob(5 * MIB + 3, MIB);
  const tracker = await cluster(t, blob);
  const dir = await tempDir(t);
  const first = await fetchBlob({ tracker, digest: blob.digest, dir, namespace: 'lab/x' });
  t.is(first.length, blob.data.length);
  t.true((await readAll(first.stream)).equals(blob.data));
  await first.finished;
  await first.close();
  await first.close();
  const nobody = 'http://127.0.0.1:1';
  const second = await fetchBlob({ tracker: [nobody], digest: blob.digest, dir, range: { start: 10, end: 20 } });
  t.true((await readAll(second.stream)).equals(blob.data.subarray(10, 20)));
  await second.close();
  const other = testBlob(3, 3).digest;
  await t.throwsAsync(fetchBlob({ tracker, digest: other, dir }), { name: 'KrakenError', code: 'blob-unknown' });
  await t.throwsAsync(fetchBlob({ tracker, digest: 'md5:1', dir }), { name: 'KrakenError', code: 'digest-invalid' });
  await t.throwsAsync(fetchBlob({ tracker: [], digest: other, dir }), { instanceOf: TypeError });
});

test('example fetch-blob', async (t) => {
  const blob = testBlob(3 * MIB + 1, MIB);
  const tracker = await cluster(t, blob);
  const done = await start(t, 'fetch-blob.mjs', [tracker, blob.digest, await tempDir(t)]).outcome;
  t.is(done.code, 0, done.stderr);
  t.true(done.stdout.equals(blob.data));
  t.is((await start(t, 'fetch-blob.mjs', []).outcome).code, 2);
});

test('example swarm-in-one-process', async (t) => {
  const done = await start(t, 'swarm-in-one-process.mjs', []).outcome;
  t.is(done.code, 0, done.stderr);
  const lines = done.stdout.toString().trim().split('\n').sort();
  t.is(lines.length, 3);
  for (const line of lines)
    t.regex(line, /^agent [abc]: right content, \d+ MiB from the origin, \d+ MiB from other agents$/);
});

test('example serve-over-http', async (t) => {
  const blob = testBlob(4 * MIB + 9, MIB);
  const { child, outcome } = start(t, 'serve-over-http.mjs', [await cluster(t, blob), await tempDir(t)]);
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.once('data', (line: Buffer) => resolve(line.toString().trim()));
    outcome.then(({ stderr }) => reject(new Error(stderr)), reject);
  });
  const head = await request(`${url}/${blob.digest}`, { method: 'HEAD' });
  t.is(head.headers['content-length'], String(blob.data.length));
  await head.body.dump();
  const got = await request(`${url}/${blob.digest}`);
  const content = Buffer.from(await got.body.arrayBuffer());
  t.is(createHash('sha256').update(content).digest('hex'), blob.digest.slice(7));
  const missing = await request(`${url}/${testBlob(2, 2).digest}`);
  t.is(missing.statusCode, 404);
  await missing.body.dump();
  child.kill('SIGTERM');
  t.is((await outcome).code, 0);
});
