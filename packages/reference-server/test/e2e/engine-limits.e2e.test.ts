/** What moves when a client asks for little, from nodes with a rate limit; asked by curl. Times are printed, not judged. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import test from 'ava';
import { request } from 'undici';
import { testBlob, uploadToOrigins, type TestBlob } from './harness/blobs.js';
import { ProcessCluster, type NodeStatsAnswer } from './harness/clusters.js';
import { haveTools } from './harness/tools.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const PIECE_BYTES = 4 * MIB;
const NAMESPACE = 'library/limits';
/** 50 MB/s in. */
const LIMIT =
  'scheduler: {conn: {bandwidth: {enable: true, egress_bits_per_sec: 8589934592, ingress_bits_per_sec: 400000000}}}';

async function nodeStats(cluster: ProcessCluster, agent: string): Promise<NodeStatsAnswer['node']> {
  const response = await request(`http://${cluster.at(`${agent} api`)}/x/stats`);
  return ((await response.body.json()) as NodeStatsAnswer).node;
}

interface Got {
  readonly exit: number | null;
  readonly status: number;
  /** To the first byte of the body, with the start of curl; −1 when none came. */
  readonly firstByteMs: number;
  readonly body: Buffer;
}

async function curl(...args: string[]): Promise<Got> {
  const startedAt = performance.now();
  const child = spawn('curl', ['--silent', '--no-buffer', '--write-out', '%{stderr}%{http_code}', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let firstByteMs = -1;
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => {
    if (firstByteMs < 0) firstByteMs = performance.now() - startedAt;
    parts.push(part);
  });
  let said = '';
  child.stderr.on('data', (part: Buffer) => (said += part.toString()));
  const [exit] = (await once(child, 'close')) as [number | null];
  return { exit, status: Number(said), firstByteMs, body: Buffer.concat(parts) };
}

async function sha256(blob: TestBlob, start: number, end: number): Promise<string> {
  const hash = createHash('sha256');
  let at = 0;
  for await (const chunk of blob.open()) {
    if (at >= end) break;
    hash.update(chunk.subarray(Math.max(0, start - at), Math.max(0, Math.min(chunk.length, end - at))));
    at += chunk.length;
  }
  return hash.digest('hex');
}

test.serial(
  'a cold 1 GiB blob behind a limit: HEAD moves no piece, ranges move theirs, the first byte is early',
  async (t) => {
    t.timeout(300_000);
    if (!haveTools(t, 'curl')) return;
    const cluster = await new ProcessCluster({
      origins: 1,
      agents: 2,
      pieceLength: '4MB',
      shared: ['tracker'],
      elsewhere: { 'build-index': '127.0.0.1:1' },
      extra: { agent: LIMIT },
    }).start();
    try {
      const blob = testBlob('limits', GIB);
      await uploadToOrigins([cluster.at('origin-1')], NAMESPACE, blob);
      const doors = (agent: string): [string, string] => [
        `http://${cluster.at(agent)}/v2/${NAMESPACE}/blobs/${blob.digest}`,
        `http://${cluster.at(`${agent} api`)}/namespace/${encodeURIComponent(NAMESPACE)}/blobs/${blob.digest}`,
      ];
      for (const url of doors('agent-1')) {
        const head = await curl('--head', url);
        t.like(head, { exit: 0, status: 200 });
        t.regex(head.body.toString(), new RegExp(`content-length: ${GIB}\\r\\n`, 'i'));
        t.log(`HEAD answered after ${head.firstByteMs.toFixed(0)} ms`);
      }
      let before = await nodeStats(cluster, 'agent-1');
      t.is(before.piecesReceived + Number(before['piecesRequested']), 0, 'HEAD moves no piece');

      // In the middle, across an edge of two pieces; then up to the end, by its last bytes and by an open range.
      const middle = GIB / 2 - MIB / 2 + 7;
      const ranges: [range: string, start: number, end: number, piecesMax: number][] = [
        [`${middle}-${middle + MIB - 1}`, middle, middle + MIB, 3],
        [`-${MIB}`, GIB - MIB, GIB, 1],
        [`${GIB - PIECE_BYTES - 5}-`, GIB - PIECE_BYTES - 5, GIB, 2],
      ];
      for (const [i, [range, start, end, piecesMax]] of ranges.entries()) {
        const got = await curl('--range', range, doors('agent-1')[i % 2] as string);
        t.like(got, { exit: 0, status: 206 }, range);
        t.is(got.body.length, end - start, range);
        t.is(createHash('sha256').update(got.body).digest('hex'), await sha256(blob, start, end), range);
        const after = await nodeStats(cluster, 'agent-1');
        const pieces = after.piecesReceived - before.piecesReceived;
        const requested = Number(after['piecesRequested']) - Number(before['piecesRequested']);
        t.log(
          `range ${range}: ${pieces} pieces, ${requested} requests, first byte after ${got.firstByteMs.toFixed(0)} ms`,
        );
        t.true(pieces >= 1 && pieces <= piecesMax, `range ${range} moved ${pieces} pieces`);
        t.is(requested, pieces, range);
        before = after;
      }

      // An agent that has nothing; the other one is connected, has some pieces and fetches no more. curl ends by its own
      // limit (28) in the middle of the body.
      for (const [i, url] of doors('agent-2').entries()) {
        if (i > 0) await request(`http://${cluster.at('agent-2 api')}/blobs/${blob.digest}`, { method: 'DELETE' });
        const { exit, status, firstByteMs, body } = await curl('--max-time', '8', url);
        t.deepEqual([exit, status], [28, 200]);
        t.log(`cold GET: first byte after ${firstByteMs.toFixed(0)} ms, ${(body.length / MIB).toFixed(0)} MiB in 8 s`);
        // The limit times the time, the burst of a second, and what a busy machine makes of both.
        t.true(body.length > 0 && body.length < 700_000_000, `${body.length} bytes in 8 s`);
        t.is(createHash('sha256').update(body).digest('hex'), await sha256(blob, 0, body.length));
      }
    } finally {
      await cluster.stop();
    }
  },
);
