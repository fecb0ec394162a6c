// Medians and spreads of a handful of runs. Owns no data.

/** @param {number[]} values at least one */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Largest minus smallest over the median: how much to believe a difference. */
export function spread(values) {
  const middle = median(values);
  return middle === 0 ? 0 : (Math.max(...values) - Math.min(...values)) / middle;
}

/** Medians of each numeric field of records of one shape. */
export function medians(records) {
  const [first = {}] = records;
  return Object.fromEntries(
    Object.keys(first)
      .filter((key) => typeof first[key] === 'number')
      .map((key) => [key, median(records.map((record) => record[key]))]),
  );
}
