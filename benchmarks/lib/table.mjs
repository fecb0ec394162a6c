// A result as a Markdown table. Owns how a line is judged.

/** Load from which on others take part in what is measured. */
const DISTURBED_LOAD = 1;

/** @returns 'aim', 'ok', 'MISSED', or '' for a line without bounds */
export function verdictOf({ value, must, aim, atLeast = false }) {
  const holds = (bound) => (atLeast ? value >= bound : value <= bound);
  if (aim !== undefined && holds(aim)) return 'aim';
  if (must === undefined) return '';
  return holds(must) ? 'ok' : 'MISSED';
}

/** @param {{ benchmark: string, startedAt: string, rounds: number, storage: string, machine: object, busyCores: number, loadBefore: number, lines: object[] }} result */
export function writeTable({ benchmark, startedAt, rounds, storage, machine, busyCores, loadBefore, lines }) {
  const { cpu, cores, memoryGiB, kernel, node, congestionControl } = machine;
  const rows = lines.map((line) => [
    line.name,
    `${number(line.value)} ${line.unit}`,
    bound(line, 'must'),
    bound(line, 'aim'),
    verdictOf(line),
    line.detail,
  ]);
  const disturbed =
    loadBefore < DISTURBED_LOAD
      ? []
      : [
          `**Disturbed:** the load was ${loadBefore.toFixed(1)} before anything was measured. Times are of no use; CPU is too high.`,
          '',
        ];
  return [
    `# ${benchmark[0].toUpperCase()}${benchmark.slice(1)}, ${startedAt.slice(0, 10)}`,
    '',
    `${benchmark === 'engine' ? `Medians of ${rounds} runs; references measured in the same run, in turns. ` : ''}${cores} cores of ${cpu}, ${memoryGiB} GiB, Linux ${kernel} (${congestionControl}), Node ${node}; loopback, payload in ${storage}. On average ${busyCores.toFixed(1)} cores were busy, the measurement included. CPU is that of whole processes, threads and the start of leechers included.`,
    '',
    ...disturbed,
    ...table(['what', 'measured', 'must', 'aim', '', 'detail'], rows),
    '',
  ].join('\n');
}

function bound({ atLeast = false, unit, ...line }, key) {
  return line[key] === undefined ? '–' : `${atLeast ? '≥' : '≤'} ${line[key]} ${unit}`;
}

function number(value) {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}
