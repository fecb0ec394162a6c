// The results section of docs/SIMULATOR.md, from the saved scenarios.
import { plotsOf } from './plots.mjs';

/** @returns Markdown: one section a scenario */
export function resultsOf(saved) {
  return saved.map(section).join('\n');
}

function section(scenario) {
  const { scenario: name, says, date, version, runs, verdicts } = scenario;
  const done = runs.filter(({ completionSeconds }) => completionSeconds !== undefined);
  const [{ options, speed }] = runs;
  return [
    `### ${name}`,
    '',
    `${says}. Seed ${options.seed}, ${done.length} of ${runs.length} runs, ${date}, version ${version}, ${readers(runs)}; ` +
      `[all numbers](simulations/${name}.json). Again: \`npm run sim -- --scenario ${name} --save\`, ` +
      `${total(runs)} of one core, ${Math.max(...runs.map((run) => run.speed.rssMiB))} MiB (Node ${speed.node.slice(1)}).`,
    '',
    ...table(
      ['policy', 'links', 'hosts', 'p50', 'p99', 'p99.9', 'max', 'first piece p50', 'last byte lag p50, p99, max'],
      done.map((run) => [
        run.policy,
        run.link,
        count(run.agents),
        ...['p50', 'p99', 'p999', 'max'].map((key) => `${run.completionSeconds[key].toFixed(2)} s`),
        `${run.firstPieceSeconds.p50.toFixed(2)} s`,
        `${['p50', 'p99', 'max'].map((key) => run.lastByteLagSeconds[key].toFixed(2)).join(', ')} s`,
      ]),
    ),
    '',
    ...table(
      ['policy', 'links', 'hosts', 'one blob p50, p99', 'from origins', 'images', 'least link share', 'duplicates', 'dials, refused', 'messages a piece'],
      done.map((run) => [
        run.policy,
        run.link,
        count(run.agents),
        `${run.blobSeconds.p50.toFixed(2)}, ${run.blobSeconds.p99.toFixed(2)} s`,
        `${(run.bytesFromOrigins / 1e9).toFixed(1)} GB`,
        run.originCopies.toFixed(2),
        `${(run.linkShares.min * 100).toFixed(0)} %`,
        count(run.duplicates),
        `${count(run.dials)}, ${count(run.refusals)}`,
        run.messagesPerPiece.toFixed(1),
      ]),
    ),
    '',
    ...(verdicts.length === 0
      ? []
      : [
          ...table(
            ['bound (shipping policy)', 'where', 'value', 'limit', 'kept'],
            verdicts.map(({ says: what, where, value, limit, atLeast, unit, ok }) => [
              what,
              where,
              `${value.toFixed(3)} ${unit}`.trim(),
              `${atLeast ? '≥' : '≤'} ${limit} ${unit}`.trim(),
              ok ? 'yes' : '**no**',
            ]),
          ),
          '',
        ]),
    ...Object.keys(plotsOf(scenario)).map((file) => `![${alt(file)}](simulations/${file})\n`),
  ].join('\n');
}

function alt(file) {
  if (file.endsWith('.scale.svg')) return 'Time over cluster size';
  return file.endsWith('.policies.svg') ? 'Policies side by side' : 'Share of hosts done over time';
}

function readers(runs) {
  return runs.every(({ streaming }) => streaming) ? 'in-order readers' : 'plain readers';
}

function total(runs) {
  const seconds = runs.reduce((sum, { speed }) => sum + speed.cpuSeconds, 0);
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

const count = (value) => value.toLocaleString('en-US');

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)];
}
