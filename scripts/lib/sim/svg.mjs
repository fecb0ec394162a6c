// A small writer of plots as SVG text: axes, lines, bars, a legend. Knows nothing of simulations. Colours follow the
// reader's light or dark mode; series also differ by dashes and markers, so that they can be told apart without colour.

const WIDTH = 760;
const HEIGHT = 420;
const MARGIN = { left: 62, right: 22, top: 46, bottom: 52 };
const LINE_HEIGHT = 18;

/** Dark on white, light on black: a palette that colour-blind readers can tell apart. */
const SERIES = [
  { light: '#0b62a4', dark: '#6cb6ff', dash: '' },
  { light: '#c2410c', dark: '#ff9d66', dash: '' },
  { light: '#0f766e', dark: '#5fd3c4', dash: '7 3' },
  { light: '#8a2a86', dark: '#e39be0', dash: '7 3' },
  { light: '#6b5b00', dark: '#e3cf57', dash: '2 3' },
  { light: '#475569', dark: '#b6c2d1', dash: '2 3' },
];

const STYLE = `
.bg{fill:#ffffff}.ink{fill:#1f2328}.soft{fill:#59636e}.axis{stroke:#59636e}.grid{stroke:#d8dee4}.bound{stroke:#1f2328}
${SERIES.map(({ light }, i) => `.s${i}{stroke:${light}}.f${i}{fill:${light}}`).join('')}
@media (prefers-color-scheme: dark){
.bg{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9da7b1}.axis{stroke:#9da7b1}.grid{stroke:#2a313a}.bound{stroke:#e6edf3}
${SERIES.map(({ dark }, i) => `.s${i}{stroke:${dark}}.f${i}{fill:${dark}}`).join('')}
}`;

/**
 * Lines over two linear axes, or over a logarithmic x axis.
 * @param {{ title: string, x: Axis, y: Axis, series: Line[], bounds?: { at: number, name: string }[] }} plot `bounds`: vertical lines
 * @typedef {{ label: string, ticks: number[], format?: (value: number) => string, log?: boolean }} Axis from first to last tick
 * @typedef {{ name: string, points: [number, number][], markers?: boolean, steps?: boolean, bound?: boolean }} Line
 */
export function linePlot({ title, x, y, series, bounds = [] }) {
  const legend = [...series.map((line, index) => ({ name: line.name, index, bound: line.bound })), ...bounds.map(({ name }) => ({ name, bound: true }))];
  const frame = frameOf(legend.length);
  const toX = scale(x, frame.left, frame.right);
  const toY = scale(y, frame.bottom, frame.top);
  const body = [gridX(x, toX, frame), gridY(y, toY, frame)];
  for (const { at } of bounds)
    body.push(`<line class="bound" stroke-dasharray="4 4" x1="${px(toX(at))}" x2="${px(toX(at))}" y1="${frame.top}" y2="${frame.bottom}"/>`);
  series.forEach(({ points, markers, steps, bound }, index) => {
    const at = points.map(([a, b]) => [px(toX(a)), px(toY(b))]);
    const path = at.map(([a, b], i) => (i === 0 ? `M${a} ${b}` : steps ? `H${a}V${b}` : `L${a} ${b}`)).join('');
    const look = bound ? 'class="bound" stroke-dasharray="4 4"' : `class="s${index}"${dash(index)}`;
    body.push(`<path ${look} fill="none" stroke-width="2" stroke-linejoin="round" d="${path}"/>`);
    if (markers) for (const [a, b] of at) body.push(`<circle class="${bound ? 'ink' : `f${index}`}" cx="${a}" cy="${b}" r="3.5"/>`);
  });
  return document(title, [...body, legendOf(legend, frame)], frame.height);
}

/**
 * Horizontal bars in groups, one bar a series, with its value behind it.
 * @param {{ title: string, x: Axis, groups: { name: string, values: number[] }[], names: string[], bounds?: { at: number, name: string }[] }} plot
 */
