// What a soak does, drawn from its seed: when which blob of what size is pushed, who pulls it when, who is killed when.
import { Random } from '../../../packages/core/dist/random/index.js';

const KIB = 1024;
const MIB = 2 ** 20;
/** Shares of the blobs and the sizes that each is drawn from, evenly on a logarithmic scale. */
const SIZES = [
  [0.6, 1 * KIB, 256 * KIB],
  [0.3, 256 * KIB, 4 * MIB],
  [0.095, 4 * MIB, 16 * MIB],
  [0.005, 64 * MIB, 64 * MIB],
];
/** Pushes end with this part of the run, so that the last pulls fall into it too. */
const PUSHING_PART = 0.92;
/** Time between kills and until the restart. */
const KILL_EVERY_MS = [10_000, 30_000];
const DOWN_MS = [200, 5000];
/** After this part of the run the steady processes are left alone. Warm when the second half begins: memory settles for seven minutes after a start. */
const KILLING_ALL_PART = 0.15;
/** One end in so many is an orderly stop instead of a kill. */
const ORDERLY_ONE_IN = 4;

/**
 * @param {{ seed: number, durationMs: number, blobs: number, agents: string[], origins: string[], names: string[], steady: string[] }} options
 *   `steady`: processes that nobody kills in the later part
 * @returns {{
 *   blobs: { seed: string, length: number, atMs: number, origin: string, pulls: { agent: string, door: 'registry' | 'api', afterMs: number, delete: boolean }[] }[],
 *   ends: { name: string, atMs: number, downMs: number, orderly: boolean }[],
 * }}
 */
export function drawPlan({ seed, durationMs, blobs, agents, origins, names, steady }) {
  const random = new Random(seed);
  const sizes = random.split();
  const pulls = random.split();
  const kills = random.split();
  return {
    blobs: Array.from({ length: blobs }, (_, n) => {
      const atMs = (n / blobs) * durationMs * PUSHING_PART;
      return {
        seed: `soak ${seed} ${n}`,
        length: drawSize(sizes),
        atMs,
        origin: pick(pulls, origins),
        pulls: drawPulls(pulls, agents, durationMs - atMs),
      };
    }),
    ends: drawEnds(kills, { durationMs, names, steady }),
  };
}

/** Every agent pulls once, half of them at once; every other blob comes back later to one, when caches have let go of it. */
function drawPulls(random, agents, leftMs) {
  const first = agents.map((agent) => drawPull(random, agent, random.below(2) === 0 ? 0 : random.below(20_000)));
  if (random.below(2) === 0) return first;
  return [...first, drawPull(random, pick(random, agents), Math.min(leftMs, 20_000 + random.below(280_000)))];
}

function drawPull(random, agent, afterMs) {
  return { agent, door: random.below(2) === 0 ? 'registry' : 'api', afterMs, delete: random.below(10) === 0 };
}

function drawSize(random) {
  let part = random.unit();
  const [, least, most] = SIZES.find(([share]) => (part -= share) < 0) ?? SIZES[0];
  return Math.round(least * (most / least) ** random.unit());
}

function drawEnds(random, { durationMs, names, steady }) {
  const ends = [];
  const mortal = names.filter((name) => !steady.includes(name));
  let atMs = between(random, KILL_EVERY_MS) / 2;
  // The last one is back before the end.
  while (atMs < durationMs - DOWN_MS[1]) {
    const name = pick(random, atMs < durationMs * KILLING_ALL_PART ? names : mortal);
    ends.push({ name, atMs, downMs: between(random, DOWN_MS), orderly: random.below(ORDERLY_ONE_IN) === 0 });
    atMs += between(random, KILL_EVERY_MS);
  }
  return ends;
}

function between(random, [least, most]) {
  return least + random.below(most - least);
}

function pick(random, list) {
  return list[random.below(list.length)];
}
