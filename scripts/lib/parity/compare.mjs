// Rows of the comparison: the median over the runs of each side, the spread, and a verdict where one is asked for.

/** Largest difference of a judged row, as a share of the real value. */
export const TOLERANCE = 0.15;

const rank = (ascending, share) => ascending[Math.max(1, Math.ceil(ascending.length * share)) - 1] ?? NaN;
/** Time until an agent had so many quarters of its pieces, median over agents. */
const quarters = (count) => (run) => {
  const times = run.quarterMs.map((ms) => ms[count - 1]).sort((a, b) => a - b);
  return rank(times, 0.5) / 1000;
};

/** When an agent had a quarter, a half, three quarters and all of its pieces. @param {number[]} pieceMs ascending */
export const quarterTimes = (pieceMs) => [1, 2, 3, 4].map((count) => rank(pieceMs, count / 4));

/** @type {{ name: string, unit: string, digits: number, judged?: true, of: (run: object) => number }[]} */
const MEASURES = [
  { name: 'completion, p50', unit: 's', digits: 2, judged: true, of: (run) => rank(run.completionMs, 0.5) / 1000 },
  { name: 'completion, max', unit: 's', digits: 2, judged: true, of: (run) => rank(run.completionMs, 1) / 1000 },
  { name: 'messages per piece', unit: '', digits: 2, judged: true, of: (run) => run.messages / run.pieces },
  { name: 'first byte, p50', unit: 's', digits: 3, of: (run) => rank(run.firstByteMs, 0.5) / 1000 },
  { name: 'first byte, max', unit: 's', digits: 3, of: (run) => rank(run.firstByteMs, 1) / 1000 },
  { name: 'a quarter of the pieces, p50', unit: 's', digits: 2, of: quarters(1) },
  { name: 'half of the pieces, p50', unit: 's', digits: 2, of: quarters(2) },
  { name: 'three quarters of the pieces, p50', unit: 's', digits: 2, of: quarters(3) },
  { name: 'all pieces, p50', unit: 's', digits: 2, of: quarters(4) },
  { name: 'copies sent by the origin', unit: '', digits: 2, of: (run) => run.bytesFromOrigins / run.blobBytes },
  { name: 'requests per piece', unit: '', digits: 3, of: (run) => run.requests / run.pieces },
  { name: 'pieces that came twice', unit: '', digits: 0, of: (run) => run.duplicates },
  { name: 'requests expired', unit: '', digits: 0, of: (run) => run.expired },
  { name: 'dials', unit: '', digits: 0, of: (run) => run.dials },
  { name: 'dials refused', unit: '', digits: 0, of: (run) => run.refusals },
];

const median = (values) => {
  const ascending = [...values].sort((a, b) => a - b);
  const middle = ascending.length >> 1;
  return ascending.length % 2 === 1 ? ascending[middle] : (ascending[middle - 1] + ascending[middle]) / 2;
};
const summary = (values) => ({ median: median(values), min: Math.min(...values), max: Math.max(...values) });

/** @param {object[]} real @param {object[]} sim runs */
export function compare(real, sim) {
  return MEASURES.map(({ of, ...measure }) => {
    const row = { ...measure, real: summary(real.map(of)), sim: summary(sim.map(of)) };
    const difference = row.sim.median / row.real.median - 1;
    return { ...row, difference, ...(measure.judged ? { ok: Math.abs(difference) <= TOLERANCE } : {}) };
  });
}

/** As a table of Markdown. */
export function table(rows) {
  const cell = ({ median: value, min, max }, digits) => `${value.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
  const percent = (share) => (Number.isFinite(share) ? `${share < 0 ? '−' : '+'}${Math.abs(share * 100).toFixed(1)} %` : '–');
  return [
    '| | processes | simulator | difference | within 15 % |',
    '|---|---|---|---|---|',
    ...rows.map(
      ({ name, unit, digits, real, sim, difference, ok }) =>
        `| ${name}${unit === '' ? '' : `, ${unit}`} | ${cell(real, digits)} | ${cell(sim, digits)} | ${percent(difference)} | ${ok === undefined ? '–' : ok ? 'yes' : '**no**'} |`,
    ),
  ].join('\n');
}
