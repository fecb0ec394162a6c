// A straight line through readings. Owns the arithmetic.

const MS_PER_HOUR = 3_600_000;

/**
 * Least squares. The error is the standard error for readings that do not know of each other; a process that collects
 * garbage makes readings that do, so the neighbours' likeness widens it.
 * @param {{ atMs: number, value: number }[]} points at least 3
 * @returns {{ perHour: number, errorPerHour: number }}
 */
export function slopeOf(points) {
  const count = points.length;
  const meanAt = mean(points.map(({ atMs }) => atMs));
  const meanValue = mean(points.map(({ value }) => value));
  const spread = sum(points.map(({ atMs }) => (atMs - meanAt) ** 2));
  const slope = sum(points.map(({ atMs, value }) => (atMs - meanAt) * (value - meanValue))) / spread;
  const left = points.map(({ atMs, value }) => value - meanValue - slope * (atMs - meanAt));
  const squares = sum(left.map((x) => x * x));
  const likeness = squares === 0 ? 0 : sum(left.slice(1).map((x, n) => x * left[n])) / squares;
  const bounded = Math.min(0.95, Math.max(0, likeness));
  const error = Math.sqrt((squares / (count - 2) / spread) * ((1 + bounded) / (1 - bounded)));
  return { perHour: slope * MS_PER_HOUR, errorPerHour: error * MS_PER_HOUR };
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values) {
  return sum(values) / values.length;
}
