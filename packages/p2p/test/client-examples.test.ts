/** The examples, each as a process, and the calls for one file: fetch, save, import, seed, serve a tracker. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { digestHex } from '@kraken/core/content';
import {
  createLocalOrigins,
  DiskStore,
  fetchBlob,
  fetchFile,
  importFile,
  saveTo,
  seedFile,
  serveTracker,
  toReadable,
  type PullProgress,
  type SeededFile,
} from '@kraken/p2p';
import * as p2p from '@kraken/p2p';
import { request } from 'undici';
import { MemoryTracker, readAll, startNode, startOrigin, tempDir } from './client-kit.js';
import { MIB, testBlob, type TestBlob } from './host-kit.js';

const EXAMPLES = fileURLToPath(new URL('../examples/', import.meta.url));

/** What each example prints, line by line; order counts unless the lines are told apart by their content. */
const OUTPUT: Readonly<Record<string, readonly RegExp[]>> = {
  'cancel.mjs': [/^cancelled after 3 pieces$/, /^the second try began with what the first had$/],
  'close-cleanly.mjs': [/^the pull ended: shutting-down$/, /^closed; the process ends by itself$/],
  'embed-a-tracker.mjs': [/^the agent has 2000000 bytes$/, /^hello from the same server$/],
  'fetch-blob.mjs': [/^5000000 bytes are on their way$/, /^the content is right$/],
  'fetch-range.mjs': [/^line 77777$/, /^1 of 90 pieces were sent$/],
  'fetch-to-file.mjs': [/^fetched 5000000 bytes; the file has 5000000$/, /^beside it: 0 temporary files$/],
  'own-logger.mjs': [/^debug torrent added $/, /^(?:debug|info) [ -~]+$/, /^3000000 bytes were counted$/],
  'own-peer-order.mjs': [/^handed out: own rack, own rack, other rack, other rack$/],
  'own-piece-choice.mjs': [/^pieces were asked for in the order 5 4 3 2 1 0$/],
  'own-store.mjs': [/^5000000 bytes came through memory$/],
  'progress.mjs': [
    /^0 of 4000000 bytes, 0 of 4 pieces, \d+ peers$/,
    /^[1-3]000000 of 4000000 bytes, [1-3] of 4 pieces, 1 peers$/,
    /^4000000 of 4000000 bytes, 4 of 4 pieces, 1 peers$/,
  ],
  'seed-file.mjs': [
    /^seeding sha256:[0-9a-f]{64}, 3000000 bytes, tracker http:\/\/127\.0\.0\.1:\d+$/,
    /^3000000 bytes went to 1 peer$/,
  ],
  'serve-over-http.mjs': [
    /^HEAD: 200, 5000000 bytes, 0 pieces fetched$/,
    /^GET: 200, 5000000 bytes$/,
    /^unknown: 404, nonsense: 400$/,
  ],
  'swarm-in-one-process.mjs': [/^agent [abc]: \d+ MiB from the origin, \d+ MiB from other agents$/],
  'typed-errors.mjs': [
    /^no such blob: blob-unknown, retry never, HTTP 404$/,
    /^not a digest: digest-invalid, retry never, HTTP 400$/,
    /^no such range: range-invalid, retry never, HTTP 416$/,
    /^no tracker: tracker-unavailable, retry elsewhere, HTTP 503$/,
  ],
};

async function run(
  t: ExecutionContext,
  name: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  // Its temporary files are inside ours: what it leaves behind is seen.
  const dir = await tempDir(t);
  const child = spawn(process.execPath, [join(EXAMPLES, name)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: dir },
  });
  t.teardown(() => void child.kill('SIGKILL'));
  const [stdout, stderr] = await Promise.all(
    [child.stdout, child.stderr].map(async (stream) => Buffer.concat(await stream.toArray()).toString()),
  );
  const code = await new Promise<number | null>((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.once('exit', resolve);
  });
  t.deepEqual(await readdir(dir), [], `${name} left files behind`);
  return { code, stdout: stdout ?? '', stderr: stderr ?? '' };
}

test('every example of the folder has its expected output', (t) => {
  t.deepEqual(readdirSync(EXAMPLES).sort(), Object.keys(OUTPUT));
});

