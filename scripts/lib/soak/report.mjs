// What a soak says in the end. Owns the bounds.
import { slopeOf } from './slope.mjs';

/**
 * Bounds. Growth counts as growth when it is more than twice its standard error. RSS is judged as it is right after a
 * collection: without collections V8's garbage settles for half an hour after a start, and a line through that is none of a leak.
 */
export const BOUNDS = { keptMiBPerHour: 30, descriptorsPerHour: 30, rssMiB: 300, descriptors: 1000 };
/** A process grows to its working size after a start; its first minute is not judged. */
const WARM_UP_MS = 60_000;
/** Fewer readings make no line. */
const SAMPLES_MIN = 12;
/** Of a shorter life nothing is believed: memory goes up and down with the work. */
export const JUDGED_MINUTES = 4;

/**
 * One row a process, over the second half of the run.
 * @param {import('./samples.mjs').Samples} samples
 * @returns {{ text: string, failed: boolean, name: string, restarts: number, peaks: object, lines: object | undefined, isJudged: boolean }[]}
 */
export function judge(samples, { endMs, restarts }) {
  return [...samples.byName].map(([name, all]) => {
    const isLate = ({ atMs }) => atMs >= endMs / 2 && atMs <= endMs;
    const late = all.filter(isLate);
    const rss = all.map(({ rssMiB }) => rssMiB);
    const open = all.map(({ descriptors }) => descriptors);
    const peaks = { rssMiB: Math.max(...rss), open: Math.max(...open) };
    const life = longestLife(all, late);
    const collected = (samples.collectedByName.get(name) ?? []).filter(
      (sample) =>
        isLate(sample) && sample.life === life[0]?.life && sample.atMs >= life[0].atMs && sample.heapMiB !== undefined,
    );
    // Half of the window at least, so that a line is not drawn through one burst of work.
    const lines = life.length < Math.max(SAMPLES_MIN, late.length / 2) ? undefined : linesOf(life, collected);
    const isJudged = lines !== undefined && life.at(-1).atMs - life[0].atMs >= JUDGED_MINUTES * 60_000;
    const tooMuch = [
      peaks.rssMiB > BOUNDS.rssMiB && `RSS above ${BOUNDS.rssMiB} MiB`,
      peaks.open > BOUNDS.descriptors && `more than ${BOUNDS.descriptors} descriptors`,
      isJudged && lines.kept !== undefined && grows(lines.kept, BOUNDS.keptMiBPerHour) && 'memory grows',
      isJudged && grows(lines.open, BOUNDS.descriptorsPerHour) && 'descriptors grow',
    ].filter(Boolean);
    const slopes =
      lines === undefined
        ? 'slope: restarted too often or run too short'
        : `RSS ${lines.kept === undefined ? '' : `after ${lines.collections} collections ${signed(lines.kept)} MiB/h (of it reachable ${signed(lines.heap)}), `}at any time ${signed(lines.rss)} MiB/h, descriptors ${signed(lines.open)}/h (${lines.count} readings)${isJudged ? '' : ', not judged'}`;
    return {
      text: `${name.padEnd(9)} restarts ${String(restarts.get(name) ?? 0).padStart(2)}  peak ${peaks.rssMiB.toFixed(0).padStart(3)} MiB ${String(peaks.open).padStart(4)} fds  last ${rss.at(-1).toFixed(0).padStart(3)} MiB ${String(open.at(-1)).padStart(4)} fds  ${slopes}${tooMuch.length > 0 ? `  FAILED: ${tooMuch.join(', ')}` : ''}`,
      failed: tooMuch.length > 0,
      name,
      restarts: restarts.get(name) ?? 0,
      peaks,
      lines,
      isJudged,
    };
  });
}

/** Readings of the life that fills most of the second half, without its warm-up. */
function longestLife(all, late) {
  const [longest = []] = [...lives(late).values()].sort((a, b) => b.length - a.length);
  const bornAtMs = all.find(({ life }) => life === longest[0]?.life)?.atMs ?? 0;
  return longest.filter(({ atMs }) => atMs >= bornAtMs + WARM_UP_MS);
}

function lives(samples) {
  const found = new Map();
  for (const sample of samples) found.set(sample.life, [...(found.get(sample.life) ?? []), sample]);
  return found;
}

function linesOf(life, collected) {
  const line = (samples, valueOf) => slopeOf(samples.map((sample) => ({ atMs: sample.atMs, value: valueOf(sample) })));
  return {
    count: life.length,
    collections: collected.length,
    kept: collected.length < JUDGED_MINUTES * 2 ? undefined : line(collected, ({ rssMiB }) => rssMiB),
    heap: collected.length < JUDGED_MINUTES * 2 ? undefined : line(collected, ({ heapMiB }) => heapMiB),
    rss: line(life, ({ rssMiB }) => rssMiB),
    open: line(life, ({ descriptors }) => descriptors),
  };
}

function grows({ perHour, errorPerHour }, bound) {
  return perHour > bound && perHour > 2 * errorPerHour;
}

function signed({ perHour, errorPerHour }) {
  return `${perHour >= 0 ? '+' : '−'}${Math.abs(perHour).toFixed(1)} ± ${errorPerHour.toFixed(1)}`;
}