export function barPlot({ title, x, valueFormat = String, groups, names, bounds = [] }) {
  const bar = 15;
  const group = names.length * bar + 14;
  const legend = [...names.map((name, index) => ({ name, index, block: true })), ...bounds.map(({ name }) => ({ name, bound: true }))];
  const left = 30 + 7 * Math.max(...groups.map(({ name }) => name.length));
  const frame = { ...frameOf(legend.length, left), bottom: MARGIN.top + groups.length * group + 8 };
  frame.height = frame.bottom + MARGIN.bottom + legend.length * LINE_HEIGHT;
  const toX = scale(x, frame.left, frame.right - 48);
  const body = [gridX(x, toX, frame)];
  groups.forEach(({ name, values }, g) => {
    const top = frame.top + g * group + 8;
    body.push(text(frame.left - 10, top + (names.length * bar) / 2 + 4, name, 'ink', 'end'));
    values.forEach((value, index) => {
      const y = top + index * bar;
      body.push(`<rect class="f${index}" x="${frame.left}" y="${y}" width="${px(Math.max(0, toX(value) - frame.left))}" height="${bar - 3}"/>`);
      body.push(text(toX(value) + 5, y + bar - 5, valueFormat(value), 'soft', 'start', 11));
    });
  });
  for (const { at } of bounds)
    body.push(`<line class="bound" stroke-dasharray="4 4" x1="${px(toX(at))}" x2="${px(toX(at))}" y1="${frame.top}" y2="${frame.bottom}"/>`);
  return document(title, [...body, legendOf(legend, frame)], frame.height);
}

/** About `count` round values from below `low` to above `high`. */
export function niceTicks(low, high, count = 8) {
  const span = Math.max(high - low, 1e-9);
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(10)));
}

function frameOf(legendLines, left = MARGIN.left) {
  const bottom = HEIGHT - MARGIN.bottom;
  return { left, right: WIDTH - MARGIN.right, top: MARGIN.top, bottom, height: HEIGHT + legendLines * LINE_HEIGHT };
}

function scale({ ticks, log }, from, to) {
  const place = log ? Math.log : (value) => value;
  const low = place(ticks[0]);
  const high = place(ticks[ticks.length - 1]);
  return (value) => from + ((place(value) - low) / (high - low)) * (to - from);
}

function gridX({ ticks, label, format = String }, toX, { left, right, top, bottom }) {
  const lines = ticks.map((tick) => {
    const at = px(toX(tick));
    return `<line class="grid" x1="${at}" x2="${at}" y1="${top}" y2="${bottom}"/>${text(at, bottom + 17, format(tick), 'soft', 'middle', 12)}`;
  });
  const axis = `<line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>`;
  return `${lines.join('')}${axis}${text((left + right) / 2, bottom + 38, label, 'ink', 'middle')}`;
}

function gridY({ ticks, label, format = String }, toY, { left, right, top, bottom }) {
  const lines = ticks.map((tick) => {
    const at = px(toY(tick));
    return `<line class="grid" x1="${left}" x2="${right}" y1="${at}" y2="${at}"/>${text(left - 8, at + 4, format(tick), 'soft', 'end', 12)}`;
  });
  const axis = `<line class="axis" x1="${left}" x2="${left}" y1="${top}" y2="${bottom}"/>`;
  const middle = (top + bottom) / 2;
  const name = `<text class="ink" x="16" y="${middle}" font-size="13" text-anchor="middle" transform="rotate(-90 16 ${middle})">${escape(label)}</text>`;
  return `${lines.join('')}${axis}${name}`;
}

function legendOf(entries, { left, bottom }) {
  return entries
    .map(({ name, index, bound, block }, line) => {
      const y = bottom + MARGIN.bottom + line * LINE_HEIGHT + 4;
      const sample = block
        ? `<rect class="f${index}" x="${left}" y="${y - 6}" width="28" height="12"/>`
        : `<line ${bound ? 'class="bound" stroke-dasharray="4 4"' : `class="s${index}"${dash(index)}`} stroke-width="${bound ? 1 : 2.5}" x1="${left}" x2="${left + 28}" y1="${y}" y2="${y}"/>`;
      return `${sample}${text(left + 38, y + 4, name, 'ink', 'start')}`;
    })
    .join('');
}

function document(title, body, height) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" role="img">
<title>${escape(title)}</title>
<style>${STYLE}
</style>
<rect class="bg" width="${WIDTH}" height="${height}" rx="6"/>
${text(MARGIN.left - 40, 27, title, 'ink', 'start', 15)}
${body.join('\n')}
</svg>
`;
}

function text(x, y, content, kind, anchor, size = 13) {
  return `<text class="${kind}" x="${px(x)}" y="${px(y)}" font-size="${size}" text-anchor="${anchor}">${escape(content)}</text>`;
}

function dash(index) {
  const pattern = SERIES[index]?.dash;
  if (pattern === undefined) throw new RangeError(`at most ${SERIES.length} series in one plot`);
  return pattern === '' ? '' : ` stroke-dasharray="${pattern}"`;
}

const px = (value) => Math.round(value * 10) / 10;

function escape(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