test('the README names every example and nothing that is not exported', async (t) => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  for (const name of Object.keys(OUTPUT)) t.true(readme.includes(`(examples/${name})`), name);
  const called = [...readme.matchAll(/[|,;] `([a-zA-Z]+)\((?:\{|[a-z]+, )/g)].map(([, name]) => name ?? '');
  t.true(called.length >= 12, `${called.length} calls`);
  for (const name of called) t.true(name in p2p, name);
});

// One after the other: so many processes at once would starve the tests beside them.
for (const [name, patterns] of Object.entries(OUTPUT)) {
  test.serial(`example ${name}`, async (t) => {
    const { code, stdout, stderr } = await run(t, name);
    t.is(code, 0, stderr);
    t.is(stderr, '');
    const lines = stdout.trimEnd().split('\n');
    let at = 0;
    for (const line of lines) {
      // Several lines may fit one pattern.
      if (patterns[at]?.test(line) !== true) at++;
      t.regex(line, patterns[at] ?? /^nothing more was expected$/);
    }
    t.is(at, patterns.length - 1, stdout);
  });
}

async function seed(t: ExecutionContext, content: Buffer, pieceLengthBytes = MIB): Promise<SeededFile> {
  const dir = await tempDir(t);
  const path = join(dir, 'file');
  await writeFile(path, content);
  const seeded = await seedFile({ path, dir: join(dir, 'seed'), pieceLengthBytes });
  t.teardown(() => seeded.close());
  return seeded;
}

test('fetchBlob: once from the swarm, then from the disk, and errors leave nothing behind', async (t) => {
  const blob = testBlob(5 * MIB + 3, MIB);
  const { tracker, metainfo } = await seed(t, blob.data);
  t.is(metainfo.digest, blob.digest);
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

test('fetchFile: the whole blob or a range, in place of what was there; nothing when it fails', async (t) => {
  const blob = testBlob(3 * MIB + 1, MIB);
  const { tracker, digest } = { ...(await seed(t, blob.data)), digest: blob.digest };
  const dir = await tempDir(t);
  const file = join(dir, 'out');
  await writeFile(file, 'old');
  const missing = testBlob(3, 3).digest;
  await t.throwsAsync(fetchFile({ tracker, digest: missing, dir: join(dir, 'a'), file }), { code: 'blob-unknown' });
  t.is((await readFile(file)).toString(), 'old');
  t.deepEqual(await fetchFile({ tracker, digest, dir: join(dir, 'a'), file }), { digest, length: 3 * MIB + 1 });
  t.true((await readFile(file)).equals(blob.data));
  const range = { start: MIB - 1, end: MIB + 2 };
  t.is((await fetchFile({ tracker, digest, dir: join(dir, 'b'), file, range })).length, 3);
  t.true((await readFile(file)).equals(blob.data.subarray(range.start, range.end)));
  const nowhere = join(dir, 'none/out');
  await t.throwsAsync(fetchFile({ tracker, digest, dir: join(dir, 'a'), file: nowhere }), { code: 'io-error' });
  t.deepEqual((await readdir(dir)).sort(), ['a', 'b', 'out']);
});

test('saveTo: a stream that fails leaves what was there and no temporary file', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'out');
  await writeFile(file, 'old');
  // eslint-disable-next-line @typescript-eslint/require-await -- the parameter it is for is an async iterable
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('half');
    throw new Error('gone');
  };
  await t.throwsAsync(saveTo(broken(), file), { message: 'gone' });
  t.deepEqual(await readdir(dir), ['out']);
  t.is((await readFile(file)).toString(), 'old');
});

test('toReadable: the bytes as a Node stream that keeps what it was given; destroying it gives the blob up', async (t) => {
  // A source that uses one buffer again and again, as ours does.
  const buffer = Buffer.alloc(3);
  let ended = 0;
  const source = async function* (count: number): AsyncGenerator<Uint8Array> {
    try {
      for (let i = 0; i < count; i++) yield await Promise.resolve(buffer.fill(i));
    } finally {
      ended++;
    }
  };
  const all = Buffer.concat((await toReadable(source(5)).toArray()) as Buffer[]);
  t.deepEqual([...all], [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
  t.is(ended, 1);
  const left = toReadable(source(1e9));
  for await (const chunk of left) {
    t.is((chunk as Buffer).length, 3);
    break;
  }
  t.is(ended, 2);
  const broken = toReadable(Readable.from([Buffer.from('x')]).map(() => Promise.reject(new Error('gone'))));
  await t.throwsAsync(broken.toArray(), { message: 'gone' });
});

test('progress: from what is there to the end, once for a local blob, to the last piece of a range', async (t) => {
  const blob = testBlob(4 * MIB - 5, MIB);
  const tracker = new MemoryTracker();
  await startOrigin(t, tracker, blob);
  const agent = await startNode(t, { tracker });
  const seen: PullProgress[] = [];
  const onProgress = (progress: PullProgress): void => void seen.push(progress);
  await agent.node.download(blob.digest, { range: { start: MIB, end: MIB + 1 }, onProgress });
  t.deepEqual(seen.map(({ peers, ...rest }) => rest).at(-1), {
    verifiedBytes: MIB,
    totalBytes: blob.data.length,
    verifiedPieces: 1,
    totalPieces: 4,
  });
  seen.length = 0;
  await agent.node.download(blob.digest, { onProgress });
  t.is(seen[0]?.verifiedPieces, 1);
  t.true(seen.some(({ peers }) => peers === 1));
  t.is(seen.at(-1)?.verifiedBytes, blob.data.length);
  t.deepEqual(
    seen.map(({ verifiedPieces }) => verifiedPieces),
    seen.map(({ verifiedPieces }) => verifiedPieces).sort((a, b) => a - b),
  );
  seen.length = 0;
  (await agent.node.open(blob.digest, { onProgress })).close();
  t.deepEqual(
    seen.map(({ verifiedPieces }) => verifiedPieces),
    [4],
  );
});

test('importFile: known content keeps its metainfo; unreadable files and a caller who gives up leave nothing', async (t) => {
  const dir = await tempDir(t);
  const store = await DiskStore.open({ cacheDir: join(dir, 'cache'), uploadDir: join(dir, 'upload') });
  t.teardown(() => store.close());
  const blob: TestBlob = testBlob(3 * MIB + 7, MIB);
  await writeFile(join(dir, 'file'), blob.data);
  const metainfo = await importFile(store, join(dir, 'file'), { pieceLengthBytes: MIB });
  t.is(metainfo.digest, blob.digest);
  t.is(metainfo.infoHash, blob.metainfo.infoHash);
  t.is((await importFile(store, join(dir, 'file'))).pieceLength, MIB);
  await writeFile(join(dir, 'empty'), '');
  t.is((await importFile(store, join(dir, 'empty'))).length, 0);
  await t.throwsAsync(importFile(store, join(dir, 'none')), { code: 'io-error', message: /none/ });
  await t.throwsAsync(importFile(store, dir), { code: 'io-error' });
  const signal = AbortSignal.abort();
  await t.throwsAsync(importFile(store, join(dir, 'file'), { signal }), { code: 'cancelled' });
  t.deepEqual(await readdir(join(dir, 'upload')), []);
});

test('serveTracker: a port in use is a coded error; close ends connections', async (t) => {
  const blob = testBlob(MIB, MIB);
  const { node, store } = await startOrigin(t, new MemoryTracker(), blob);
  const tracker = await serveTracker({ origins: createLocalOrigins([{ node, store }]) });
  const got = await request(`${tracker.url}/namespace/x/blobs/${blob.digest}/metainfo`);
  t.is(got.statusCode, 200);
  t.is((JSON.parse(await got.body.text()) as { Info: { Length: number } }).Info.Length, MIB);
  const unknown = await request(`${tracker.url}/namespace/x/blobs/${testBlob(2, 2).digest}/metainfo`);
  t.is(unknown.statusCode, 404);
  await unknown.body.dump();
  await t.throwsAsync(serveTracker({ origins: createLocalOrigins([]), port: tracker.port }), { code: 'network-error' });
  await tracker.close();
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(tracker.port, '127.0.0.1', resolve));
  await new Promise((resolve) => free.close(resolve));
});

test('seedFile: the copy is what counts, another start finds it, and nothing stays open when it fails', async (t) => {
  const dir = await tempDir(t);
  const path = join(dir, 'file');
  const content = Buffer.from('kraken'.repeat(1000));
  await writeFile(path, content);
  const first = await seedFile({ path, dir: join(dir, 'seed') });
  await writeFile(path, 'something else');
  const { tracker, metainfo } = first;
  t.is(digestHex(metainfo.digest), createHash('sha256').update(content).digest('hex'));
  const blob = await fetchBlob({ tracker, digest: metainfo.digest, dir: join(dir, 'fetch') });
  t.true((await readAll(blob.stream)).equals(content));
  await blob.close();
  await first.close();
  await first.close();
  await t.throwsAsync(fetchBlob({ tracker, digest: metainfo.digest, dir: join(dir, 'other') }), {
    code: 'tracker-unavailable',
  });
  const port = Number(new URL(tracker).port);
  const again = await seedFile({ path, dir: join(dir, 'seed'), trackerPort: port });
  t.teardown(() => again.close());
  const old = await fetchFile({ tracker, digest: metainfo.digest, dir: join(dir, 'other'), file: join(dir, 'copy') });
  t.is(old.length, content.length);
  await t.throwsAsync(seedFile({ path, dir: join(dir, 'seed2'), trackerPort: port }), { code: 'network-error' });
  await t.throwsAsync(seedFile({ path: join(dir, 'none'), dir: join(dir, 'seed3') }), { code: 'io-error' });
});
