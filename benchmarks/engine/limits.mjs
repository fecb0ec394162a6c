// How well a rate limit is kept, how soon a change of it holds, and what a client that asks for little waits for and moves behind
// one. An origin, a tracker and an agent as processes; asked by curl.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../lib/statistics.mjs';

const MB = 1e6;
const MIB = 2 ** 20;
const LIMIT_MB = 50;
/** Seconds of a pull in which the rate counts: the burst at the start is over by then. */
const WINDOW_S = [3, 20];
/** Rates that follow at run time, each for so long. */
const CHANGES_MB = [20, 40];
const CHANGE_S = 4;
/** A new rate holds from when every stretch of this length is within this part of it, give or take the chunk by which counters move. */
const STRETCH_S = 1;
const TOLERANCE = 0.05;
const CHUNK_MB = (512 * 2 ** 10) / MB;
const SAMPLE_MS = 20;
const NAMESPACE = 'bench/limits';
/** The direction that is not measured. */
const UNLIMITED_BITS = 80e9;

/** @type {Record<string, { needs: string[], measure(context: object): Promise<import('./rows.mjs').Line[]> }>} */
export const LIMIT_GROUPS = { limit: { needs: ['curl'], measure: limits } };

async function limits({ payloads, rounds, note }) {
  const harness = '../../packages/reference-server/dist-test/e2e/harness';
  const { ProcessCluster } = await import(`${harness}/clusters.js`);
  const { testBlob, uploadToOrigins } = await import(`${harness}/blobs.js`);
  process.env.TMPDIR = payloads.temporary();
  const cluster = await new ProcessCluster({
    origins: 1,
    agents: 1,
    pieceLength: '4MB',
    shared: ['tracker'],
    // Blobs are asked for by digest: nothing listens here, and nothing needs it.
    elsewhere: { 'build-index': '127.0.0.1:1' },
    extra: { agent: `scheduler: {conn: {bandwidth: ${JSON.stringify(bandwidth('ingress', LIMIT_MB, 'yaml'))}}}` },
  }).start();
  try {
    const [asked, pulled] = [testBlob('bench, asked for little', 1024 * MIB), testBlob('bench, pulled', 1536 * MIB)];
    for (const blob of [asked, pulled]) await uploadToOrigins([cluster.at('origin-1')], NAMESPACE, blob);
    const agent = new Node(cluster.at('agent-1 api'));
    const origin = new Node(cluster.at('origin-1'));
    const lines = await little(agent, asked, rounds, note);
    for (const [side, node] of [
      ['ingress', agent],
      ['egress', origin],
    ]) {
      note(`${side} limit`);
      if (side === 'egress') await agent.limit('ingress', UNLIMITED_BITS / 8 / MB);
      await node.limit(side, LIMIT_MB);
      lines.push(...(await kept(side, node, agent, pulled)));
      await agent.forget(pulled);
    }
    return lines;
  } finally {
    await cluster.stop();
  }
}

/** HEAD, a range and the first byte of a cold blob. */
async function little(agent, blob, rounds, note) {
  const moved = async (work) => {
    const before = await agent.stats();
    await work();
    return (await agent.stats()).piecesReceived - before.piecesReceived;
  };
  note('HEAD and ranges');
  const middle = 512 * MIB - MIB / 2;
  const head = await moved(() => curl('--head', agent.url(blob)));
  const inside = await moved(() => curl('--range', `${middle}-${middle + MIB - 1}`, agent.url(blob)));
  const last = await moved(() => curl('--range', `-${MIB}`, agent.url(blob)));
  const waits = [];
  for (let n = 0; n < rounds; n++) {
    note(`cold GET, round ${n + 1} of ${rounds}`);
    await agent.forget(blob);
    waits.push(await firstByte(agent.url(blob)));
  }
  return [
    {
      name: `cold 1 GiB behind ${LIMIT_MB} MB/s, first byte`,
      value: median(waits),
      unit: 's',
      must: 0.5,
      detail: `with the start of curl; ${waits.map((wait) => wait.toFixed(3)).join(', ')}`,
    },
    { name: 'HEAD, pieces moved', value: head, unit: 'pieces', must: 0, detail: 'of 4 MiB' },
    { name: '1 MiB in the middle, pieces moved', value: inside, unit: 'pieces', must: 3, detail: 'across an edge' },
    { name: 'the last 1 MiB, pieces moved', value: last, unit: 'pieces', must: 1, detail: 'the blob has a root' },
  ];
}

