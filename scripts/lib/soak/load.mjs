// The clients of a soak: push blobs, pull them until they have come, delete some. Owns what was asked and what came of it.
// The load is closed: at most 24 clients work at a time, and no blob is pushed while 48 are at work or wait for their turn.
// On a machine that cannot carry the plan the run takes longer; `latestMs` says by how much a push was late.
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { pull, testBlob, uploadToOrigins } from '../../../packages/reference-server/dist-test/e2e/harness/blobs.js';

const NAMESPACE = 'soak/blobs';
/** Between attempts. */
const RETRY_MS = 500;
/** A push or pull that is not done after so long is lost. */
const PATIENCE_MS = 300_000;
/** Clients at once; more wait for their turn. */
export const CLIENTS_MAX = 24;
/** Clients at work and in wait with which pushes are held back. */
const UNDER_WAY_MAX = 48;
const HELD_MS = 50;
const DELETE_LIMIT_MS = 10_000;
const TEXT_MAX = 220;

export class Load {
  #cluster;
  #now;
  #running = 0;
  #queue = [];
  #reasons = new Map();
  totals = { pushes: 0, pulls: 0, bytesPulled: 0, deletes: 0, retriedPushes: 0, retriedPulls: 0, attempts: 0 };
  /** Texts: what was not done in time, and what came whole but wrong. */
  lost = [];
  wrong = [];
  longestPullMs = 0;
  /** How long after its time a push began, at most. */
  latestMs = 0;

  /** @param {() => number} now ms since the start */
  constructor(cluster, now) {
    this.#cluster = cluster;
    this.#now = now;
  }

  /** Everything that a plan asks for, in its time. Resolves when all of it is done or lost. */
  async run(blobs) {
    const all = [];
    for (const planned of blobs) {
      await sleep(Math.max(0, planned.atMs - this.#now()));
      while (this.underWay >= UNDER_WAY_MAX) await sleep(HELD_MS);
      this.latestMs = Math.max(this.latestMs, this.#now() - planned.atMs);
      all.push(this.#blob(planned));
    }
    await Promise.all(all);
  }

  /** Failures by what they said, most frequent first. @returns {[string, number][]} */
  failures() {
    return [...this.#reasons].sort(([, a], [, b]) => b - a);
  }

  get underWay() {
    return this.#running + this.#queue.length;
  }

  async #blob(planned) {
    const pushed = await this.#turn(async () => {
      const blob = testBlob(planned.seed, planned.length);
      // To the origin that was drawn; it passes the blob on to the other owners.
      const { done, tries } = await this.#until(`push of ${blob.digest}`, () =>
        uploadToOrigins([this.#cluster.at(planned.origin)], NAMESPACE, blob),
      );
      if (!done) return undefined;
      this.totals.pushes++;
      if (tries > 1) this.totals.retriedPushes++;
      return blob;
    });
    if (pushed === undefined) return;
    await Promise.all(planned.pulls.map((wanted) => this.#pull(pushed, wanted)));
  }

  async #pull(blob, { agent, door, afterMs, delete: deletes }) {
    await sleep(afterMs);
    await this.#turn(async () => {
      const startedAt = this.#now();
      const { done, tries } = await this.#until(`pull of ${blob.digest} from ${agent}`, () =>
        this.#pullOnce(blob, agent, door),
      );
      if (!done) return;
      this.totals.pulls++;
      this.totals.bytesPulled += blob.length;
      if (tries > 1) this.totals.retriedPulls++;
      this.longestPullMs = Math.max(this.longestPullMs, this.#now() - startedAt);
      if (deletes) await this.#delete(blob, agent);
    });
  }

  async #pullOnce({ digest, length }, agent, door) {
    const url =
      door === 'registry'
        ? `http://${this.#cluster.at(agent)}/v2/${NAMESPACE}/blobs/${digest}`
        : `http://${this.#cluster.at(`${agent} api`)}/namespace/${encodeURIComponent(NAMESPACE)}/blobs/${digest}`;
    const got = await pull(url, { limitMs: PATIENCE_MS });
    if (got.status !== 200) throw new Error(`status ${got.status}: ${got.says.trim()}`);
    if (got.digest === digest) return;
    // A broken stream is an error of the request; this one was whole.
    const text = `${agent} served ${got.length} bytes with ${got.digest} for ${digest} of ${length}`;
    this.wrong.push(text);
    throw new Error('wrong bytes');
  }

  async #delete({ digest }, agent) {
    try {
      const response = await request(`http://${this.#cluster.at(`${agent} api`)}/blobs/${digest}`, {
        method: 'DELETE',
        headersTimeout: DELETE_LIMIT_MS,
      });
      await response.body.dump();
      if (response.statusCode === 200) this.totals.deletes++;
    } catch (error) {
      // The agent is down; its clean-up will do it.
      this.#note('delete', error);
    }
  }

  /** @returns {Promise<{ done: boolean, tries: number }>} */
  async #until(what, attempt) {
    const deadline = this.#now() + PATIENCE_MS;
    for (let tries = 1; ; tries++) {
      try {
        this.totals.attempts++;
        await attempt();
        return { done: true, tries };
      } catch (error) {
        this.#note(what.split(' ')[0], error);
        if (this.#now() > deadline) {
          this.lost.push(`${what} after ${tries} tries: ${textOf(error)}`);
          return { done: false, tries };
        }
      }
      await sleep(RETRY_MS);
    }
  }

  #note(what, error) {
    const key = `${what}: ${textOf(error)}`;
    this.#reasons.set(key, (this.#reasons.get(key) ?? 0) + 1);
  }

  async #turn(job) {
    if (this.#running >= CLIENTS_MAX) await new Promise((resolve) => this.#queue.push(resolve));
    this.#running++;
    try {
      return await job();
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }
}

function textOf(error) {
  const text = error instanceof Error ? `${error.code ?? error.name}: ${error.message}` : String(error);
  // Without what differs from blob to blob and from process to process, so that failures can be counted by what they say.
  return text
    .replaceAll(/[0-9a-f]{16,}/g, '…')
    .replaceAll(/:\d{4,5}\b/g, ':…')
    .slice(0, TEXT_MAX);
}