/** One pull: the limit for 20 s, then other rates. */
async function kept(side, node, agent, blob) {
  const counter = side === 'ingress' ? 'payloadBytesIn' : 'payloadBytesOut';
  const client = spawn('curl', ['--silent', '--output', '/dev/null', agent.url(blob)], { stdio: 'ignore' });
  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1000;
  const samples = [];
  const sample = async (untilS) => {
    while (seconds() < untilS) {
      // The answer is of some time between the two.
      const before = seconds();
      const { host } = await node.stats();
      samples.push({ at: (before + seconds()) / 2, bytes: host[counter] });
      await sleep(SAMPLE_MS);
    }
  };
  try {
    await sample(WINDOW_S[1] + 0.1);
    const rate = rateBetween(samples, ...WINDOW_S);
    const lines = [
      {
        name: `${side} limit of ${LIMIT_MB} MB/s, seconds 3–20`,
        value: rate,
        unit: 'MB/s',
        must: 50,
        detail: 'at most',
      },
      { name: `${side} limit, the same`, value: rate, unit: 'MB/s', must: 47.5, atLeast: true, detail: 'at least' },
    ];
    let previous = LIMIT_MB;
    for (const rateMB of CHANGES_MB) {
      const changedAt = seconds();
      await node.limit(side, rateMB);
      await sample(seconds() + CHANGE_S);
      const after = samples.filter(({ at }) => at >= changedAt);
      lines.push({
        name: `${side} limit changed from ${previous} to ${rateMB} MB/s, holds after`,
        value: settledAt(after, rateMB) - changedAt,
        unit: 's',
        must: 1,
        detail: `then ${rateBetween(after, changedAt + 1, after.at(-1).at).toFixed(2)} MB/s`,
      });
      previous = rateMB;
    }
    if (client.exitCode !== null) throw new Error('the pull ended before the measurement');
    return lines;
  } finally {
    client.kill();
  }
}

/** From when every stretch has the rate; Infinity when the last one has not. */
function settledAt(samples, rateMB) {
  const end = samples.at(-1).at - STRETCH_S;
  const offMax = TOLERANCE * rateMB + CHUNK_MB / STRETCH_S;
  const holds = ({ at }) => Math.abs(rateBetween(samples, at, at + STRETCH_S) - rateMB) <= offMax;
  const starts = samples.filter(({ at }) => at <= end);
  const lastBad = starts.findLastIndex((start) => !holds(start));
  return starts[lastBad + 1]?.at ?? Infinity;
}

/** MB/s between two times, by the readings next to them, with straight lines between readings. */
function rateBetween(samples, from, to) {
  return (bytesAt(samples, to) - bytesAt(samples, from)) / MB / (to - from);
}

function bytesAt(samples, time) {
  const after = samples.find(({ at }) => at >= time) ?? samples.at(-1);
  const before = samples.findLast(({ at }) => at <= time) ?? samples[0];
  if (after.at === before.at) return after.bytes;
  return before.bytes + ((after.bytes - before.bytes) * (time - before.at)) / (after.at - before.at);
}

/** A block of configuration: as in the file, or as in the body of Go's reload tool. */
function bandwidth(side, rateMB, form) {
  const bits = { ingress: UNLIMITED_BITS, egress: UNLIMITED_BITS, [side]: rateMB * MB * 8 };
  return form === 'yaml'
    ? { enable: true, ingress_bits_per_sec: bits.ingress, egress_bits_per_sec: bits.egress }
    : { Enable: true, IngressBitsPerSec: bits.ingress, EgressBitsPerSec: bits.egress };
}

/** A running agent or origin. */
class Node {
  #base;

  constructor(address) {
    this.#base = `http://${address}`;
  }

  url({ digest }) {
    return `${this.#base}/namespace/${encodeURIComponent(NAMESPACE)}/blobs/${digest}`;
  }

  async stats() {
    return (await this.#ask('/x/stats', 'GET')).node;
  }

  async limit(side, rateMB) {
    await this.#ask('/x/config/scheduler', 'PATCH', { Conn: { Bandwidth: bandwidth(side, rateMB, 'json') } });
  }

  async forget({ digest }) {
    await this.#ask(`/blobs/${digest}`, 'DELETE');
  }

  async #ask(path, method, body) {
    const response = await fetch(this.#base + path, { method, ...(body && { body: JSON.stringify(body) }) });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }
}

async function curl(...args) {
  const child = spawn('curl', ['--silent', '--fail', '--output', '/dev/null', ...args], { stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`curl ${args.join(' ')} ended with ${code}`);
}

/** @returns seconds from the start of curl to the first byte of the body; the rest is not waited for */
async function firstByte(url) {
  const startedAt = performance.now();
  const child = spawn('curl', ['--silent', '--fail', '--no-buffer', url], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), ended.then(([code]) => Promise.reject(new Error(`curl: ${code}`)))]);
  const seconds = (performance.now() - startedAt) / 1000;
  child.kill();
  // Killed, not failed.
  await ended.catch(() => undefined);
  return seconds;
}
